#pragma once

// The evidence of one interval, canary against baseline: formulas only.
//
// The null says: canary rate <= K * baseline rate + d, with the baseline rate free in every interval. Bets on what is here
// grow without bound when it is false, and are not expected to grow while it is true. docs/verdict.md derives the formulas.

#include <array>

#include "daemon/analysis/mixture.hpp"

namespace shiftd {

// What both cohorts did in the same interval.
struct CohortCounts {
  double canary_requests = 0;
  double canary_failures = 0;
  double baseline_requests = 0;
  double baseline_failures = 0;

  bool operator==(const CohortCounts&) const = default;
};

struct NullHypothesis {
  double factor = 1.1;          // K >= 1
  double floor = 1e-4;          // d >= 0, a rate
  double baseline_rate = 0.01;  // predicted from the past only; > 0
  double dispersion = 1;        // phi >= 1: how many times wilder than Poisson the counts are

  // The highest canary rate that the null allows, if the baseline does as predicted.
  [[nodiscard]] double tolerated() const { return factor * baseline_rate + floor; }
};

// Under each alternative the canary fails this many times as often as the null allows at most.
inline constexpr std::array<double, 10> alternatives{1.3, 1.7, 2.3, 3.2, 5, 9, 20, 60, 250, 2000};

using EProcess = Mixture<alternatives.size()>;

// The canary rate of one alternative, kept below certainty.
double alternative_rate(double times, const NullHypothesis& null);

// The baseline rate of the point of the null that is nearest, in Kullback-Leibler divergence of the counts, to
// (canary_rate, null.baseline_rate): the reverse information projection. At least one cohort has requests.
double nearest_null_rate(const CohortCounts& counts, double canary_rate, const NullHypothesis& null);

// What one alternative makes of an interval: its log e-value is linear in the canary's counts, host by host.
struct Stake {
  double per_failure = 0;
  double per_request = 0;  // to be subtracted
  double of_baseline = 0;

  [[nodiscard]] double gain(double requests, double failures) const { return failures * per_failure - requests * per_request; }
};
Stake stake(const CohortCounts& counts, double canary_rate, const NullHypothesis& null);

// The logarithm of the e-value of one interval against one alternative.
double log_e_value(const CohortCounts& counts, double canary_rate, const NullHypothesis& null);

}  // namespace shiftd
