#include "daemon/analysis/power.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/analysis/e_process.hpp"
#include "daemon/analysis/promote_test.hpp"

namespace shiftd {
namespace {

constexpr double longest_s = 86'400;

// Both cohorts as they are expected in one second.
CohortCounts one_second(const StageTraffic& traffic, double canary_rate) {
  return {traffic.canary_per_s, traffic.canary_per_s * canary_rate, traffic.baseline_per_s, traffic.baseline_per_s * traffic.failure_rate};
}

std::optional<Duration> after(double seconds) {
  if (!(seconds <= longest_s)) return std::nullopt;
  return Duration(static_cast<std::int64_t>(seconds * 1000));
}

}  // namespace

std::optional<Duration> time_to_roll_back(const AnalysisOptions& options, const StageTraffic& traffic, double canary_rate) {
  if (traffic.canary_per_s <= 0 || traffic.baseline_per_s <= 0) return std::nullopt;
  NullHypothesis null{options.tolerate, options.ignore_below, std::max(traffic.failure_rate, 1e-6), 1};
  double best = 0;
  for (auto times : alternatives) {
    best = std::max(best, log_e_value(one_second(traffic, canary_rate), alternative_rate(times, null), null));
  }
  // One bet of ten has to carry it, with the cohort's part of the whole, and what has been staked when the warm-up ends.
  auto wanted = -std::log(1 - options.confidence) + std::log(static_cast<double>(alternatives.size())) - std::log(0.45) - std::log(0.68);
  return best > 0 ? after(wanted / best) : std::nullopt;
}

std::optional<Duration> time_to_promote(const AnalysisOptions& options, const StageTraffic& traffic) {
  if (traffic.canary_per_s <= 0 || traffic.baseline_per_s <= 0) return std::nullopt;
  NullHypothesis null{options.promote_tolerate, std::min(0.5, options.site_margin / traffic.next_share),
                      std::max(traffic.failure_rate, 1e-6), 1};
  double best = 0;
  for (auto better : PromoteTest::better) {
    best = std::max(best, log_e_value(one_second(traffic, traffic.failure_rate), better * null.tolerated(), null));
  }
  auto wanted = -std::log(1 - options.promote_confidence) + std::log(static_cast<double>(PromoteTest::better.size()));
  if (best <= 0) return std::nullopt;
  auto requests = static_cast<double>(options.min_requests) / traffic.canary_per_s;
  return after(std::max(wanted / best, requests));
}

}  // namespace shiftd
