#include "daemon/analysis/e_process.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/unit/analysis/numbers_file.hpp"

namespace shiftd {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Within 1e-9 of the larger of 1 and the wanted value.
void expect_close(double got, double wanted) { EXPECT_NEAR(got, wanted, 1e-9 * std::max(1.0, std::abs(wanted))); }

TEST(LogEValue, AgreesWithTheReferenceInEveryCornerOfItsRange) {
  auto rows = numbers_in("verdict/intervals.csv");
  ASSERT_EQ(rows.size(), 200U);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE("row " + std::to_string(i));
    const auto& row = rows[i];
    ASSERT_EQ(row.size(), 12U);
    CohortCounts counts{row[0], row[1], row[2], row[3]};
    NullHypothesis null{.factor = row[5], .floor = row[6], .baseline_rate = row[4], .dispersion = row[7]};
    auto canary_rate = alternative_rate(row[8], null);
    expect_close(canary_rate, row[9]);
    expect_close(nearest_null_rate(counts, canary_rate, null), row[10]);
    expect_close(log_e_value(counts, canary_rate, null), row[11]);
  }
}

// E[e] = exp((a - a0)(a1/a0 - 1) + (b - b0)(b1/b0 - 1)) for Poisson counts with means a and b: at most 1 anywhere in the null.
TEST(NearestNullRate, MakesTheExpectedEvidenceAtMostOneForEveryBaselineRate) {
  for (double times : alternatives) {
    for (double floor : {0.0, 1e-4, 0.05}) {
      NullHypothesis null{.factor = 1.1, .floor = floor, .baseline_rate = 0.002, .dispersion = 1};
      CohortCounts counts{.canary_requests = 40, .canary_failures = 0, .baseline_requests = 900, .baseline_failures = 0};
      auto canary_rate = alternative_rate(times, null);
      auto baseline_null = nearest_null_rate(counts, canary_rate, null);
      auto canary_null = null.factor * baseline_null + null.floor;
      for (double baseline : {0.0, 1e-6, 1e-4, 0.002, 0.02, 0.3, 0.9}) {
        auto canary = null.factor * baseline + null.floor;
        auto exponent = counts.canary_requests * (canary - canary_null) * (canary_rate / canary_null - 1) +
                        counts.baseline_requests * (baseline - baseline_null) * (null.baseline_rate / baseline_null - 1);
        EXPECT_LE(exponent, 1e-9) << times << "x, floor " << floor << ", baseline " << baseline;
      }
    }
  }
}

TEST(NearestNullRate, StaysFiniteAtTheEdges) {
  for (double floor : {0.0, 1e-12, 0.5}) {
    for (double baseline : {1e-12, 1e-3, 0.999}) {
      for (double times : alternatives) {
        NullHypothesis null{.factor = 1, .floor = floor, .baseline_rate = baseline, .dispersion = 1};
        CohortCounts counts{.canary_requests = 1e9, .canary_failures = 1e9, .baseline_requests = 1, .baseline_failures = 1};
        auto log_e = log_e_value(counts, alternative_rate(times, null), null);
        EXPECT_TRUE(std::isfinite(log_e)) << floor << " " << baseline << " " << times;
      }
    }
  }
}

void update(EProcess& process, const CohortCounts& counts, const NullHypothesis& null) {
  for (std::size_t j = 0; j < alternatives.size(); ++j)
    process.log_e[j] += log_e_value(counts, alternative_rate(alternatives[j], null), null);
}

TEST(EProcess, IsOneBeforeItStarts) {
  EProcess process;
  EXPECT_EQ(process.value(), 1);
  update(process, {.canary_requests = 10, .canary_failures = 10, .baseline_requests = 10, .baseline_failures = 0}, {});
  EXPECT_EQ(process.value(), 1);
}

TEST(EProcess, IsOneAfterAnyStartThatHasSeenNothing) {
  EProcess process;
  for (double mass : {0.35, 0.02, 0.005}) process.start(mass);
  EXPECT_NEAR(process.value(), 1, 1e-12);
  process.start(5);
  EXPECT_EQ(process.unstarted, 0);
  EXPECT_NEAR(process.value(), 1, 1e-12);
}

TEST(EProcess, NeverOverflows) {
  EProcess process;
  process.start(1);
  for (int i = 0; i < 100; ++i)
    update(process, {.canary_requests = 1e6, .canary_failures = 1e6, .baseline_requests = 1e6, .baseline_failures = 0}, {});
  EXPECT_LT(process.value(), infinity);
  EXPECT_GT(process.value(), 1e200);
}

TEST(EProcess, FindsALateFaultInAFreshCopyThatALongGoodPastWouldHide) {
  CohortCounts good{.canary_requests = 1000, .canary_failures = 0, .baseline_requests = 9000, .baseline_failures = 9};
  CohortCounts bad{.canary_requests = 1000, .canary_failures = 30, .baseline_requests = 9000, .baseline_failures = 9};
  NullHypothesis null{.factor = 1.1, .floor = 1e-4, .baseline_rate = 0.001, .dispersion = 1};
  EProcess early;
  early.start(0.35);
  EProcess late = early;
  for (int i = 0; i < 300; ++i) {
    update(early, good, null);
    update(late, good, null);
  }
  late.start(0.005);
  update(early, bad, null);
  update(late, bad, null);
  EXPECT_LT(early.value(), 1);
  EXPECT_GT(late.value(), 1e6);
}

}  // namespace
}  // namespace shiftd
