#include "daemon/analysis/verdict.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "daemon/base/basis_points.hpp"
#include "daemon/base/invariant.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr Duration waiting_most = 30s;
constexpr Duration recent_half_life = 20s;
constexpr Duration lasting_half_life = 900s;
constexpr double warm_up_power = 1.5;
// The predicted baseline rate leans on the lasting one as if that had been seen with this many failures.
constexpr double lean = 2;
// A stage does not pass while there is this much evidence against the release.
constexpr double doubt = 2;

double ratio(Duration one, Duration other) { return static_cast<double>(one.count()) / static_cast<double>(other.count()); }

std::string few_digits(double value) {
  std::array<char, 32> text{};
  if (value >= 1e6) return "over 1000000";
  std::snprintf(text.data(), text.size(), value < 10 ? "%.2g" : "%.0f", value);
  return text.data();
}

double rate(std::uint64_t failures, std::uint64_t requests) { return static_cast<double>(failures) / static_cast<double>(requests); }

std::string failed_of(std::uint64_t failures, std::uint64_t requests) {
  return std::to_string(failures) + " of " + std::to_string(requests) + " requests failed (" + percent(rate(failures, requests)) + ")";
}

std::string comparison(const Evidence& seen) {
  if (seen.canary_requests == 0) return "no canary requests yet";
  auto text = "canary " + failed_of(seen.canary_failures, seen.canary_requests);
  if (seen.baseline_requests == 0) return text + ", no baseline requests to compare with";
  text += ", baseline " + std::to_string(seen.baseline_failures) + " of " + std::to_string(seen.baseline_requests) + " (" +
          percent(rate(seen.baseline_failures, seen.baseline_requests)) + ")";
  if (seen.canary_failures == 0 || seen.baseline_failures == 0) return text;
  auto times = rate(seen.canary_failures, seen.canary_requests) / rate(seen.baseline_failures, seen.baseline_requests);
  return text + ": " + few_digits(times) + "x";
}

}  // namespace

std::string_view to_string(Call call) {
  switch (call) {
    case Call::keep_watching: return "keep_watching";
    case Call::promote: return "promote";
    case Call::roll_back: return "roll_back";
  }
  return "keep_watching";
}

CanaryTest::CanaryTest(AnalysisOptions options) : options_(options) {
  INVARIANT(options.tolerate >= 1 && options.ignore_below >= 0, "what is tolerated is at least what the baseline does");
  INVARIANT(options.confidence > 0 && options.confidence < 1, "confidence is between 0 and 1");
  INVARIANT(options.warm_up >= 0s && options.warm_up_tolerance >= 0 && options.restart_every > 0s, "durations and rates are positive");
}

Verdict CanaryTest::tick(Instant now, Duration length, const std::vector<HostTick>& hosts) {
  INVARIANT(length > 0s, "a tick takes time");
  Waiting tick;
  tick.age = length;
  auto& counted = state_.counted;
  auto live = state_.schedule.began.has_value() ||
              std::any_of(hosts.begin(), hosts.end(), [](const auto& host) { return host.cohort == Cohort::canary && host.requests > 0; });
  for (const auto& host : hosts) {
    auto failures = std::min(host.failures, host.requests);
    if (host.cohort == Cohort::canary) {
      tick.counts.canary_requests += static_cast<double>(host.requests);
      tick.counts.canary_failures += static_cast<double>(failures);
      tick.extra_failures += static_cast<double>(host.requests) * extra_tolerance(host, length);
      counted.canary_requests += host.requests;
      counted.canary_failures += failures;
      counted.stage_canary_requests += host.requests;
    } else if (host.cohort == Cohort::baseline) {
      tick.counts.baseline_requests += static_cast<double>(host.requests);
      tick.counts.baseline_failures += static_cast<double>(failures);
      if (live) counted.baseline_requests += host.requests;
      if (live) counted.baseline_failures += failures;
    }
  }
  if (live) weigh(now - length, length, tick);
  // Only now, so that everything used above was known before the tick.
  state_.recent.add(length, recent_half_life, tick.counts.baseline_requests, tick.counts.baseline_failures);
  state_.lasting.add(length, lasting_half_life, tick.counts.baseline_requests, tick.counts.baseline_failures);
  state_.highest_e = std::max(state_.highest_e, state_.process.value());
  return judge();
}

void CanaryTest::stage_changed(Instant now) {
  state_.counted.stage_canary_requests = 0;
  state_.process.start(state_.schedule.restart(now));
}

void CanaryTest::weigh(Instant began, Duration length, const Waiting& tick) {
  state_.process.start(state_.schedule.due(began, options_.warm_up, options_.restart_every));
  auto& waiting = state_.waiting;
  waiting.counts.canary_requests += tick.counts.canary_requests;
  waiting.counts.canary_failures += tick.counts.canary_failures;
  waiting.counts.baseline_requests += tick.counts.baseline_requests;
  waiting.counts.baseline_failures += tick.counts.baseline_failures;
  waiting.extra_failures += tick.extra_failures;
  waiting.age += length;
  if (waiting.counts.canary_requests <= 0 || waiting.counts.baseline_requests <= 0) {
    if (waiting.age > waiting_most) waiting = {};
    return;
  }
  NullHypothesis null;
  null.factor = options_.tolerate;
  null.floor = options_.ignore_below + waiting.extra_failures / waiting.counts.canary_requests;
  null.baseline_rate = predicted_baseline_rate();
  state_.process.update(waiting.counts, null);
  waiting = {};
}

double CanaryTest::extra_tolerance(const HostTick& host, Duration length) const {
  if (options_.warm_up <= 0s) return 0;
  // The age in the middle of the tick.
  auto left = 1 - ratio(2 * host.age - length, 2 * options_.warm_up);
  return options_.warm_up_tolerance * std::pow(std::clamp(left, 0.0, 1.0), warm_up_power);
}

double CanaryTest::predicted_baseline_rate() const {
  const auto& recent = state_.recent;
  const auto& lasting = state_.lasting;
  auto usual = (lasting.failures + 0.5) / (lasting.requests + 1);
  return (recent.failures + lean) / (recent.requests + lean / usual);
}

void CanaryTest::Remembered::add(Duration length, Duration half_life, double more_requests, double more_failures) {
  auto kept = std::exp2(-ratio(length, half_life));
  requests = requests * kept + more_requests;
  failures = failures * kept + more_failures;
}

Verdict CanaryTest::judge() const {
  Verdict verdict;
  auto& evidence = verdict.evidence = state_.counted;
  evidence.e_value = state_.process.value();
  evidence.text = comparison(evidence) + "; evidence " + few_digits(evidence.e_value);
  if (state_.highest_e >= roll_back_at()) {
    verdict.call = Call::roll_back;
    if (evidence.e_value < roll_back_at()) evidence.text += " (it was " + few_digits(state_.highest_e) + ")";
  } else if (evidence.stage_canary_requests >= std::max<std::uint64_t>(options_.min_requests, 1) && evidence.e_value < doubt) {
    verdict.call = Call::promote;
  }
  evidence.text += ", rolls back at " + few_digits(roll_back_at());
  return verdict;
}

}  // namespace shiftd
