#include "daemon/analysis/ratio.hpp"

#include <array>
#include <cmath>

namespace shiftd {
namespace {

// Given that a request failed, it was the canary's with probability nR/(nR + m), whatever the baseline's rate. The bets are
// on ratios from 1/1024 to 1024; the interval holds every R against which their mean has not won.
constexpr int bets_each_way = 20;

double log_likelihood(const StrataCounts& counts, double ratio) {
  double sum = 0;
  for (const auto& [stage, at] : counts) {
    if (at.canary_requests <= 0 || at.baseline_requests <= 0) continue;
    auto failures = at.canary_failures + at.baseline_failures;
    sum += at.canary_failures * std::log(ratio) - failures * std::log(at.canary_requests * ratio + at.baseline_requests);
  }
  return sum;
}

}  // namespace

RatioInterval ratio_interval(const StrataCounts& counts, double confidence, double dispersion) {
  CohortCounts all;
  for (const auto& [stage, at] : counts) {
    if (at.canary_requests <= 0 || at.baseline_requests <= 0) continue;
    all.canary_requests += at.canary_requests;
    all.canary_failures += at.canary_failures;
    all.baseline_requests += at.baseline_requests;
    all.baseline_failures += at.baseline_failures;
  }
  RatioInterval interval;
  if (all.canary_failures + all.baseline_failures <= 0) return interval;
  std::array<double, 2 * bets_each_way + 1> bets{};
  for (std::size_t i = 0; i < bets.size(); ++i) {
    bets[i] = log_likelihood(counts, std::exp2((static_cast<double>(i) - bets_each_way) / 2)) / dispersion;
  }
  auto won = log_mean(bets) + std::log(1 - confidence);  // what a ratio has to fall below to be excluded
  auto excluded = [&](double ratio) { return log_likelihood(counts, ratio) / dispersion <= won; };

  auto middle = all.canary_failures > 0 && all.baseline_failures > 0
                    ? all.canary_failures / all.canary_requests / (all.baseline_failures / all.baseline_requests)
                : all.canary_failures > 0 ? 1e6
                                          : 1e-6;
  if (all.canary_failures > 0 && all.baseline_failures > 0) interval.ratio = middle;
  auto edge = [&](double out) {
    double in = 0;
    for (int step = 0; step < 40; ++step) {
      auto half = (in + out) / 2;
      (excluded(middle * std::exp(half)) ? out : in) = half;
    }
    return middle * std::exp(in);
  };
  if (all.canary_failures > 0 && excluded(middle * 1e-9)) interval.low = edge(std::log(1e-9));
  if (all.baseline_failures > 0 && excluded(middle * 1e9)) interval.high = edge(std::log(1e9));
  return interval;
}

}  // namespace shiftd
