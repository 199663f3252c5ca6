#include "daemon/analysis/e_process.hpp"

#include <algorithm>
#include <cmath>

namespace shiftd {
namespace {

constexpr double exponent_most = 600;

double log_add(double a, double b) {
  if (a == EProcess::never_started) return b;
  if (b == EProcess::never_started) return a;
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

}  // namespace

double alternative_rate(double times, const NullHypothesis& null) {
  auto tolerated = null.factor * null.baseline_rate + null.floor;
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

double log_e_value(const CohortCounts& counts, double canary_rate, const NullHypothesis& null) {
  auto baseline_null = nearest_null_rate(counts, canary_rate, null);
  auto canary_null = null.factor * baseline_null + null.floor;
  auto canary = counts.canary_failures * std::log(canary_rate / canary_null) - counts.canary_requests * (canary_rate - canary_null);
  auto baseline = counts.baseline_failures * std::log(null.baseline_rate / baseline_null) -
                  counts.baseline_requests * (null.baseline_rate - baseline_null);
  return (canary + baseline) / null.dispersion;
}

void EProcess::start(double mass) {
  mass = std::min(mass, unstarted_);
  if (mass <= 0) return;
  for (auto& log_e : log_e_) log_e = log_add(log_e, std::log(mass));
  unstarted_ -= mass;
}

void EProcess::update(const CohortCounts& counts, const NullHypothesis& null) {
  if (counts.canary_requests <= 0 || counts.baseline_requests <= 0) return;
  for (std::size_t j = 0; j < alternatives.size(); ++j) log_e_[j] += log_e_value(counts, alternative_rate(alternatives[j], null), null);
}

double EProcess::value() const {
  auto most = *std::max_element(log_e_.begin(), log_e_.end());
  if (most == never_started) return unstarted_;
  double sum = 0;
  for (auto log_e : log_e_) sum += std::exp(log_e - most);
  auto log_mean = most + std::log(sum / static_cast<double>(alternatives.size()));
  return std::exp(std::min(log_mean, exponent_most)) + unstarted_;
}

}  // namespace shiftd
