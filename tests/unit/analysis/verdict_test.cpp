#include "daemon/analysis/verdict.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "daemon/base/invariant.hpp"
#include "tests/unit/analysis/numbers_file.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr Instant start(Duration(1'700'000'000'000));

struct Counted {
  std::uint64_t requests;
  std::uint64_t failures;
};

// A rollout of one canary host, a second at a time.
struct CanaryVerdict : testing::Test {
  Verdict tick(Counted canary, Counted baseline) { return tick(test, canary, baseline); }
  Verdict tick(CanaryTest& of, Counted canary, Counted baseline) {
    now += 1s;
    if (canary.requests > 0) age += 1s;
    return of.tick(now, 1s,
                   {{"web1", Cohort::canary, age, canary.requests, canary.failures},
                    {"web2", Cohort::baseline, 0s, baseline.requests, baseline.failures}});
  }

  Instant now = start;
  Duration age{0};
  CanaryTest test{AnalysisOptions{}};
};

struct ReferenceRun {
  const char* file;
  AnalysisOptions options;
};

TEST(CanaryVerdictReference, AgreesTickByTickOverWholeRollouts) {
  AnalysisOptions cold;
  cold.warm_up = 0s;
  const ReferenceRun runs[] = {
      {"good_release_second_host_joins", {}}, {"late_regression", {}}, {"counters_out_of_step", {}}, {"no_warm_up", cold}};
  for (const auto& [file, options] : runs) {
    CanaryTest test(options);
    auto rows = numbers_in("verdict/" + std::string(file) + ".csv");
    ASSERT_GE(rows.size(), 100U);
    auto length = Duration(static_cast<std::int64_t>(rows[0][0]));
    std::vector<Duration> ages((rows[0].size() - 5) / 2, 0s);
    for (const auto& row : rows) {
      SCOPED_TRACE(std::string(file) + " at " + std::to_string(row[0]) + " ms");
      auto live = row[1] != 0;
      std::vector<HostTick> hosts{
          {"baseline", Cohort::baseline, 0s, static_cast<std::uint64_t>(row[2]), static_cast<std::uint64_t>(row[3])}};
      for (std::size_t c = 0; c < ages.size(); ++c) {
        auto requests = static_cast<std::uint64_t>(row[4 + 2 * c]);
        if (live && (requests > 0 || ages[c] > 0s)) ages[c] += length;
        hosts.push_back({"canary" + std::to_string(c), live ? Cohort::canary : Cohort::neither, ages[c], requests,
                         static_cast<std::uint64_t>(row[5 + 2 * c])});
      }
      auto verdict = test.tick(start + Duration(static_cast<std::int64_t>(row[0])), length, hosts);
      auto wanted = row.back();
      ASSERT_NEAR(std::log(verdict.evidence.e_value), wanted, 1e-9 * std::max(1.0, std::abs(wanted)));
      if (wanted > std::log(100)) {
        EXPECT_EQ(verdict.call, Call::roll_back);
      }
    }
  }
}

TEST_F(CanaryVerdict, KeepsWatchingWhileThereIsNoData) {
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(tick({0, 0}, {0, 0}).call, Call::keep_watching);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(tick({0, 0}, {100, 1}).call, Call::keep_watching);
  auto verdict = test.tick(now + 1s, 1s, {});
  EXPECT_EQ(verdict.call, Call::keep_watching);
  EXPECT_EQ(verdict.evidence.e_value, 1);
  EXPECT_EQ(verdict.evidence.text, "no canary requests yet; evidence 1, rolls back at 100");
}

TEST_F(CanaryVerdict, PromotesAfterEnoughCanaryRequestsOfTheStage) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(tick({10, 0}, {100, 0}).call, Call::keep_watching);
  EXPECT_EQ(tick({9, 0}, {100, 0}).call, Call::keep_watching);
  auto verdict = tick({1, 0}, {100, 0});
  EXPECT_EQ(verdict.call, Call::promote);
  EXPECT_EQ(verdict.evidence.stage_canary_requests, 50U);
  test.stage_changed(now);
  verdict = tick({49, 0}, {100, 0});
  EXPECT_EQ(verdict.call, Call::keep_watching);
  EXPECT_EQ(verdict.evidence.stage_canary_requests, 49U);
  EXPECT_EQ(verdict.evidence.canary_requests, 99U);
  EXPECT_EQ(tick({1, 0}, {100, 0}).call, Call::promote);
}

TEST_F(CanaryVerdict, NeverPromotesWithoutARequestEvenWhenNoneIsAskedFor) {
  AnalysisOptions eager;
  eager.min_requests = 0;
  CanaryTest none(eager);
  EXPECT_EQ(tick(none, {0, 0}, {100, 0}).call, Call::keep_watching);
  EXPECT_EQ(tick(none, {1, 0}, {100, 0}).call, Call::promote);
}

TEST_F(CanaryVerdict, RollsBackAReleaseThatFailsAndStaysWithIt) {
  Verdict verdict;
  for (int i = 0; i < 60 && verdict.call != Call::roll_back; ++i) verdict = tick({20, 6}, {1000, 1});
  ASSERT_EQ(verdict.call, Call::roll_back) << verdict.evidence.text;
  EXPECT_GE(verdict.evidence.e_value, 100);
  EXPECT_NE(verdict.evidence.text.find("300x; evidence "), std::string::npos) << verdict.evidence.text;
  // Good news afterwards does not take it back.
  for (int i = 0; i < 5000; ++i) verdict = tick({20, 0}, {1000, 1});
  EXPECT_LT(verdict.evidence.e_value, 100);
  EXPECT_EQ(verdict.call, Call::roll_back);
  EXPECT_NE(verdict.evidence.text.find("(it was "), std::string::npos) << verdict.evidence.text;
}

TEST_F(CanaryVerdict, DoesNotPromoteWhileThereIsDoubt) {
  // Some evidence: between the 2 that stops a promotion and the 100 that rolls back.
  for (int i = 0; i < 60; ++i) tick({100, 0}, {1000, 1});
  auto verdict = tick({100, 0}, {1000, 1});
  ASSERT_EQ(verdict.call, Call::promote);
  for (int i = 0; i < 100 && verdict.evidence.e_value < 2; ++i) verdict = tick({100, 1}, {1000, 1});
  ASSERT_GE(verdict.evidence.e_value, 2);
  ASSERT_LT(verdict.evidence.e_value, 100);
  EXPECT_EQ(verdict.call, Call::keep_watching);
}

TEST_F(CanaryVerdict, ComparesWithTheBaselineWhateverTheBaselineDoes) {
  // Both cohorts fail alike, and everything fails for a while.
  for (int i = 0; i < 600; ++i) {
    auto percent_failed = i > 200 && i < 300 ? 90U : 1U;
    auto verdict = tick({100, percent_failed}, {1000, 10 * percent_failed});
    ASSERT_NE(verdict.call, Call::roll_back) << i << ": " << verdict.evidence.text;
  }
}

TEST_F(CanaryVerdict, ToleratesTheErrorsOfAFreshHostAndOfEachThatJoinsLater) {
  for (int i = 0; i < 100; ++i) {
    now += 1s;
    auto fresh = [](Duration joined) { return joined > 0s && joined <= 5s ? std::uint64_t{4} : std::uint64_t{0}; };
    Duration first = std::chrono::seconds(i + 1);
    Duration second = std::chrono::seconds(std::max(0, i + 1 - 50));
    auto verdict = test.tick(now, 1s,
                             {{"web1", Cohort::canary, first, 40, fresh(first)},
                              {"web2", second > 0s ? Cohort::canary : Cohort::neither, second, 40, fresh(second)},
                              {"web3", Cohort::baseline, 0s, 400, 0}});
    ASSERT_NE(verdict.call, Call::roll_back) << i << ": " << verdict.evidence.text;
  }
}

TEST_F(CanaryVerdict, DoesNotTolerateTheSameErrorsOfAHostThatIsNotFresh) {
  Verdict verdict;
  for (int i = 0; i < 50; ++i) verdict = tick({40, 0}, {400, 0});
  ASSERT_NE(verdict.call, Call::roll_back);
  for (int i = 0; i < 5; ++i) verdict = tick({40, 4}, {400, 0});
  EXPECT_EQ(verdict.call, Call::roll_back);
}

TEST_F(CanaryVerdict, LeavesOutHostsOfNeitherCohort) {
  auto verdict = test.tick(start + 1s, 1s, {{"web1", Cohort::neither, 0s, 100, 100}, {"web2", Cohort::baseline, 0s, 100, 0}});
  EXPECT_EQ(verdict.evidence.canary_requests, 0U);
  EXPECT_EQ(verdict.evidence.baseline_requests, 0U);
  EXPECT_EQ(verdict.call, Call::keep_watching);
}

TEST_F(CanaryVerdict, CountsNoMoreFailuresThanRequests) {
  auto verdict = tick({2, 1'000'000}, {100, 0});
  EXPECT_EQ(verdict.evidence.canary_failures, 2U);
  EXPECT_NE(verdict.call, Call::roll_back);
}

TEST_F(CanaryVerdict, SaysWhatItSawInOneLine) {
  struct {
    const char* name;
    Counted canary;
    Counted baseline;
    const char* text;
  } const cases[] = {
      {"both fail", {431, 12}, {3912, 3}, "canary 12 of 431 requests failed (2.8%), baseline 3 of 3912 (0.08%): 36x; evidence "},
      {"baseline does not fail", {431, 12}, {3912, 0}, "canary 12 of 431 requests failed (2.8%), baseline 0 of 3912 (0%); evidence "},
      {"canary does not fail", {431, 0}, {3912, 3}, "canary 0 of 431 requests failed (0%), baseline 3 of 3912 (0.08%); evidence "},
      {"no baseline", {431, 12}, {0, 0}, "canary 12 of 431 requests failed (2.8%), no baseline requests to compare with; evidence 1"},
  };
  for (const auto& [name, canary, baseline, text] : cases) {
    SCOPED_TRACE(name);
    CanaryTest once{AnalysisOptions{}};
    auto verdict = tick(once, canary, baseline);
    EXPECT_EQ(verdict.evidence.text.rfind(text, 0), 0U) << verdict.evidence.text;
    EXPECT_NE(verdict.evidence.text.find(", rolls back at 100"), std::string::npos) << verdict.evidence.text;
  }
}

TEST_F(CanaryVerdict, RefusesOptionsThatMeanNothing) {
  AnalysisOptions sure;
  sure.confidence = 1;
  EXPECT_THROW(CanaryTest{sure}, BrokenInvariant);
  AnalysisOptions strict;
  strict.tolerate = 0.9;
  EXPECT_THROW(CanaryTest{strict}, BrokenInvariant);
}

}  // namespace
}  // namespace shiftd
