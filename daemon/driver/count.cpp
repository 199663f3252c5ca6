// Requests and failures per host from the front end, and what the canary analysis makes of them.

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "daemon/driver/driver.hpp"
#include "daemon/driver/history.hpp"
#include "daemon/io/log.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

// Whose release a host's requests belong to.
constexpr int nobody = 0;
constexpr int former = 1;
constexpr int wanted = 2;

// The served share is shown over about the last three counts.
constexpr double share_memory = 0.7;

// The served share is held against the weights over about this time.
constexpr Duration share_window = std::chrono::minutes(2);
// Readings after a change of weights that may hold requests from before it.
constexpr int readings_unsure = 2;

// Whether a host answers mostly with failures is held against about this time.
constexpr Duration erring_window = std::chrono::seconds(20);

double part_kept(Duration length, Duration window) {
  return std::exp(-static_cast<double>(length.count()) / static_cast<double>(window.count()));
}

// Of a checkpoint, where it has them.
Prediction::Sums sums_of(const nlohmann::json& kept, const char* name) {
  auto found = kept.find(name);
  bool whole = found != kept.end() && found->is_array() && found->size() == 2 && (*found)[0].is_number() && (*found)[1].is_number();
  return whole ? Prediction::Sums{(*found)[0].get<double>(), (*found)[1].get<double>()} : Prediction::Sums{};
}

}  // namespace

int Driver::generation(HostIndex host) const {
  if (committed_.plan.hosts[host].role == Role::already_there) return wanted;
  switch (committed_.hosts[host].phase) {
    case HostPhase::joining:
    case HostPhase::serving_new:
    case HostPhase::requiescing:
    case HostPhase::withdrawing:
    case HostPhase::emptying: return wanted;
    case HostPhase::pooled_old:
    case HostPhase::preparing:
    case HostPhase::ready:
    case HostPhase::quiescing:
    case HostPhase::depooling:
    case HostPhase::draining:
    case HostPhase::rejoining:
    case HostPhase::restored:
    case HostPhase::straggler: return committed_.had_it.contains(host) ? nobody : former;
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::awaiting_health:
    case HostPhase::reverting:
    case HostPhase::reverifying:
    case HostPhase::out:
    case HostPhase::left: return nobody;
  }
  return nobody;
}

Task<> Driver::count_loop() {
  if (std::none_of(pools_.begin(), pools_.end(), [](const ServicePool* pool) { return pool->front_end != nullptr; })) co_return;
  while (service_.polling) co_await clock_.sleep_for(service_.pace.view);
  if (!restored_) co_await learn_from_history();
  bool known = restored_;  // where the counters stood at `last`
  auto last = clock_.steady();
  auto kept = last;
  while (true) {
    auto counted = co_await count_once();
    auto now = clock_.steady();
    source_answer("front end", counted ? std::string() : counted.error().what);
    if (counted) {
      // The first one after a restart reaches back to the checkpoint, however soon it is answered.
      auto length = std::max(now - last, Duration(1));
      if (std::exchange(known, true)) {
        judge(length);
        tell_shares(length);
        tell_erring(length);
      }
      // A roll back may end the rollout soon: what led to it is kept at once.
      if (rolls_back_) co_await keep_recording();
      last = now;
    }
    if (now - kept >= service_.pace.checkpoint) {
      kept = now;
      co_await keep_checkpoint();
      co_await keep_recording();
    }
    co_await clock_.sleep_for(service_.pace.counts);
  }
}

Task<Result<void>> Driver::count_once() {
  for (auto& tick : ticks_) tick.requests = tick.failures = 0;
  unanswered_ = 0;
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) {
    if (!pools_[pool]->front_end) continue;
    auto reading = co_await within(clock_, service_.pace.call_limit, pools_[pool]->front_end->poll());
    if (!reading) co_return std::move(reading).error().during(pools_[pool]->front_end->name());
    unanswered_ += reading->unattributed;
    auto& share = shares_[pool];
    share.tick_canary = share.tick_all = 0;
    for (const auto& counts : reading->hosts) {
      auto found = member_of_[pool].find(counts.member);
      if (found == member_of_[pool].end()) continue;
      auto host = committed_.plan.members[found->second].host;
      ticks_[host].requests += counts.requests;
      ticks_[host].failures += counts.failures;
      share.tick_all += static_cast<double>(counts.requests);
      bool on_release = committed_.hosts[host].phase == HostPhase::serving_new || committed_.plan.hosts[host].role == Role::already_there;
      if (on_release) share.tick_canary += static_cast<double>(counts.requests);
    }
  }
  co_return Result<void>{};
}

// Only while nobody is on the way and every weight is shown as it was written; and not by readings that may hold requests
// from before.
void Driver::tell_shares(Duration length) {
  auto leaving = committed_.in(HostPhase::withdrawing) + committed_.in(HostPhase::emptying) + committed_.in(HostPhase::rejoining);
  bool settled = committed_.rolling() && committed_.unconfirmed == 0 && committed_.in_flight() + leaving == 0;
  for (PoolIndex pool = 0; pool < shares_.size(); ++pool) {
    if (!pools_[pool]->front_end) continue;
    auto& share = shares_[pool];
    auto& counted = share.counted;
    if (!settled || share.flow != committed_.flows[pool]) {
      counted = Served{pool};
      share.flow = committed_.flows[pool];
      share.fresh = readings_unsure;
      continue;
    }
    if (share.fresh-- > 0) continue;
    share.fresh = 0;
    auto kept = part_kept(length, share_window);
    counted.canary = counted.canary * kept + share.tick_canary;
    counted.all = counted.all * kept + share.tick_all;
    bool silent = share.tick_canary == 0;
    counted.without = silent ? counted.without + length : Duration(0);
    counted.all_without = silent ? counted.all_without + share.tick_all : 0;
    post(counted);
  }
}

// Hosts that answer mostly with failures are no capacity. What came on another release, or on the way, says nothing of it.
void Driver::tell_erring(Duration length) {
  if (!committed_.active()) return;
  auto kept = part_kept(length, erring_window);
  for (HostIndex host = 0; host < ticks_.size(); ++host) {
    auto& its = answers_[host];
    if (!in_traffic(committed_.hosts[host].phase) || its.generation != generation(host)) {
      its = Answers{generation(host)};
      continue;
    }
    its.requests = its.requests * kept + static_cast<double>(ticks_[host].requests);
    its.failures = its.failures * kept + static_cast<double>(ticks_[host].failures);
    bool known = committed_.hosts[host].erring;
    if (errs(its.requests, its.failures, known) != known) post(Answered{host, its.requests, its.failures});
  }
}

// Of all traffic, once this stage has passed.
double Driver::next_share() const {
  const auto& stages = committed_.plan.stages;
  auto next = std::min<std::size_t>(committed_.stage + 1, stages.empty() ? 0 : stages.size() - 1);
  return next < stages.size() ? std::clamp(stages[next].achievable, 1e-4, 1.0) : 1;
}

void Driver::judge(Duration length) {
  auto now = time_.now();
  bool canary_serves = false;
  for (HostIndex host = 0; host < ticks_.size(); ++host) {
    live_.hosts[host].requests += ticks_[host].requests;
    live_.hosts[host].failures += ticks_[host].failures;
    auto before = std::exchange(generations_[host], generation(host));
    auto after = generations_[host];
    // A host that was out at one end of the tick served one release in it; one that changed over within it served two.
    auto served = before == after || before == nobody ? after : after == nobody ? before : nobody;
    ticks_[host].cohort = served == wanted ? Cohort::canary : served == former ? Cohort::baseline : Cohort::neither;
    ticks_[host].seasoned = committed_.plan.hosts[host].role == Role::already_there;
    canary_serves = canary_serves || ticks_[host].cohort == Cohort::canary;
    if (served != former) continue;
    old_release_counts_[host].requests += ticks_[host].requests;
    old_release_counts_[host].failures += ticks_[host].failures;
  }
  bool anew = judged_stage_ != committed_.stage || judged_serving_ != committed_.serving_new();
  if (anew) {
    judged_stage_ = committed_.stage;
    judged_serving_ = committed_.serving_new();
    test_.stage_changed(now);
    for (auto& metric : metrics_) metric.stage_changed(now);
  }
  if (canary_serves)
    season_ = Season::live;
  else if (season_ == Season::before && committed_.in_flight() > 0)
    season_ = Season::between;
  TickFrame frame{now, length, season_, committed_.stage, next_share()};
  auto verdict = test_.tick(frame, ticks_);
  record(frame, anew);
  auto evidence = test_.evidence(ticks_);

  double canary = 0;
  double all = 0;
  for (const auto& tick : ticks_) {
    auto requests = static_cast<double>(tick.requests);
    all += requests;
    if (tick.cohort == Cohort::canary) canary += requests;
  }
  recent_canary_ = recent_canary_ * share_memory + canary;
  recent_all_ = recent_all_ * share_memory + all;
  live_.served_share = recent_all_ > 0.5 ? recent_canary_ / recent_all_ : 0;
  live_.canary_requests = evidence.canary_requests;
  live_.canary_failures = evidence.canary_failures;
  live_.baseline_requests = evidence.baseline_requests;
  live_.baseline_failures = evidence.baseline_failures;
  live_.e_value = evidence.e_value;
  live_.evidence = evidence.text;
  tell_metrics();
  live_.watched = test_.watched();
  if (committed_.plan.watch > Duration(0) && !committed_.watched) post(HistoryGrew{live_.watched});

  if (!committed_.rolling()) return;
  Moment moment{now, length, committed_.phase == Phase::baking, committed_.bake_until, committed_.current_stage().bake, unanswered_};
  auto ruling = with_metrics(stage_judge_.rule(moment, verdict, evidence, ticks_), verdict, metrics_, committed_.ignored,
                             service_.verdict.confidence);
  rolls_back_ = ruling.call == Call::roll_back;
  act_on(ruling);
}

// A row for each tick; of a large fleet one for several, so that a recording grows no faster than 1,000 hosts' would.
void Driver::record(const TickFrame& frame, bool anew) {
  auto& sum = row_;
  bool continues = !sum.hosts.empty() && !anew && sum.frame.season == frame.season && sum.frame.stage == frame.stage &&
                   sum.frame.next_share == frame.next_share;
  for (HostIndex host = 0; continues && host < ticks_.size(); ++host) continues = sum.hosts[host].cohort == ticks_[host].cohort;
  if (!continues && !sum.hosts.empty()) rows_ += trace_row(sum);
  if (!continues) {
    sum = {frame, anew, ticks_};
  } else {
    sum.frame.end = frame.end;
    sum.frame.length += frame.length;
    for (HostIndex host = 0; host < ticks_.size(); ++host) {
      sum.hosts[host].requests += ticks_[host].requests;
      sum.hosts[host].failures += ticks_[host].failures;
    }
  }
  if (sum.frame.length < std::chrono::milliseconds(ticks_.size())) return;
  rows_ += trace_row(sum);
  sum.hosts.clear();
}

void Driver::act_on(const Ruling& ruling) {
  if (ruling.leave_out) {
    auto host = *ruling.leave_out;
    test_.leave_out(host);
    // A host that is still on its way is not taken out for it: then the release is to blame after all.
    if (committed_.hosts[host].phase == HostPhase::serving_new) return post(CheckFailed{host, ruling.text});
    return post(Judged{committed_.stage, Judgement::roll_back, ruling.text});
  }
  switch (ruling.call) {
    case Call::roll_back: return post(Judged{committed_.stage, Judgement::roll_back, ruling.text});
    // Not before it is known what came to pass while nobody looked (recover).
    case Call::promote:
      if (informed_) post(Judged{committed_.stage, Judgement::promote, ruling.text});
      return;
    case Call::keep_watching: break;
  }
  if (!ruling.text.empty() && committed_.held.find(ruling.text) == std::string::npos) {
    post(Judged{committed_.stage, Judgement::keep_watching, ruling.text});
  }
}

// What hosts did on their old releases in earlier hours: bursts and differences are learnt from it before anything is moved.
Task<> Driver::learn_from_history() {
  auto points = co_await journal_.read_counts(service_.name, time_.now() - kept_history(service_));
  if (!points) {
    log::warning("rollout {}: the history of counts cannot be read: {}", committed_.request.rollout, points.error().what);
    co_return;
  }
  if (points->empty()) co_return;
  teach(test_, *points, ticks_, service_.pace.checkpoint);
  log::info("rollout {}: learnt from {} of history", committed_.request.rollout, to_string(test_.watched()));
}

// Lost, it is missing in `verdict export`, and nowhere else.
Task<> Driver::keep_recording() {
  if (rows_.empty()) co_return;
  CountsPoint point{time_.now(), std::exchange(rows_, {})};
  auto kept = co_await journal_.add_counts(recording_of(committed_.request.rollout), std::move(point), service_.pace.keep_counts);
  if (!kept) log::warning("rollout {}: a part of its recording was not kept: {}", committed_.request.rollout, kept.error().what);
}

// Lost, it costs evidence, never a decision: a failure to keep it is only logged.
Task<> Driver::keep_checkpoint() {
  nlohmann::json state;
  state["stage"] = judged_stage_;
  state["serving"] = judged_serving_;
  state["season"] = season_;
  const auto& judged = stage_judge_.state();
  auto sums = [](const Prediction::Sums& of) { return nlohmann::json{of.failures, of.requests}; };
  state["judge"] = {{"harm", judged.harm},
                    {"unanswered", judged.unanswered},
                    {"left_out", judged.left_out},
                    {"canary", sums(judged.canary)},
                    {"baseline", sums(judged.baseline.recent)},
                    {"former", sums(judged.baseline.lasting)},
                    {"without_baseline_ms", judged.without_baseline.count()}};
  for (const auto& metric : metrics_) state["metrics"][metric.options().name] = metric.checkpoint();
  for (const auto* pool : pools_) {
    if (pool->front_end) state["front_ends"][pool->front_end->name()] = pool->front_end->checkpoint();
  }
  nlohmann::json counts = nlohmann::json::object();
  for (HostIndex host = 0; host < live_.hosts.size(); ++host) {
    state["hosts"].push_back({live_.hosts[host].requests, live_.hosts[host].failures, generations_[host]});
    auto& old = old_release_counts_[host];
    if (old.requests > 0) counts[ticks_[host].host] = {old.requests, old.failures};
    old = {};
  }
  // The test's own state is JSON already, and the greatest part of it all.
  auto text = "{\"test\":" + test_.checkpoint() + "," + state.dump().substr(1);
  auto kept = co_await journal_.save_checkpoint(committed_.request.rollout, std::move(text));
  if (kept) {
    CountsPoint point{time_.now(), counts.dump()};
    kept = co_await journal_.add_counts(service_.name, std::move(point), kept_history(service_));
  }
  if (!kept) log::warning("rollout {}: its checkpoint was not kept: {}", committed_.request.rollout, kept.error().what);
}

Task<> Driver::load_checkpoint() {
  auto kept = co_await journal_.load_checkpoint(committed_.request.rollout);
  if (!kept || !*kept) co_return;
  auto state = nlohmann::json::parse(**kept, nullptr, false);
  auto usable = state.is_object() && state.contains("test");
  if (!usable || !test_.restore(state["test"].dump())) {
    log::warning("rollout {}: its checkpoint cannot be used, evidence begins anew", committed_.request.rollout);
    co_return;
  }
  restored_ = true;
  judged_stage_ = state.value("stage", StageIndex{0});
  judged_serving_ = state.value("serving", std::uint32_t{0});
  season_ = static_cast<Season>(std::clamp(state.value("season", 0), 0, 2));
  auto judge = state.value("judge", nlohmann::json::object());
  StageJudge::State judged;
  judged.harm = judge.value("harm", 0.0);
  judged.unanswered = judge.value("unanswered", 0.0);
  judged.left_out = judge.value("left_out", 0);
  judged.canary = sums_of(judge, "canary");
  judged.baseline = {sums_of(judge, "baseline"), sums_of(judge, "former")};
  judged.without_baseline = Duration(judge.value("without_baseline_ms", std::int64_t{0}));
  stage_judge_.restore(judged);
  auto metrics = state.value("metrics", nlohmann::json::object());
  for (auto& metric : metrics_) {
    auto found = metrics.find(metric.options().name);
    if (found != metrics.end() && found->is_string()) (void)metric.restore(found->get<std::string>());
  }
  auto front_ends = state.value("front_ends", nlohmann::json::object());
  for (auto* pool : pools_) {
    if (!pool->front_end) continue;
    auto found = front_ends.find(pool->front_end->name());
    if (found != front_ends.end() && found->is_string()) (void)pool->front_end->restore(found->get<std::string>());
  }
  auto hosts = state.value("hosts", nlohmann::json::array());
  for (std::size_t host = 0; host < hosts.size() && host < live_.hosts.size(); ++host) {
    if (!hosts[host].is_array() || hosts[host].size() < 2) continue;
    live_.hosts[host] = {hosts[host][0].get<std::uint64_t>(), hosts[host][1].get<std::uint64_t>()};
    // What the first count finds began there, whatever it serves now; and of a canary, in the stage of then, also where it had
    // not yet joined.
    if (hosts[host].size() > 2) generations_[host] = hosts[host][2].get<int>();
    if (generation(host) == wanted && judged_stage_ != committed_.stage) generations_[host] = former;
  }
}

}  // namespace shiftd
