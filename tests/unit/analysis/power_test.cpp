#include "daemon/analysis/power.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr StageTraffic traffic{.canary_per_s = 20, .baseline_per_s = 180, .failure_rate = 0.01, .next_share = 0.5};

// Seconds from the first canary request to the call, after ten minutes of watching; the median of some rollouts.
double median_time(double canary_rate, Call wanted) {
  std::vector<double> times;
  for (unsigned seed = 0; seed < 31; ++seed) {
    std::mt19937_64 random(seed);
    auto drawn = [&](double mean) { return std::poisson_distribution<std::uint64_t>(mean)(random); };
    AnalysisOptions options;
    options.warm_up = 0s;
    CanaryTest test(options);
    Instant now(1'700'000'000s);
    int second = -600;
    for (; second < 3600; ++second) {
      std::vector<HostTick> hosts;
      for (int host = 0; host < 10; ++host) {
        auto canary = host == 0 && second >= 0;
        auto requests = drawn(20);
        auto failures = std::min(requests, drawn(20 * (canary ? canary_rate : traffic.failure_rate)));
        hosts.push_back({"web", canary ? Cohort::canary : Cohort::baseline, false, requests, failures});
      }
      now += 1s;
      if (test.tick({now, 1s, second < 0 ? Season::before : Season::live, 0, traffic.next_share}, hosts).call == wanted) break;
    }
    times.push_back(second);
  }
  std::nth_element(times.begin(), times.begin() + 15, times.end());
  return times[15];
}

TEST(Power, TellsAboutHowLongItTakes) {
  AnalysisOptions options;
  for (auto canary_rate : {0.03, 0.05, 0.2}) {
    SCOPED_TRACE(canary_rate);
    auto told = time_to_roll_back(options, traffic, canary_rate);
    ASSERT_TRUE(told);
    auto seen = median_time(canary_rate, Call::roll_back);
    std::printf("fails %.2f: told %.0f s, seen %.0f s\n", canary_rate, static_cast<double>(told->count()) / 1000, seen);
    EXPECT_LT(seen, 4 * static_cast<double>(told->count()) / 1000 + 10);
    EXPECT_GT(seen, static_cast<double>(told->count()) / 4000 - 2);
  }
  auto told = time_to_promote(options, traffic);
  ASSERT_TRUE(told);
  auto seen = median_time(traffic.failure_rate, Call::promote);
  std::printf("good: told %.0f s, seen %.0f s\n", static_cast<double>(told->count()) / 1000, seen);
  EXPECT_LT(seen, 4 * static_cast<double>(told->count()) / 1000 + 40);
  EXPECT_GT(seen, static_cast<double>(told->count()) / 4000);
}

TEST(Power, NeverCatchesWhatIsTolerated) {
  EXPECT_FALSE(time_to_roll_back({}, traffic, traffic.failure_rate));
  EXPECT_FALSE(time_to_roll_back({}, {}, 1));
  EXPECT_FALSE(time_to_promote({}, {}));
}

}  // namespace
}  // namespace shiftd
