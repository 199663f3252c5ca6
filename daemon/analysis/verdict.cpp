#include "daemon/analysis/verdict.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/base/invariant.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// How many sigmas of what is known of the hosts' own rates are forgiven.
constexpr double cohort_margin = 1.5;
constexpr double host_margin = 2;
constexpr double promote_margin = -1;
constexpr double least_promote_factor = 1.05;

// A stage does not pass while there is this much evidence against the release.
const double doubt = std::log(2);

constexpr int long_block = 4;  // blocks

// A length is full as soon as one more tick would miss it by more.
bool full(Duration length, Duration tick, Duration wanted) { return 2 * length + tick >= 2 * wanted; }

}  // namespace

// What the past says, for the present tick.
struct CanaryTest::Known {
  double dispersion = 1;
  double heterogeneity = 0;
  double burst_chance = 0;
  double baseline_rate = 0;
  GainLimit limit;
  Tolerance cohort;
  bool live = false;
  double trimmed = -1;  // of the block that ends now, if one does
  double trimmed_rate(const Block& block, const Parts& parts) {
    if (trimmed < 0) trimmed = shiftd::trimmed_rate(block, parts.baseline);
    return trimmed;
  }
};

CanaryTest::CanaryTest(AnalysisOptions options, std::size_t fixed_canaries) : options_(options), fixed_canaries_(fixed_canaries) {
  INVARIANT(options.tolerate >= 1 && options.ignore_below >= 0, "what is tolerated is at least what the baseline does");
  INVARIANT(options.confidence > 0 && options.confidence < 1, "confidence is between 0 and 1");
  INVARIANT(options.promote_confidence > 0 && options.promote_confidence < 1, "confidence is between 0 and 1");
  INVARIANT(options.warm_up >= 0s && options.warm_up_tolerance >= 0 && options.restart_every > 0s, "durations and rates are positive");
  INVARIANT(options.block > 0s, "a block takes time");
}

Verdict CanaryTest::tick(const TickFrame& frame, const std::vector<HostTick>& hosts) {
  INVARIANT(frame.length > 0s, "a tick takes time");
  if (state_.season != frame.season) begin_season(frame.season);
  note_cohorts(hosts);
  gather(hosts);

  auto now = known();
  now.live = frame.season == Season::live && (state_.began || canary_sum_.requests > 0);
  if (now.live) {
    start_copies(frame.end - frame.length);
    compare(frame, hosts, now);
  }
  for (auto* block : {&state_.block, &state_.long_block}) {
    block->length += frame.length;
    for (std::size_t host = 0; host < tick_.size(); ++host) {
      block->hosts[host].requests += tick_[host].requests;
      block->hosts[host].failures += tick_[host].failures;
    }
  }
  bool block_ends = full(state_.block.length, frame.length, options_.block);
  if (now.live && block_ends && frame.end - (frame.length - frame.length / 2) - *state_.began >= options_.warm_up) judge_block(frame, now);
  if (now.live) {
    state_.log_e = std::log(terms().sum());
    state_.highest_log_e = std::max(state_.highest_log_e, state_.log_e);
  }
  state_.last = frame.end;
  count(frame, now);
  auto verdict = judge(frame, now);
  // Only now, so that everything used above was known before the tick.
  learn(frame, now, block_ends);
  return verdict;
}

void CanaryTest::begin_season(Season season) {
  state_.season = season;
  state_.block = {Block(state_.block.hosts.size()), 0s};
  state_.long_block = state_.block;
  state_.cohort.end_block();
  for (auto& canary : state_.canaries) {
    canary.alone.end_block();
    canary.after_burst = false;
  }
}

// A host that changes over begins its blocks anew; a new canary host joins those that are judged.
void CanaryTest::note_cohorts(const std::vector<HostTick>& hosts) {
  if (state_.cohorts.empty()) {
    state_.cohorts.assign(hosts.size(), Cohort::neither);
    state_.history.hosts.resize(hosts.size());
    state_.block.hosts.resize(hosts.size());
    state_.long_block.hosts.resize(hosts.size());
  }
  INVARIANT(hosts.size() == state_.cohorts.size(), "every tick names the same hosts");
  for (std::uint32_t host = 0; host < hosts.size(); ++host) {
    if (state_.cohorts[host] == hosts[host].cohort) continue;
    state_.cohorts[host] = hosts[host].cohort;
    state_.block.hosts[host] = state_.long_block.hosts[host] = {};
    if (hosts[host].cohort != Cohort::canary) continue;
    auto found = std::find_if(state_.canaries.begin(), state_.canaries.end(), [&](const Canary& canary) { return canary.host == host; });
    if (found != state_.canaries.end()) continue;
    auto& canary = state_.canaries.emplace_back();
    canary.host = host;
    if (hosts[host].seasoned) canary.first_request = Instant::min();
    canary.alone.members.resize(1);
    state_.cohort.members.emplace_back();
  }
}

void CanaryTest::gather(const std::vector<HostTick>& hosts) {
  parts_.baseline.clear();
  parts_.learning.clear();
  parts_.old_hosts = 0;
  tick_.resize(hosts.size());
  baseline_sum_ = canary_sum_ = {};
  for (std::uint32_t host = 0; host < hosts.size(); ++host) {
    const auto& given = hosts[host];
    tick_[host] = {static_cast<double>(given.requests), static_cast<double>(std::min(given.failures, given.requests))};
    if (given.cohort == Cohort::baseline) ++parts_.old_hosts;
    bool broken = state_.history.hosts[host].broken;
    if (given.cohort == Cohort::baseline && !broken) {
      parts_.baseline.push_back(host);
      baseline_sum_.requests += tick_[host].requests;
      baseline_sum_.failures += tick_[host].failures;
    }
    if ((given.cohort == Cohort::baseline || given.cohort == Cohort::candidate) && !broken) parts_.learning.push_back(host);
  }
  present_ = 0;
  for (const auto& canary : state_.canaries) {
    if (hosts[canary.host].cohort != Cohort::canary) continue;
    ++present_;
    canary_sum_.requests += tick_[canary.host].requests;
    canary_sum_.failures += tick_[canary.host].failures;
  }
}

CanaryTest::Known CanaryTest::known() const {
  Known now;
  now.dispersion = state_.history.dispersion();
  now.heterogeneity = state_.history.heterogeneity(parts_);
  now.burst_chance = state_.history.burst_chance();
  now.limit = gain_limit(now.burst_chance, state_.history.persistence);
  now.baseline_rate = state_.baseline.rate();
  return now;
}

void CanaryTest::start_copies(Instant now) {
  if (!state_.began) state_.began = now;
  auto mass = state_.cohort.schedule.due(now, options_.warm_up, options_.restart_every);
  if (mass > 0) {
    state_.cohort.process.start(mass);
    state_.bursts.process.start(mass);
    state_.winsorised.process.start(mass);
  }
  if (!judges_hosts()) return;
  for (auto& canary : state_.canaries) {
    canary.alone.process.start(canary.alone.schedule.due(now, options_.warm_up, options_.restart_every));
  }
}

void CanaryTest::compare(const TickFrame& frame, const std::vector<HostTick>& hosts, Known& now) {
  auto began = frame.end - frame.length;
  GroupHistory all{.hosts = std::max<std::size_t>(present_, 1)};
  canary_ticks_.clear();
  for (auto& canary : state_.canaries) {
    auto& tick = canary_ticks_.emplace_back();
    tick.after_burst = canary.after_burst;
    if (hosts[canary.host].cohort != Cohort::canary) continue;
    tick.requests = tick_[canary.host].requests;
    tick.failures = tick_[canary.host].failures;
    if (tick.requests > 0 && !canary.first_request) canary.first_request = began;
    if (canary.first_request == Instant::min()) {
      tick.warm = 0;
    } else {
      auto age = canary.first_request ? began + frame.length / 2 - *canary.first_request : frame.length / 2;
      tick.warm = WarmUp::left(age, options_.warm_up);
    }
    const auto& history = state_.history.hosts[canary.host];
    all.failures += history.known_failures();
    all.expected += history.known_expected();
  }

  Comparison::Terms terms;
  terms.null.floor = options_.ignore_below;
  terms.null.baseline_rate = now.baseline_rate;
  terms.null.dispersion = now.dispersion;
  terms.limit = now.limit;
  terms.warm_up_most = options_.warm_up > 0s ? options_.warm_up_tolerance : 0;
  now.cohort = tolerance_of(all, state_.history, now.heterogeneity, parts_.old_hosts, options_.tolerate, cohort_margin);
  terms.null.factor = state_.tolerated = now.cohort.factor;
  auto used = state_.cohort.take(canary_ticks_, baseline_sum_.requests, baseline_sum_.failures, frame.length, terms);
  state_.block_floor.floor += used.floor * used.requests;
  state_.block_floor.requests += used.requests;

  if (!judges_hosts()) return;
  for (std::size_t place = 0; place < state_.canaries.size(); ++place) {
    auto& canary = state_.canaries[place];
    if (hosts[canary.host].cohort != Cohort::canary) continue;
    const auto& history = state_.history.hosts[canary.host];
    GroupHistory one{.failures = history.known_failures(), .expected = history.known_expected(), .hosts = 1};
    terms.null.factor = tolerance_of(one, state_.history, now.heterogeneity, parts_.old_hosts, options_.tolerate, host_margin).factor;
    canary.alone.take({&canary_ticks_[place], 1}, baseline_sum_.requests, baseline_sum_.failures, frame.length, terms);
  }
}

// Everything that is judged block by block: bursts, winsorised counts, and the proof for the next stage.
void CanaryTest::judge_block(const TickFrame& frame, Known& now) {
  const auto& block = state_.block.hosts;
  const auto& history = state_.history;
  auto baseline = sum_over(block, parts_.baseline);
  auto rate = baseline.failures / std::max(baseline.requests, 1e-9);
  auto trimmed = now.trimmed_rate(block, parts_);
  const auto& floors = state_.block_floor;
  auto floor = floors.requests > 0 ? std::max(floors.floor / floors.requests, options_.ignore_below) : options_.ignore_below;

  CohortCounts cut;   // at a burst, for the promote test
  CohortCounts trim;  // at a burst of the best hosts, for the winsorised test
  int bursts = 0;
  int host_blocks = 0;
  for (const auto& canary : state_.canaries) {
    if (state_.cohorts[canary.host] != Cohort::canary) continue;
    const auto& counted = block[canary.host];
    const auto& known_of = history.hosts[canary.host];
    auto expected = known_of.known_expected();
    auto relative = expected > 0 ? std::clamp((known_of.known_failures() + 2) / (expected + 2), 1.0, HostHistory::most_relative) : 1.0;
    bool warm = canary.first_request &&
                (*canary.first_request == Instant::min() || frame.end - options_.block - *canary.first_request >= options_.warm_up);
    // A host in traffic without a request so far is taken for one that begins now.
    if (!canary.first_request) warm = frame.length >= options_.block + options_.warm_up;
    if (warm) {
      if (counted.requests > 0 && baseline.requests > 0) {
        ++host_blocks;
        bursts += counted.failures >= burst_from(counted.requests * (relative * rate + floor)) ? 1 : 0;
      }
      trim.canary_failures += cut_failures(counted, relative * trimmed + floor);
      trim.canary_requests += counted.requests;
    }
    cut.canary_failures += cut_failures(counted, relative * rate + options_.ignore_below);
    cut.canary_requests += counted.requests;
  }
  state_.bursts.take(bursts, host_blocks, now.burst_chance);

  cut.baseline_requests = trim.baseline_requests = baseline.requests;
  for (auto host : parts_.baseline) {
    trim.baseline_failures += cut_failures(block[host], trimmed * history.hosts[host].relative_capped() + options_.ignore_below);
    cut.baseline_failures += cut_failures(block[host], history.hosts[host].relative() * rate);
  }
  NullHypothesis null;
  if (trim.canary_requests > 0 && baseline.requests > 0) {
    null = {now.cohort.factor, floor, history.winsorised_rate.rate(), history.winsorised.phi()};
    state_.winsorised.take(trim, null);
  }
  null.factor =
      std::max(options_.promote_tolerate * now.cohort.relative * std::exp(promote_margin * now.cohort.sigma), least_promote_factor);
  null.floor = std::min(0.5, options_.site_margin / frame.next_share);
  null.baseline_rate = now.baseline_rate;
  null.dispersion = history.calm.phi();
  state_.promote.take(frame.stage, frame.end - state_.block.length, cut, null);
}

// With hosts that join one by one the weights are fixed beforehand all the same, 1/2, 1/6, 1/12 ...: a host that does not
// serve yet counts as it is. The mean over those that have joined so far would not be an e-process.
double CanaryTest::host_weight(std::size_t place) const {
  if (fixed_canaries_ > 0) return 1.0 / static_cast<double>(fixed_canaries_);
  auto k = static_cast<double>(place) + 1;
  return 1 / (k * (k + 1));
}

CanaryTest::Terms CanaryTest::terms() const {
  // How much each test weighs in the whole.
  constexpr double hosts_weight = 0.25;
  constexpr double bursts_weight = 0.15;
  constexpr double winsorised_weight = 0.15;

  Terms result;
  result.bursts = bursts_weight * state_.bursts.value;
  result.winsorised = winsorised_weight * state_.winsorised.value;
  auto cohort_weight = 1 - bursts_weight - winsorised_weight;
  if (judges_hosts()) {
    double left = fixed_canaries_ > 0 ? 0 : 1;
    for (std::size_t place = 0; place < state_.canaries.size(); ++place) {
      auto weight = host_weight(place);
      auto term = hosts_weight * weight * state_.canaries[place].alone.process.value();
      result.hosts += term;
      if (fixed_canaries_ == 0) left -= weight;
      if (term <= result.worst) continue;
      result.worst = term;
      result.worst_place = place;
    }
    result.hosts += hosts_weight * left;
    cohort_weight -= hosts_weight;
  }
  result.cohort = cohort_weight * state_.cohort.process.value();
  return result;
}

Verdict CanaryTest::judge(const TickFrame& frame, const Known& now) const {
  Verdict verdict;
  verdict.log_e = state_.log_e;
  verdict.log_promote = state_.promote.log_value;
  const auto& promote = state_.promote;
  if (state_.highest_log_e >= roll_back_at()) {
    verdict.call = Call::roll_back;
  } else if (now.live && promote.stage == frame.stage && promote.log_value >= -std::log(1 - options_.promote_confidence) &&
             state_.log_e < doubt && frame.end - promote.since >= options_.min_bake &&
             promote.requests >= static_cast<double>(std::max<std::uint64_t>(options_.min_requests, 1))) {
    verdict.call = Call::promote;
  }
  return verdict;
}

void CanaryTest::learn(const TickFrame& frame, Known& now, bool block_ends) {
  state_.baseline.learn(frame.length, baseline_sum_.requests, baseline_sum_.failures);
  if (frame.season == Season::before) state_.history.baseline_failures += baseline_sum_.failures;
  if (!parts_.learning.empty()) state_.watched += frame.length;
  if (block_ends) end_block(now);
  if (full(state_.long_block.length, frame.length, long_block * options_.block)) {
    state_.history.learn_long(state_.long_block.hosts, parts_);
    state_.long_block = {Block(tick_.size()), 0s};
  }
}

void CanaryTest::end_block(Known& now) {
  auto& block = state_.block.hosts;
  state_.history.learn(block, parts_, now.trimmed_rate(block, parts_), options_.ignore_below, options_.block);
  if (state_.history.drop_broken(block, parts_)) {
    state_.baseline = {};
    block.assign(block.size(), {});
    state_.long_block.hosts.assign(block.size(), {});
    std::erase_if(parts_.learning, [&](auto host) { return state_.history.hosts[host].broken; });
  }
  auto baseline = sum_over(block, parts_.baseline);
  for (std::size_t place = 0; place < state_.canaries.size(); ++place) {
    auto& canary = state_.canaries[place];
    if (state_.cohorts[canary.host] != Cohort::canary) continue;
    const auto& counted = block[canary.host];
    canary.after_burst = counted.requests > 0 && baseline.requests > 0 &&
                         counted.failures >= burst_from(counted.requests * (baseline.failures / baseline.requests + options_.ignore_below));
    if (canary.after_burst) continue;
    // As good as a burst: it has gained a good part of what a host may gain in one.
    auto most = std::max(0.0, state_.cohort.members[place].most_gained());
    if (judges_hosts()) most = std::max(most, canary.alone.members[0].most_gained());
    canary.after_burst = most > 1 && most >= 0.3 * now.limit.usual;
  }
  state_.block_floor = {};
  state_.block = {Block(block.size()), 0s};
  state_.cohort.end_block();
  for (auto& canary : state_.canaries) canary.alone.end_block();
}

void CanaryTest::count(const TickFrame& frame, const Known& now) {
  auto& counted = state_.counted;
  auto whole = [](double number) { return static_cast<std::uint64_t>(number); };
  counted.canary_requests += whole(canary_sum_.requests);
  counted.canary_failures += whole(canary_sum_.failures);
  counted.stage_canary_requests += whole(canary_sum_.requests);
  if (!now.live) return;
  counted.baseline_requests += whole(baseline_sum_.requests);
  counted.baseline_failures += whole(baseline_sum_.failures);
  if (state_.strata.empty() || state_.strata.back().stage != frame.stage) state_.strata.push_back({frame.stage, {}});
  auto& at = state_.strata.back().counts;
  at.canary_requests += canary_sum_.requests;
  at.canary_failures += canary_sum_.failures;
  at.baseline_requests += baseline_sum_.requests;
  at.baseline_failures += baseline_sum_.failures;
}

void CanaryTest::stage_changed(Instant now) {
  state_.counted.stage_canary_requests = 0;
  state_.promote = {};
  auto mass = state_.cohort.schedule.restart(now);
  state_.cohort.process.start(mass);
  state_.bursts.process.start(mass);
  state_.winsorised.process.start(mass);
  for (auto& canary : state_.canaries) canary.alone.process.start(canary.alone.schedule.restart(now));
}

void CanaryTest::leave_out(std::uint32_t host) {
  state_.cohort = {};
  state_.bursts = {};
  state_.winsorised = {};
  state_.promote = {};
  state_.log_e = state_.highest_log_e = never_started;
  std::erase_if(state_.canaries, [&](const Canary& canary) { return canary.host == host; });
  for (auto& canary : state_.canaries) {
    canary.alone = {};
    canary.alone.members.resize(1);
  }
  state_.cohort.members.resize(state_.canaries.size());
}

bool CanaryTest::was_ill_before(std::uint32_t host) const {
  return host < state_.history.hosts.size() && was_ill(state_.history.hosts[host], state_.history);
}

}  // namespace shiftd
