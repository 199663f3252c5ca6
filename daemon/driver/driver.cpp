#include "daemon/driver/driver.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>

#include <boost/system/system_error.hpp>

#include "daemon/base/invariant.hpp"
#include "daemon/driver/history.hpp"
#include "daemon/driver/step_lane.hpp"
#include "daemon/io/log.hpp"

namespace shiftd {
namespace {

// How long to wait before a journal that refused is asked again.
constexpr Duration journal_pause{1000};

// A plan is long; its first words tell which it is.
constexpr std::size_t logged_most = 600;

// Whose patient events an event may not overtake.
struct About {
  std::optional<HostIndex> host;
  bool everything = false;
};

About about(const Plan& plan, const Event& event) {
  if (const auto* done = std::get_if<StepDone>(&event)) return {done->host};
  if (const auto* failed = std::get_if<StepFailed>(&event)) return {failed->host};
  if (const auto* failed = std::get_if<CheckFailed>(&event)) return {failed->host};
  if (const auto* seen = std::get_if<HostSeen>(&event)) return {seen->host};
  if (const auto* answered = std::get_if<Answered>(&event)) return {answered->host};
  if (const auto* written = std::get_if<MemberWritten>(&event)) return {plan.members.at(written->member).host};
  if (const auto* changed = std::get_if<MemberChanged>(&event)) return {plan.members.at(changed->member).host};
  bool of_nobody = std::holds_alternative<Tick>(event) || std::holds_alternative<Judged>(event) ||
                   std::holds_alternative<SourceSilent>(event) || std::holds_alternative<SourceAnswers>(event) ||
                   std::holds_alternative<HistoryGrew>(event);
  return {{}, !of_nobody};
}

// What recurs by itself need not be kept while the journal refuses.
bool recurs(const Event& event) {
  return std::holds_alternative<Tick>(event) || std::holds_alternative<HostSeen>(event) || std::holds_alternative<Judged>(event) ||
         std::holds_alternative<SourceSilent>(event) || std::holds_alternative<SourceAnswers>(event) ||
         std::holds_alternative<CheckFailed>(event) || std::holds_alternative<Served>(event) || std::holds_alternative<Answered>(event) ||
         std::holds_alternative<HistoryGrew>(event);
}

}  // namespace

Driver::Driver(boost::asio::any_io_executor executor, Clock& clock, Journal& journal, Service& service, Rollout rollout, Codec codec,
               std::shared_ptr<Signal> committed)
    : executor_(executor),
      clock_(clock),
      journal_(journal),
      service_(service),
      time_(clock, rollout.now),
      codec_(std::move(codec)),
      committed_(std::move(rollout)),
      scratch_(committed_),
      queue_signal_(executor),
      asked_(committed_.plan.hosts.empty()),
      committed_signal_(std::move(committed)),
      test_(service.verdict),
      stage_judge_(service.verdict) {}

Driver::~Driver() = default;

Task<> Driver::run() {
  TaskGroup tasks(executor_);
  tasks_ = &tasks;
  tasks.start("decide", decide_loop());
  if (committed_.plan.hosts.empty())
    tasks.start("tick", tick_loop());
  else
    tasks.start("recover", guarded("recover", recover()));
  try {
    co_await tasks.join();
  } catch (const boost::system::system_error& error) {
    if (error.code() == boost::asio::error::operation_aborted) throw;
    stopped_ = error.what();
  } catch (const std::exception& error) {
    stopped_ = error.what();
  }
  for (auto& queued : queue_) {
    if (queued.answer) queued.answer->give(Failure{Errc::conflict, why_over()});
  }
}

// Asks the stores first: others may have come and gone while nobody looked, and nothing is decided, a person's word neither, before
// each has told what it holds, or not answered. Then repeats what was outstanding: every performer looks before it repeats. And nothing
// is written until every view was asked, too, and what they told was decided on.
Task<> Driver::recover() {
  informed_ = false;
  bind_plan();
  co_await load_checkpoint();
  watch_stores();
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) {
    while (!read_[pool]) co_await looked_[pool]->wait();
  }
  std::stable_partition(queue_.begin(), queue_.end(), [](const Queued& queued) { return !std::holds_alternative<Command>(queued.event); });
  asked_ = true;
  queue_signal_.notify();
  tasks_->start("tick", tick_loop());
  watch_the_rest();
  for (const auto& effect : outstanding(committed_)) perform(effect);
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) {
    while (!closed_[pool]) co_await looked_[pool]->wait();
  }
  co_await caught_up();
  informed_ = true;
  for (const auto& looked : looked_) looked->notify();
}

void Driver::post(Event event, Duration patience) {
  if (!journal_trouble_.empty() && recurs(event)) return;
  bool was_empty = queue_.empty();
  Queued queued{std::move(event), nullptr, patience > Duration(0) ? clock_.steady() + patience : Steady{}};
  if (const auto* forgot = std::get_if<StoreForgot>(&queued.event)) {
    // Before whatever a step has come to: the next must not be taken in traffic. Its newest word counts.
    auto pool = forgot->pool;
    std::erase_if(queue_, [&](const Queued& other) {
      const auto* older = std::get_if<StoreForgot>(&other.event);
      return older != nullptr && older->pool == pool;
    });
    queue_.push_front(std::move(queued));
  } else {
    queue_.push_back(std::move(queued));
  }
  if (patience == Duration(0) || was_empty) queue_signal_.notify();
}

void Driver::Answer::give(Result<void> answered) {
  result = std::move(answered);
  ready = true;
  given.notify();
}

// Why nothing is decided any more; empty: the rollout is under way.
std::string Driver::why_over() const {
  if (committed_.phase == Phase::ended) return "rollout " + committed_.request.rollout + " has ended";
  return stopped_;
}

Task<Result<void>> Driver::command(Command command) {
  if (auto over = why_over(); !over.empty()) co_return Failure{Errc::conflict, over};
  if (!journal_trouble_.empty()) co_return Failure{Errc::unavailable, "the journal cannot be written: " + journal_trouble_};
  co_return co_await decided(command);
}

// Returns when the event, and all that waited before it, has been decided and saved.
Task<Result<void>> Driver::decided(Event event) {
  auto answer = std::make_shared<Answer>(executor_);
  queue_.push_back({std::move(event), answer, {}});
  queue_signal_.notify();
  while (!answer->ready) co_await answer->given.wait();
  co_return answer->result;
}

Task<> Driver::tick_loop() {
  while (true) {
    co_await clock_.sleep_for(service_.pace.tick);
    if (auto by = time_.jumped()) post(TimeJumped{*by});
    post(Tick{});
  }
}

Task<> Driver::decide_loop() {
  while (why_over().empty()) {
    while (queue_.empty() || (!asked_ && broken_.empty())) co_await queue_signal_.wait();
    auto events = take_queued();
    if (events.empty()) {
      co_await queue_signal_.wait_for(clock_, queue_.front().patient_until - clock_.steady());
      continue;
    }

    decided_ = clock_.steady();
    auto decision = decide_all(events);
    if (!decision.records.empty()) {
      std::vector<std::string> texts;
      for (const auto& record : decision.records) texts.push_back(codec_.encode(record));
      // Durable first: a crash from here on repeats the effects instead of forgetting them.
      if (auto saved = co_await save(texts); !saved) {
        auto why = saved.error().what;
        // Nothing that we believe about the rollout is worth anything then.
        if (saved.error().code == Errc::conflict) why = stopped_ = "it was continued by somebody else: " + why;
        give_up(std::move(events), why);
        if (!stopped_.empty()) break;
        co_await clock_.sleep_for(journal_pause);
        tell_again();
        continue;
      }
      commit(decision, texts);
    } else {
      // Nothing waits to be written any more: whether the journal takes records again is seen at the next one.
      journal_trouble_.clear();
    }
    for (auto& queued : events) {
      if (queued.answer) queued.answer->give(queued.answer->result);
    }
  }
  tasks_->stop();
}

// What is urgent or has waited enough, with the patient events that it would overtake: those that came before it.
std::vector<Driver::Queued> Driver::take_queued() {
  auto now = clock_.steady();
  std::set<HostIndex> hosts;
  bool everything = false;
  std::deque<Queued> taken;
  std::deque<Queued> staying;
  for (; !queue_.empty(); queue_.pop_back()) {
    auto& queued = queue_.back();
    auto subject = about(committed_.plan, queued.event);
    bool take = everything || queued.patient_until <= now || (subject.host && hosts.contains(*subject.host));
    if (take) {
      everything = everything || subject.everything;
      if (subject.host) hosts.insert(*subject.host);
    }
    (take ? taken : staying).push_front(std::move(queued));
  }
  queue_ = std::move(staying);
  return {std::make_move_iterator(taken.begin()), std::make_move_iterator(taken.end())};
}

Decision Driver::decide_all(std::vector<Queued>& events) {
  Decision all;
  auto now = time_.now();
  if (!broken_.empty() && scratch_.active()) return quarantine(broken_);
  Decision told;
  auto follow_up = [&] {
    follow(scratch_, now, told);
    std::move(told.records.begin(), told.records.end(), std::back_inserter(all.records));
    std::move(told.effects.begin(), told.effects.end(), std::back_inserter(all.effects));
    told = {};
  };
  try {
    for (auto& queued : events) {
      const auto* command = std::get_if<Command>(&queued.event);
      if (judges(queued.event)) follow_up();
      // What has ended, or is quarantined, hears people only.
      if (command == nullptr && !scratch_.active() && scratch_.phase != Phase::queued) continue;
      if (command != nullptr) queued.answer->result = permits(scratch_, *command);
      take_in(scratch_, queued.event, now, told);
    }
    follow_up();
  } catch (const BrokenInvariant& broken) {
    return quarantine(broken.what());
  } catch (const std::out_of_range& broken) {
    return quarantine(std::string("an index outside of the plan: ") + broken.what());
  }
  return all;
}

// What was decided together with the broken decision is dropped with it.
Decision Driver::quarantine(const std::string& why) {
  log::error("rollout {} is quarantined: {}", committed_.request.rollout, why);
  scratch_ = committed_;
  Decision decision;
  decision.records.push_back({std::max(time_.now(), scratch_.now), Quarantined{why}});
  apply(scratch_, decision.records.back());
  return decision;
}

Task<Result<void>> Driver::save(const std::vector<std::string>& texts) {
  auto saved = co_await journal_.append(committed_.request.rollout, committed_.records, texts, scratch_.phase == Phase::ended);
  if (!saved && saved.error().code == Errc::timed_out) saved = co_await was_saved(texts, saved.error().what);
  co_return saved;
}

// Nothing was heard of an append: the journal itself shows whether it was made. Nothing is decided until it has answered.
Task<Result<void>> Driver::was_saved(const std::vector<std::string>& texts, std::string why) {
  while (true) {
    auto found = co_await journal_.read(committed_.request.rollout, committed_.records, texts.size() + 1);
    if (found && found->empty()) co_return Failure{Errc::unavailable, why};
    if (found && *found != texts) co_return Failure{Errc::conflict, "other records than ours are in it"};
    if (found) co_return Result<void>{};
    journal_trouble_ = why + "; and it cannot be read: " + found.error().what;
    co_await clock_.sleep_for(journal_pause);
  }
}

// The journal has refused: nothing of this has happened. Commands are told so; everything else is decided again.
void Driver::give_up(std::vector<Queued> events, const std::string& why) {
  if (journal_trouble_ != why) log::error("rollout {}: the journal cannot be written: {}", committed_.request.rollout, why);
  journal_trouble_ = why;
  scratch_ = committed_;
  for (auto queued = events.rbegin(); queued != events.rend(); ++queued) {
    if (queued->answer) {
      queued->answer->give(Failure{Errc::unavailable, "the journal cannot be written: " + why});
    } else if (!recurs(queued->event)) {
      queue_.push_front(std::move(*queued));
    }
  }
  // Something has to be decided for the journal to be tried again, and ticks are not taken while it refuses.
  if (queue_.empty()) queue_.push_back({Tick{}, nullptr, {}});
}

// What recurs was dropped while the journal refused. It is told before what waits, so that nothing is begun on what was known then.
void Driver::tell_again() {
  auto waiting = std::exchange(queue_, {});
  auto trouble = std::exchange(journal_trouble_, {});
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) tell_views(pool);
  journal_trouble_ = std::move(trouble);
  std::move(waiting.begin(), waiting.end(), std::back_inserter(queue_));
}

void Driver::commit(const Decision& decision, const std::vector<std::string>& texts) {
  if (!journal_trouble_.empty()) log::info("rollout {}: the journal takes records again", committed_.request.rollout);
  journal_trouble_.clear();
  bool had_plan = !committed_.plan.hosts.empty();
  bool waited = committed_.waits_for_views();
  for (const auto& record : decision.records) apply(committed_, record);
  for (const auto& text : texts) log::info("{} {}", committed_.request.rollout, std::string_view(text).substr(0, logged_most));
  committed_signal_->notify();
  // What a host begins to wait for is looked for from now on, not from the next look.
  if (!waited && committed_.waits_for_views()) {
    for (auto& look : look_now_) look->notify();
  }
  if (!had_plan && !committed_.plan.hosts.empty()) {
    bind_plan();
    watch_stores();
    watch_the_rest();
  }
  for (const auto& record : decision.records) drop_superseded(record);
  for (const auto& effect : decision.effects) perform(effect);
}

void Driver::bind_plan() {
  const auto& plan = committed_.plan;
  test_ = CanaryTest(options_for(plan, service_));
  for (const auto& planned : plan.hosts) {
    auto host = service_.host_named(planned.name);
    if (!host) throw std::runtime_error("host " + planned.name + " of the plan is no longer known: " + host.error().what);
    places_.push_back(*host);
  }
  for (const auto& planned : plan.pools) {
    auto found = std::find_if(service_.pools.begin(), service_.pools.end(),
                              [&](const ServicePool& pool) { return pool.store->name() == planned.name; });
    if (found == service_.pools.end())
      throw std::runtime_error("pool " + planned.name + " of the plan is no longer in the configuration of " + service_.name);
    pools_.push_back(&*found);
    views_.emplace_back(found->views.size());
    auto urgent = [this](MemberIndex member) { return takes_traffic_off(member); };
    paces_.push_back(std::make_unique<WritePace>(executor_, clock_, planned.capabilities.writes_per_second, urgent));
    look_now_.push_back(std::make_unique<Signal>(executor_));
    looked_.push_back(std::make_unique<Signal>(executor_));
  }
  stores_.resize(plan.pools.size());
  closed_.resize(plan.pools.size());
  read_.assign(plan.pools.size(), false);
  std::vector<std::vector<std::pair<std::string, MemberIndex>>> named(plan.pools.size());
  for (MemberIndex index = 0; index < plan.members.size(); ++index)
    named[plan.members[index].pool].emplace_back(plan.members[index].name, index);
  for (const auto& members : named) member_of_.emplace_back(members.begin(), members.end());
  written_.assign(plan.members.size(), 0);
  // What an earlier life has asked for may have been written.
  for (const auto& member : committed_.members) sent_.push_back(member.effect < first_effect_ ? member.effect : 0);
  shares_.resize(plan.pools.size());
  answers_.resize(plan.hosts.size());
  generations_.assign(plan.hosts.size(), 0);
  live_.hosts.assign(plan.hosts.size(), HostLive{});
  old_release_counts_.assign(plan.hosts.size(), HostLive{});
  for (HostIndex host = 0; host < plan.hosts.size(); ++host) {
    ticks_.emplace_back();
    ticks_.back().host = plan.hosts[host].name;
    generations_[host] = generation(host);
  }
  make_metrics();
}

void Driver::watch_stores() {
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) tasks_->start("watch store", guarded("watch store", watch_store(pool)));
}

void Driver::watch_the_rest() {
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) tasks_->start("watch views", guarded("watch views", watch_views(pool)));
  tasks_->start("check hosts", guarded("check hosts", watch_served_hosts()));
  tasks_->start("count", guarded("count", count_loop()));
  tasks_->start("metrics", guarded("metrics", metric_loop()));
}

// A broken part quarantines its rollout instead of the daemon.
Task<> Driver::guarded(std::string name, Task<> work) {
  try {
    co_await std::move(work);
  } catch (const boost::system::system_error& error) {
    if (error.code() == boost::asio::error::operation_aborted) throw;
    broken_ = name + ": " + error.what();
  } catch (const std::exception& error) {
    broken_ = name + ": " + error.what();
  }
  if (broken_.empty()) co_return;
  post(Tick{});
}

}  // namespace shiftd
