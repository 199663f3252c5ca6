#include "daemon/analysis/verdict.hpp"

#include <cmath>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "daemon/analysis/trace.hpp"
#include "daemon/base/invariant.hpp"
#include "tests/unit/analysis/start.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

struct Counted {
  std::uint64_t requests;
  std::uint64_t failures;
};

// A rollout of one canary host, a second at a time.
struct CanaryVerdict : testing::Test {
  Verdict tick(Counted canary, Counted baseline) { return tick(test, canary, baseline); }
  Verdict tick(CanaryTest& of, Counted canary, Counted baseline) {
    now += 1s;
    hosts = {{"web1", Cohort::canary, false, canary.requests, canary.failures},
             {"web2", Cohort::baseline, false, baseline.requests, baseline.failures}};
    return of.tick({now, 1s, Season::live, stage, next_share}, hosts);
  }
  std::string said(const CanaryTest& of) { return of.evidence(hosts).text; }
  double evidence() { return test.evidence(hosts).e_value; }

  Instant now = start;
  std::uint32_t stage = 0;
  double next_share = 0.1;
  std::vector<HostTick> hosts;
  CanaryTest test{AnalysisOptions{}};
};

// What the reference says of a recorded rollout, tick by tick: row, time, log E, log E of the promote test.
TEST(CanaryVerdictReference, AgreesTickByTickOverWholeRollouts) {
  const std::string folder = std::string(SHIFTD_SOURCE_DIR) + "/tests/data/verdict/";
  for (const char* name : {"dev-001", "dev-103", "adv-055", "adv-105"}) {
    SCOPED_TRACE(name);
    std::ifstream file(folder + name + ".trace");
    auto trace = read_trace(file);
    ASSERT_TRUE(trace) << trace.error();
    std::ifstream reference(folder + name + ".txt");
    std::size_t rows = 0;
    auto compare = [&](std::size_t row, const CanaryTest&, const Verdict& verdict) {
      if (trace->rows[row - 1].frame.season != Season::live) return;
      std::string wanted_row;
      std::string t;
      std::string log_e;
      std::string log_promote;
      ASSERT_TRUE(reference >> wanted_row >> t >> log_e >> log_promote);
      ASSERT_EQ(std::to_string(row), wanted_row);
      auto near = [&](double got, double wanted) {
        return got == wanted || std::abs(got - wanted) <= 1e-9 * std::max(1.0, std::abs(wanted));
      };
      ASSERT_TRUE(near(verdict.log_e, std::stod(log_e))) << "row " << row << ": " << verdict.log_e << ", not " << log_e;
      ASSERT_TRUE(near(verdict.log_promote, std::stod(log_promote))) << "row " << row;
      ++rows;
    };
    replay(*trace, {}, compare);
    EXPECT_GT(rows, 10U);
  }
}

TEST_F(CanaryVerdict, KeepsWatchingWhileThereIsNoData) {
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(tick({0, 0}, {0, 0}).call, Call::keep_watching);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(tick({0, 0}, {100, 1}).call, Call::keep_watching);
  EXPECT_EQ(evidence(), 1);
  EXPECT_EQ(said(test), "no canary requests yet; evidence 1, rolls back at 100");
}

TEST_F(CanaryVerdict, PromotesOnProofAndAnewInEachStage) {
  auto seconds_to_promote = [&] {
    int i = 0;
    while (i < 600 && tick({200, 0}, {1000, 1}).call != Call::promote) ++i;
    return i;
  };
  auto first = seconds_to_promote();
  EXPECT_GE(first, 40);  // the warm-up, and the shortest bake
  EXPECT_LT(first, 120);
  ++stage;
  test.stage_changed(now);
  EXPECT_EQ(tick({200, 0}, {1000, 1}).call, Call::keep_watching);
  EXPECT_EQ(test.evidence(hosts).stage_canary_requests, 200U);
  auto second = seconds_to_promote();
  EXPECT_GE(second, 20);
  EXPECT_LT(second, 120);
}

TEST_F(CanaryVerdict, DoesNotPromoteWhatIsTwiceAsBad) {
  next_share = 1;
  for (int i = 0; i < 600; ++i) ASSERT_NE(tick({200, i % 5 == 0 ? 2U : 0U}, {1000, 1}).call, Call::promote);
}

TEST_F(CanaryVerdict, NeverPromotesOnHardlyAnyRequests) {
  for (int i = 0; i < 600; ++i) ASSERT_EQ(tick({i % 20 == 0 ? 1U : 0U, 0}, {1000, 1}).call, Call::keep_watching);
}

TEST_F(CanaryVerdict, RollsBackAReleaseThatFailsAndStaysWithIt) {
  Verdict verdict;
  for (int i = 0; i < 60 && verdict.call != Call::roll_back; ++i) verdict = tick({20, 6}, {1000, 1});
  ASSERT_EQ(verdict.call, Call::roll_back) << said(test);
  EXPECT_GE(evidence(), 100);
  EXPECT_NE(said(test).find("300x"), std::string::npos) << said(test);
  // Good news afterwards does not take it back.
  for (int i = 0; i < 3000; ++i) verdict = tick({20, 0}, {1000, 1});
  EXPECT_LT(evidence(), 100);
  EXPECT_EQ(verdict.call, Call::roll_back);
  EXPECT_NE(said(test).find("(it was "), std::string::npos) << said(test);
}

TEST_F(CanaryVerdict, DoesNotPromoteWhileThereIsDoubt) {
  Verdict verdict;
  for (int i = 0; i < 100; ++i) verdict = tick({100, 0}, {1000, 1});
  ASSERT_EQ(verdict.call, Call::promote);
  for (int i = 0; i < 100 && evidence() < 2; ++i) verdict = tick({100, 1}, {1000, 1});
  ASSERT_GE(evidence(), 2);
  ASSERT_LT(evidence(), 100);
  EXPECT_EQ(verdict.call, Call::keep_watching);
}

TEST_F(CanaryVerdict, ComparesWithTheBaselineWhateverTheBaselineDoes) {
  // Both cohorts fail alike, and everything fails for a while.
  for (int i = 0; i < 600; ++i) {
    auto percent_failed = i > 200 && i < 300 ? 90U : 1U;
    auto verdict = tick({100, percent_failed}, {1000, 10 * percent_failed});
    ASSERT_NE(verdict.call, Call::roll_back) << i << ": " << said(test);
  }
}

TEST_F(CanaryVerdict, ToleratesTheErrorsOfAFreshHostAndOfEachThatJoinsLater) {
  for (int i = 0; i < 100; ++i) {
    now += 1s;
    auto fresh = [&](int joined) { return i >= joined && i < joined + 5 ? std::uint64_t{4} : std::uint64_t{0}; };
    auto verdict = test.tick({now, 1s, Season::live, 0, 1}, {{"web1", Cohort::canary, false, 40, fresh(0)},
                                                             {"web2", i >= 50 ? Cohort::canary : Cohort::baseline, false, 40, fresh(50)},
                                                             {"web3", Cohort::baseline, false, 400, 0}});
    ASSERT_NE(verdict.call, Call::roll_back) << i;
  }
}

TEST_F(CanaryVerdict, DoesNotTolerateTheSameErrorsOfAHostThatIsNotFresh) {
  Verdict verdict;
  for (int i = 0; i < 80; ++i) verdict = tick({40, 0}, {400, 0});
  ASSERT_NE(verdict.call, Call::roll_back);
  // Ten seconds might be a burst. A minute is none.
  for (int i = 0; i < 10; ++i) verdict = tick({40, 4}, {400, 0});
  EXPECT_EQ(verdict.call, Call::keep_watching);
  for (int i = 0; i < 50; ++i) verdict = tick({40, 4}, {400, 0});
  EXPECT_EQ(verdict.call, Call::roll_back);
}

TEST_F(CanaryVerdict, NamesTheOneBadHostAndJudgesTheOthersAnewWithoutIt) {
  std::mt19937_64 random(3);
  auto one_second = [&](bool with_web2) {
    now += 1s;
    hosts.clear();
    for (int host = 1; host <= 10; ++host) {
      bool bad = host == 2;
      auto cohort = host > 4 ? Cohort::baseline : bad && !with_web2 ? Cohort::neither : Cohort::canary;
      hosts.push_back({"web" + std::to_string(host), cohort, false, 100, bad ? 20 : std::poisson_distribution<std::uint64_t>(0.2)(random)});
    }
    return test.tick({now, 1s, Season::live, 0, 1}, hosts);
  };
  Verdict verdict;
  for (int i = 0; i < 120 && verdict.call != Call::roll_back; ++i) verdict = one_second(true);
  ASSERT_EQ(verdict.call, Call::roll_back);
  ASSERT_EQ(test.evidence(hosts).bad_host, 1U) << said(test);
  test.leave_out(1);
  for (int i = 0; i < 300; ++i) ASSERT_NE(one_second(false).call, Call::roll_back) << i << ": " << said(test);
}

TEST_F(CanaryVerdict, KnowsAHostThatWasIllBeforeTheRollout) {
  for (int i = 0; i < 300; ++i) {
    now += 1s;
    std::vector<HostTick> fleet;
    for (int host = 0; host < 6; ++host) {
      auto failures = host == 1 ? 3U : i % 20 == host ? 1U : 0U;
      fleet.push_back({"web" + std::to_string(host), Cohort::baseline, false, 50, failures});
    }
    test.tick({now, 1s, Season::before, 0, 1}, fleet);
  }
  EXPECT_TRUE(test.was_ill_before(1));
  for (std::uint32_t host : {0U, 2U, 3U, 4U, 5U}) EXPECT_FALSE(test.was_ill_before(host)) << host;
  EXPECT_EQ(test.watched(), 300s);
}

TEST_F(CanaryVerdict, LeavesOutHostsOfNeitherCohort) {
  hosts = {{"web1", Cohort::neither, false, 100, 100}, {"web2", Cohort::baseline, false, 100, 0}};
  auto verdict = test.tick({start + 1s, 1s, Season::live, 0, 1}, hosts);
  EXPECT_EQ(test.evidence(hosts).canary_requests, 0U);
  EXPECT_EQ(test.evidence(hosts).baseline_requests, 0U);
  EXPECT_EQ(verdict.call, Call::keep_watching);
}

TEST_F(CanaryVerdict, CountsNoMoreFailuresThanRequests) {
  auto verdict = tick({2, 1'000'000}, {100, 0});
  EXPECT_EQ(test.evidence(hosts).canary_failures, 2U);
  EXPECT_NE(verdict.call, Call::roll_back);
}

TEST_F(CanaryVerdict, SaysWhatItSawInOneLine) {
  struct {
    const char* name;
    Counted canary;
    Counted baseline;
    const char* text;
  } const cases[] = {
      {"both fail", {431, 12}, {3912, 3}, "canary 12 of 431 requests failed (2.8%), baseline 3 of 3912 (0.08%): 36x ("},
      {"baseline does not fail", {431, 12}, {3912, 0}, "canary 12 of 431 requests failed (2.8%), baseline 0 of 3912 (0%); evidence "},
      {"canary does not fail", {431, 0}, {3912, 3}, "canary 0 of 431 requests failed (0%), baseline 3 of 3912 (0.08%); evidence "},
      {"no baseline", {431, 12}, {0, 0}, "canary 12 of 431 requests failed (2.8%), no baseline requests to compare with; evidence 1"},
  };
  for (const auto& [name, canary, baseline, text] : cases) {
    SCOPED_TRACE(name);
    CanaryTest once{AnalysisOptions{}};
    tick(once, canary, baseline);
    EXPECT_EQ(said(once).rfind(text, 0), 0U) << said(once);
    EXPECT_NE(said(once).find(", rolls back at 100"), std::string::npos) << said(once);
  }
}

// The interval holds the truth nearly always, whenever one looks, and closes in on it.
TEST(RatioInterval, HoldsTheTruthWheneverOneLooks) {
  std::mt19937_64 random(11);
  int missed = 0;
  double width = 0;
  constexpr int rollouts = 200;
  for (int rollout = 0; rollout < rollouts; ++rollout) {
    StrataCounts counts{{0, {}}, {1, {}}};
    bool outside = false;
    for (int second = 0; second < 200; ++second) {
      auto& at = counts[second / 100].counts;
      auto share = second < 100 ? 20.0 : 200.0;
      at.canary_requests += share;
      at.baseline_requests += 400;
      at.canary_failures += static_cast<double>(std::poisson_distribution<int>(share * 0.03)(random));
      at.baseline_failures += static_cast<double>(std::poisson_distribution<int>(400 * 0.01)(random));
      if (second % 10 != 9) continue;
      auto interval = ratio_interval(counts, 0.99, 1);
      outside = outside || interval.low > 3 || (interval.high && *interval.high < 3);
      if (second == 199) width += interval.high.value_or(1e9) / interval.low;
    }
    missed += outside ? 1 : 0;
  }
  EXPECT_LE(missed, 5);
  EXPECT_LT(width / rollouts, 2);
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
