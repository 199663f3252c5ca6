// What the test promises, measured on simulated rollouts with fixed seeds.

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr Instant start(Duration(1'700'000'000'000));

struct Fleet {
  double canary_requests = 20;  // a second
  double baseline_requests = 180;
  std::function<double(int second)> baseline_rate;
  std::function<double(int second)> canary_rate;
};

struct Outcome {
  bool rolled_back = false;
  int seconds = 0;
  std::uint64_t failed_canary_requests = 0;
};

std::uint64_t drawn(std::mt19937_64& random, double mean) { return mean > 0 ? std::poisson_distribution<std::uint64_t>(mean)(random) : 0; }

Outcome roll_out(const Fleet& fleet, int seconds, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  CanaryTest test{AnalysisOptions{}};
  Outcome outcome;
  // The baseline is known for half a minute before the canary joins.
  for (int second = -30; second < seconds; ++second) {
    auto now = start + std::chrono::seconds(second + 1);
    std::vector<HostTick> hosts{{"baseline", Cohort::baseline, 0s, drawn(random, fleet.baseline_requests), 0},
                                {"canary", Cohort::canary, std::chrono::seconds(second + 1), 0, 0}};
    hosts[0].failures = std::binomial_distribution<std::uint64_t>(hosts[0].requests, fleet.baseline_rate(second))(random);
    if (second >= 0) {
      hosts[1].requests = drawn(random, fleet.canary_requests);
      hosts[1].failures = std::binomial_distribution<std::uint64_t>(hosts[1].requests, fleet.canary_rate(second))(random);
    }
    if (second > 0 && second % 120 == 0) test.stage_changed(now);
    auto verdict = test.tick(now, 1s, hosts);
    outcome.failed_canary_requests = verdict.evidence.canary_failures;
    outcome.seconds = second;
    if (verdict.call == Call::roll_back) {
      outcome.rolled_back = true;
      break;
    }
  }
  return outcome;
}

int rolled_back_of(int runs, const Fleet& fleet, int seconds) {
  int count = 0;
  for (int run = 0; run < runs; ++run) count += roll_out(fleet, seconds, static_cast<std::uint64_t>(run)).rolled_back ? 1 : 0;
  return count;
}

// 1% of 2,000 is 20; with three standard deviations of luck, 34.
constexpr int runs = 2000;
constexpr int roll_backs_most = 34;

TEST(VerdictErrorRates, AReleaseThatIsTheSameIsHardlyEverRolledBack) {
  auto rate = [](int) { return 0.01; };
  auto count = rolled_back_of(runs, Fleet{.baseline_rate = rate, .canary_rate = rate}, 300);
  RecordProperty("rolled_back", count);
  std::printf("the same release: %d of %d rolled back\n", count, runs);
  EXPECT_LE(count, roll_backs_most);
}

TEST(VerdictErrorRates, AReleaseAtTheVeryEdgeOfWhatIsToleratedKeepsThePromiseWhileTheBaselineDrifts) {
  auto baseline = [](int second) { return 0.02 + 0.018 * std::sin(second / 25.0); };
  auto canary = [&](int second) { return 1.1 * baseline(second) + 1e-4; };
  auto count = rolled_back_of(runs, Fleet{.baseline_rate = baseline, .canary_rate = canary}, 300);
  RecordProperty("rolled_back", count);
  std::printf("at the edge, drifting: %d of %d rolled back\n", count, runs);
  EXPECT_LE(count, roll_backs_most);
}

TEST(VerdictErrorRates, FivePercentAgainstATenthOfAPercentCostsFewRequestsAtAOnePercentShare) {
  Fleet fleet{
      .canary_requests = 2, .baseline_requests = 198, .baseline_rate = [](int) { return 0.001; }, .canary_rate = [](int) { return 0.05; }};
  std::vector<std::uint64_t> failed;
  std::vector<int> seconds;
  for (std::uint64_t seed = 0; seed < 301; ++seed) {
    auto outcome = roll_out(fleet, 900, seed);
    ASSERT_TRUE(outcome.rolled_back) << "seed " << seed;
    failed.push_back(outcome.failed_canary_requests);
    seconds.push_back(outcome.seconds);
  }
  std::sort(failed.begin(), failed.end());
  std::sort(seconds.begin(), seconds.end());
  std::printf("5%% against 0.1%%, 200 requests/s, 1%% share: median %lu failed requests, %d s; worst of %zu: %lu, %d s\n",
              static_cast<unsigned long>(failed[failed.size() / 2]), seconds[seconds.size() / 2], failed.size(),
              static_cast<unsigned long>(failed.back()), seconds.back());
  EXPECT_LE(failed[failed.size() / 2], 10U);
  EXPECT_LE(failed.back(), 40U);
}

}  // namespace
}  // namespace shiftd
