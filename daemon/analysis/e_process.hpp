#pragma once

// The evidence of one comparison, canary against baseline, as it grows over time.
//
// The null says: canary rate <= K * baseline rate + d, with the baseline rate free in every tick. The value of the process
// stays below 1/alpha for ever with probability 1 - alpha while the null is true, whenever one looks, and grows
// without bound when it is not. docs/verdict.md derives the formulas.

#include <array>
#include <limits>

namespace shiftd {

// What both cohorts did in the same interval.
struct CohortCounts {
  double canary_requests = 0;
  double canary_failures = 0;
  double baseline_requests = 0;
  double baseline_failures = 0;
};

struct NullHypothesis {
  double factor = 1.1;          // K >= 1
  double floor = 1e-4;          // d >= 0, a rate
  double baseline_rate = 0.01;  // predicted from the past only; > 0
  double dispersion = 1;        // phi >= 1: how many times wilder than Poisson the counts are
};

// Under each alternative the canary fails this many times as often as the null allows at most.
inline constexpr std::array<double, 10> alternatives{1.3, 1.7, 2.3, 3.2, 5, 9, 20, 60, 250, 2000};

// The canary rate of one alternative, kept below certainty.
double alternative_rate(double times, const NullHypothesis& null);

// The baseline rate of the point of the null that is nearest, in Kullback-Leibler divergence of the counts, to
// (canary_rate, null.baseline_rate): the reverse information projection. At least one cohort has requests.
double nearest_null_rate(const CohortCounts& counts, double canary_rate, const NullHypothesis& null);

// The logarithm of the e-value of one interval against one alternative.
double log_e_value(const CohortCounts& counts, double canary_rate, const NullHypothesis& null);

class EProcess {
 public:
  static constexpr double never_started = -std::numeric_limits<double>::infinity();

  EProcess() { log_e_.fill(never_started); }
  // As it was: one number for each alternative, and the mass that has not been started.
  EProcess(const std::array<double, alternatives.size()>& log_e, double unstarted) : log_e_(log_e), unstarted_(unstarted) {}

  // Starts fresh copies that carry `mass` of the whole: they have not seen what came before, so that a long good past
  // cannot hide a late fault. All masses together are at most 1.
  void start(double mass);

  // An interval in which only one cohort had requests says nothing.
  void update(const CohortCounts& counts, const NullHypothesis& null);

  // The mean over the alternatives; what has not been started counts as it is. Capped at e^600.
  [[nodiscard]] double value() const;

  [[nodiscard]] const std::array<double, alternatives.size()>& log_e() const { return log_e_; }
  [[nodiscard]] double unstarted() const { return unstarted_; }

  bool operator==(const EProcess&) const = default;

 private:
  std::array<double, alternatives.size()> log_e_{};
  double unstarted_ = 1;
};

}  // namespace shiftd
