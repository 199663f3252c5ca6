#include "daemon/driver/supervisor.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <set>

#include <boost/system/system_error.hpp>

#include "daemon/driver/fleet.hpp"
#include "daemon/driver/plan_digest.hpp"
#include "daemon/io/log.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

constexpr std::size_t read_at_once = 2'000;

// What a person has to know of a rollout that nobody drives.
constexpr auto by_hand = ": its members stay as they are, and `shiftctl rescue` prints how to restore them";

// Between two looks at whether the journal takes records, while nobody has any for it.
constexpr Duration journal_check_pause{10'000};
constexpr Duration journal_trouble_pause{1'000};

RolloutBrief brief_of(const Rollout& rollout) {
  return {rollout.request.rollout,
          rollout.request.service,
          rollout.request.release.version,
          std::string(to_string(rollout.phase)),
          std::string(to_string(rollout.outcome)),
          rollout.reason,
          rollout.created,
          rollout.now};
}

Failure is_stopped(const RolloutBrief& brief) { return {Errc::unavailable, "rollout " + brief.rollout + " is stopped: " + brief.reason}; }

Task<Result<std::vector<std::string>>> read_all(Journal& journal, std::string rollout) {
  std::vector<std::string> records;
  while (true) {
    auto part = co_await journal.read(rollout, records.size(), read_at_once);
    if (!part) co_return part;
    bool more = part->size() == read_at_once;
    std::move(part->begin(), part->end(), std::back_inserter(records));
    if (!more) co_return records;
  }
}

bool share_a_claim(const Service& one, const Service& other) {
  auto claimed = [&](const std::string& claim) { return std::find(other.claims.begin(), other.claims.end(), claim) != other.claims.end(); };
  return std::any_of(one.claims.begin(), one.claims.end(), claimed);
}

}  // namespace

Request Supervisor::request_of(const StartRequest& asked, std::string rollout) {
  return {std::move(rollout), asked.service, asked.release, asked.limit, asked.by, asked.reason, asked.no_watch, asked.untested};
}

struct Supervisor::Reservation {
  Reservation(std::vector<const Service*>& reserved, const Service& service) : reserved_(reserved), service_(&service) {
    reserved_.push_back(service_);
  }
  ~Reservation() { reserved_.erase(std::find(reserved_.begin(), reserved_.end(), service_)); }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

 private:
  std::vector<const Service*>& reserved_;
  const Service* service_;
};

Supervisor::Supervisor(boost::asio::any_io_executor executor, Clock& clock, Journal& journal,
                       std::vector<std::unique_ptr<Service>> services, std::size_t keep, std::vector<std::unique_ptr<Sink>> sinks,
                       const Selectors& selectors)
    : executor_(executor),
      clock_(clock),
      journal_(journal),
      services_(std::move(services)),
      keep_(keep),
      drivers_(executor),
      changed_(executor),
      recovered_signal_(executor) {
  for (auto& sink : sinks) announcers_.emplace_back(clock, journal, *this, std::move(sink), selectors);
}

Supervisor::~Supervisor() = default;

Task<> Supervisor::run() {
  drivers_.start("recover", recover());
  // Never joined by running dry: the queue keeper waits for ever.
  drivers_.start("queue", start_queued());
  for (auto& announcer : announcers_) drivers_.start("announce to " + announcer.status().name, announce(announcer));
  drivers_.start("journal", watch_journal());
  drivers_.start("idle counts", count_idle_services());
  for (auto& service : services_) {
    if (service->stragglers.bring_back) drivers_.start("stragglers of " + service->name, bring_back_stragglers(*service));
  }
  co_await drivers_.join();
}

Task<> Supervisor::recover() {
  auto known = co_await journal_.list();
  if (!known) throw std::runtime_error("read the journal: " + known.error().what);
  for (const auto& summary : *known) {
    auto records = co_await read_all(journal_, summary.rollout);
    if (!records) throw std::runtime_error("read the journal: " + summary.rollout + ": " + records.error().what);
    Codec codec;
    auto rollout = fold(*records, codec);
    if (!rollout) {
      // One damaged rollout must not keep the others from being finished.
      RolloutBrief unreadable{summary.rollout, summary.service, "", "", "none", "", {}, {}};
      leave_stopped(std::move(unreadable), "it cannot be read back (" + rollout.error().what + ")" + by_hand, nullptr);
      continue;
    }
    if (rollout->phase == Phase::ended) {
      remember_end(*rollout);
      continue;
    }
    auto* service = find_service(rollout->request.service);
    if (service == nullptr) {
      leave_stopped(brief_of(*rollout), "its service " + rollout->request.service + " is no longer configured" + by_hand, nullptr);
      continue;
    }
    log::info("rollout {} is taken up again: {}", summary.rollout, to_string(rollout->phase));
    launch(*service, std::move(*rollout), std::move(codec));
  }
  recovered_ = true;
  recovered_signal_.notify();
}

Task<> Supervisor::recovered() {
  while (!recovered_) co_await recovered_signal_.wait();
}

void Supervisor::launch(Service& service, Rollout rollout, Codec codec) {
  auto id = rollout.request.rollout;
  auto& running = running_[id];
  running.service = &service;
  running.committed = std::make_shared<Signal>(executor_);
  running.driver = std::make_unique<Driver>(executor_, clock_, journal_, service, std::move(rollout), std::move(codec), running.committed);
  ++counted_.started;
  drivers_.start(id, drive(id));
}

// Whatever goes wrong with what people are told, rollouts go on.
Task<> Supervisor::announce(Announcer& announcer) {
  co_await recovered();
  try {
    co_await announcer.run();
  } catch (const boost::system::system_error& error) {
    if (error.code() == boost::asio::error::operation_aborted) throw;
    log::error("nothing more is announced to {}: {}", announcer.status().name, error.what());
  } catch (const std::exception& error) {
    log::error("nothing more is announced to {}: {}", announcer.status().name, error.what());
  }
}

Task<> Supervisor::drive(std::string id) {
  auto& driver = *running_.at(id).driver;
  co_await driver.run();
  const auto& rollout = driver.rollout();
  counted_.records += rollout.records;
  counted_.effects += driver.effects_performed();
  if (auto why = driver.stopped(); !why.empty()) {
    auto stopped = std::move(running_.at(id));
    running_.erase(id);
    leave_stopped(brief_of(rollout), why, stopped.service);
    stopped.committed->notify();
    co_return;
  }
  switch (rollout.outcome) {
    case Outcome::succeeded: ++counted_.succeeded; break;
    case Outcome::rolled_back: ++counted_.rolled_back; break;
    case Outcome::failed: ++counted_.failed; break;
    case Outcome::aborted: ++counted_.aborted; break;
    case Outcome::none: break;
  }
  log::info("rollout {} has {}: {}", id, to_string(rollout.outcome), rollout.reason);
  remember_end(rollout);
  auto rollout_service = rollout.request.service;
  if (rollout.outcome == Outcome::succeeded) drivers_.start("note of " + id, note_success(*running_.at(id).service, rollout));
  ended_live_[id] = driver.live();
  auto committed = running_.at(id).committed;
  running_.erase(id);
  // Those who follow it find its end in the journal.
  committed->notify();
  changed_.notify();
  co_await drop_old_recording(rollout_service);
  co_await drop_old();
}

// In the order in which they ended.
void Supervisor::remember_end(const Rollout& rollout) {
  ended_[rollout.request.rollout] = brief_of(rollout);
  stragglers_.note(rollout);
  desired_.note(rollout);
}

void Supervisor::leave_stopped(RolloutBrief brief, std::string why, Service* held) {
  log::error("rollout {} of {} is stopped: {}", brief.rollout, brief.service, why);
  brief.phase = "stopped";
  brief.reason = std::move(why);
  auto id = brief.rollout;
  stopped_[id] = {std::move(brief), held};
}

// What the journal keeps no more is not listed either.
Task<> Supervisor::drop_old() {
  auto removed = co_await journal_.retain(keep_);
  if (!removed) log::warning("old rollouts were not removed: {}", removed.error().what);
  if (!removed || *removed == 0) co_return;
  auto kept = co_await journal_.list();
  if (!kept) co_return;
  std::set<std::string> known;
  for (const auto& summary : *kept) known.insert(summary.rollout);
  auto gone = [&](const auto& each) { return !known.contains(each.first); };
  std::erase_if(ended_, gone);
  std::erase_if(ended_live_, gone);
}

Task<> Supervisor::start_queued() {
  while (true) {
    co_await start_next();
    co_await changed_.wait_for(clock_, std::chrono::seconds(1));
  }
}

// The oldest that waits goes first, when nothing that it claims is held any more.
Task<> Supervisor::start_next() {
  std::vector<std::pair<Instant, std::string>> waiting;
  for (const auto& [id, running] : running_) {
    if (running.driver->rollout().phase == Phase::queued) waiting.emplace_back(running.driver->rollout().created, id);
  }
  std::sort(waiting.begin(), waiting.end());
  for (const auto& [created, id] : waiting) {
    auto found = running_.find(id);
    if (found == running_.end() || !held_by(*found->second.service).empty()) continue;
    auto& service = *found->second.service;
    Reservation reservation(reserved_, service);
    auto plan = co_await make_plan_for(service, found->second.driver->rollout().request);
    found = running_.find(id);
    // Planning finds hosts; they may be another's.
    if (found == running_.end() || !held_by(service, true).empty()) continue;
    auto committed = found->second.committed;
    if (plan) {
      found->second.driver->post(PlanMade{std::move(*plan)});
    } else {
      found->second.driver->post(PlanRefused{plan.error().what});
    }
    co_await committed->wait_for(clock_, std::chrono::seconds(5));
  }
}

// While rollouts run, their own records show it.
Task<> Supervisor::watch_journal() {
  while (true) {
    co_await clock_.sleep_for(journal_trouble_.empty() ? journal_check_pause : journal_trouble_pause);
    std::string trouble;
    if (running_.empty()) {
      auto checked = co_await journal_.check();
      if (!checked) trouble = checked.error().what;
    }
    journal_trouble_ = std::move(trouble);
  }
}

Service* Supervisor::find_service(const std::string& name) {
  for (auto& service : services_) {
    if (service->name == name) return service.get();
  }
  return nullptr;
}

std::string Supervisor::held_by(const Service& service, bool reserved) const {
  for (const auto& [id, running] : running_) {
    const auto& rollout = running.driver->rollout();
    if (rollout.phase == Phase::queued || rollout.phase == Phase::ended || !share_a_claim(*running.service, service)) continue;
    return "rollout " + id + " of " + rollout.request.service + " is " + std::string(to_string(rollout.phase)) +
           " on the same hosts or pools";
  }
  for (const auto& [id, stopped] : stopped_) {
    if (stopped.service != nullptr && share_a_claim(*stopped.service, service))
      return "rollout " + id + " of " + stopped.brief.service + " acts on the same hosts or pools: " + stopped.brief.reason;
  }
  for (const auto* other : reserved_) {
    if (reserved && other == &service) continue;
    if (share_a_claim(*other, service)) return "a rollout of " + other->name + " is being started on the same hosts or pools";
  }
  return {};
}

std::string Supervisor::waited_for_by(const Service& service) const {
  for (const auto& [id, running] : running_) {
    const auto& rollout = running.driver->rollout();
    if (rollout.phase == Phase::queued && share_a_claim(*running.service, service))
      return "rollout " + id + " of " + rollout.request.service + " waits for the same hosts or pools";
  }
  return {};
}

std::string Supervisor::new_id(const Service& service) {
  std::time_t seconds = std::chrono::floor<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 40> stamp{};
  std::strftime(stamp.data(), stamp.size(), "%Y%m%d-%H%M%S", &utc);
  std::string id = service.name + "-" + stamp.data();
  while (running_.contains(id) || stopped_.contains(id) || ended_.contains(id))
    id = service.name + "-" + stamp.data() + "-" + std::to_string(++ids_given_);
  return id;
}

std::vector<std::string> Supervisor::services() const {
  std::vector<std::string> names;
  for (const auto& service : services_) names.push_back(service->name);
  return names;
}

Task<Result<Proposal>> Supervisor::plan(StartRequest asked) {
  auto* service = find_service(asked.service);
  if (service == nullptr) co_return Failure{Errc::not_found, "no service " + asked.service};
  auto request = request_of(asked, "");
  auto plan = co_await make_plan_for(*service, std::move(request));
  if (!plan) co_return std::move(plan).error();
  Proposal proposal{std::move(*plan), {}};
  proposal.dry_runs = co_await dry_runs(clock_, *service, proposal.plan);
  co_return proposal;
}

Task<Result<std::string>> Supervisor::start(StartRequest asked) {
  auto* service = find_service(asked.service);
  if (service == nullptr) co_return Failure{Errc::not_found, "no service " + asked.service};
  if (auto able = ready(); !able) co_return able.error();
  // What is asked for now is what is brought, also when it has to wait for its turn.
  auto release = co_await service->releaser->check_source(asked.release);
  if (!release) co_return std::move(release).error().during("read the release");
  asked.release = std::move(*release);
  auto holder = held_by(*service);
  if (holder.empty()) holder = waited_for_by(*service);
  bool waits = !holder.empty();
  if (waits && service->strategy.when_busy == WhenBusy::refuse) co_return Failure{Errc::conflict, holder};
  if (waits && !asked.if_plan.empty()) co_return Failure{Errc::conflict, "a saved plan cannot wait for its turn: " + holder};

  std::unique_ptr<Reservation> reservation;
  auto request = request_of(asked, new_id(*service));
  // What cannot be planned is refused here, to the one who asks; what has to wait is planned when its turn comes.
  Plan plan;
  if (!waits) {
    reservation = std::make_unique<Reservation>(reserved_, *service);
    auto made = co_await make_plan_for(*service, request);
    if (!made) co_return made.error();
    plan = std::move(*made);
    // Planning finds hosts; they may be another's.
    holder = held_by(*service, true);
    waits = !holder.empty();
    if (waits && service->strategy.when_busy == WhenBusy::refuse) co_return Failure{Errc::conflict, holder};
    if (waits && !asked.if_plan.empty()) co_return Failure{Errc::conflict, "a saved plan cannot wait for its turn: " + holder};
    if (!asked.if_plan.empty() && plan_digest(plan) != asked.if_plan)
      co_return Failure{Errc::conflict, "the fleet, or how it is upgraded, has changed since that plan was made: plan again"};
  }
  Codec codec;
  Record requested{clock_.wall(), Requested{request}};
  std::vector<std::string> first{codec.encode(requested)};
  auto created = co_await journal_.create(request.rollout, service->name, std::move(first));
  if (!created) {
    journal_trouble_ = created.error().what;
    co_return std::move(created).error().during("record the rollout");
  }

  Rollout rollout;
  apply(rollout, requested);
  launch(*service, std::move(rollout), std::move(codec));
  if (!waits) {
    auto& running = running_.at(request.rollout);
    auto committed = running.committed;
    running.driver->post(PlanMade{std::move(plan)});
    co_await committed->wait_for(clock_, std::chrono::seconds(5));
  }
  co_return request.rollout;
}

Task<Result<void>> Supervisor::command(std::string id, CommandRequest asked) {
  auto found = running_.find(id);
  if (found == running_.end()) {
    if (ended_.contains(id)) co_return Failure{Errc::conflict, "rollout " + id + " has ended: " + ended_[id].outcome};
    if (auto stopped = stopped_.find(id); stopped != stopped_.end()) co_return is_stopped(stopped->second.brief);
    co_return Failure{Errc::not_found, "no rollout " + id};
  }
  auto& driver = *found->second.driver;
  Command command{asked.verb, 0, asked.by, asked.reason, asked.instead_of_verdict, asked.instead_of_views, asked.metric};
  if (asked.verb == Verb::take || asked.verb == Verb::release_hold) {
    const auto& hosts = driver.rollout().plan.hosts;
    auto host = std::find_if(hosts.begin(), hosts.end(), [&](const PlannedHost& planned) { return planned.name == asked.host; });
    if (host == hosts.end()) co_return Failure{Errc::not_found, "rollout " + id + " has no host " + asked.host};
    command.host = static_cast<HostIndex>(host - hosts.begin());
  }
  if (asked.verb == Verb::ignore_metric) {
    const auto& metrics = found->second.service->metrics;
    auto named = [&](const ServiceMetric& metric) { return metric.options.name == asked.metric; };
    if (std::none_of(metrics.begin(), metrics.end(), named))
      co_return Failure{Errc::not_found, "service " + found->second.service->name + " has no metric " + asked.metric};
  }
  co_return co_await driver.command(std::move(command));
}

Task<Result<std::vector<RolloutBrief>>> Supervisor::list(std::size_t most) {
  std::vector<RolloutBrief> briefs;
  for (const auto& [id, running] : running_) briefs.push_back(brief_of(running.driver->rollout()));
  for (const auto& [id, stopped] : stopped_) briefs.push_back(stopped.brief);
  for (const auto& [id, brief] : ended_) briefs.push_back(brief);
  std::sort(briefs.begin(), briefs.end(),
            [](const RolloutBrief& a, const RolloutBrief& b) { return std::pair(a.created, a.rollout) > std::pair(b.created, b.rollout); });
  if (briefs.size() > most) briefs.resize(most);
  co_return briefs;
}

Task<Result<RolloutStatus>> Supervisor::show(std::string id) {
  if (auto found = running_.find(id); found != running_.end()) {
    RolloutStatus status{found->second.driver->rollout(), found->second.driver->live()};
    co_return status;
  }
  if (!ended_.contains(id) && !stopped_.contains(id)) co_return Failure{Errc::not_found, "no rollout " + id};
  auto records = co_await read_all(journal_, id);
  if (!records) co_return records.error();
  Codec codec;
  auto rollout = fold(*records, codec);
  if (!rollout) co_return rollout.error();
  RolloutStatus status{std::move(*rollout), {}};
  if (auto live = ended_live_.find(id); live != ended_live_.end()) status.live = live->second;
  co_return status;
}

Task<Result<FeedPart>> Supervisor::follow(std::string id, std::uint64_t from, Duration at_most) {
  auto until = clock_.steady() + at_most;
  FeedPart part{from, {}, false};
  while (true) {
    auto found = running_.find(id);
    if (found == running_.end() || found->second.driver->rollout().records > from) break;
    auto left = until - clock_.steady();
    if (left <= Duration(0)) co_return part;
    auto committed = found->second.committed;
    co_await committed->wait_for(clock_, left);
  }
  bool ended = ended_.contains(id);
  auto stopped = stopped_.find(id);
  if (!ended && stopped == stopped_.end() && !running_.contains(id)) co_return Failure{Errc::not_found, "no rollout " + id};
  auto records = co_await journal_.read(id, from, read_at_once);
  if (!records) co_return records.error();
  if (records->empty() && stopped != stopped_.end()) co_return is_stopped(stopped->second.brief);
  part.records = std::move(*records);
  part.ended = ended && part.records.size() < read_at_once;
  co_return part;
}

std::vector<RunningRollout> Supervisor::running() const {
  std::vector<RunningRollout> all;
  for (const auto& [id, running] : running_) all.push_back({running.driver->rollout(), running.driver->live()});
  return all;
}

Result<void> Supervisor::ready() const {
  if (!journal_trouble_.empty()) return Failure{Errc::unavailable, "the journal cannot be written: " + journal_trouble_};
  for (const auto& [id, running] : running_) {
    if (!running.driver->journal_trouble().empty())
      return Failure{Errc::unavailable, "the journal cannot be written: " + running.driver->journal_trouble()};
  }
  return {};
}

}  // namespace shiftd
