#include "daemon/analysis/e_process.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace shiftd {

double alternative_rate(double times, const NullHypothesis& null) {
  auto tolerated = null.tolerated();
  return std::min(times * tolerated, std::max(0.95, 1.02 * tolerated));
}

double nearest_null_rate(const CohortCounts& counts, double canary_rate, const NullHypothesis& null) {
  auto n = counts.canary_requests;
  auto m = counts.baseline_requests;
  auto k = null.factor;
  // The positive root of a*l^2 + b*l - c = 0, each way where it does not cancel.
  auto a = k * (n * k + m);
  auto b = n * k * (null.floor - canary_rate) + m * (null.floor - k * null.baseline_rate);
  auto c = m * null.baseline_rate * null.floor;
  auto root = std::sqrt(b * b + 4 * a * c);
  return b <= 0 ? (root - b) / (2 * a) : 2 * c / std::max(b + root, std::numeric_limits<double>::min());
}

Stake stake(const CohortCounts& counts, double canary_rate, const NullHypothesis& null) {
  auto baseline_null = nearest_null_rate(counts, canary_rate, null);
  auto canary_null = null.factor * baseline_null + null.floor;
  return {.per_failure = std::log(canary_rate / canary_null),
          .per_request = canary_rate - canary_null,
          .of_baseline = counts.baseline_failures * std::log(null.baseline_rate / baseline_null) -
                         counts.baseline_requests * (null.baseline_rate - baseline_null)};
}

double log_e_value(const CohortCounts& counts, double canary_rate, const NullHypothesis& null) {
  auto bet = stake(counts, canary_rate, null);
  return (bet.gain(counts.canary_requests, counts.canary_failures) + bet.of_baseline) / null.dispersion;
}

}  // namespace shiftd
