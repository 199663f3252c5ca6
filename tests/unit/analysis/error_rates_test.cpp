// What the verdict promises, measured on simulated rollouts of good releases with fixed seeds: 2,000 of each family, or
// SHIFTD_ROLLOUTS of them.

#include <cstdlib>

#include <gtest/gtest.h>

#include "daemon/analysis/calibrate.hpp"
#include "tests/fakes/verdict_world.hpp"

namespace shiftd {
namespace {

struct Family {
  GoodRelease release;
  double most = 0.01;  // the upper bound of the share that is rolled back
};

std::vector<Family> families() {
  return {
      {{.name = "plain"}},
      {{.name = "bursts", .bursts_per_hour = 1, .history_s = 3600, .tick_s = 10}, 0.02},
      {{.name = "heterogeneity", .spread = 0.4}},
      {{.name = "drift", .rate = 0.02, .drift = 0.9}},
      {{.name = "low_traffic", .requests_per_s = 0.5, .rate = 0.002}},
      {{.name = "joiners_with_warm_up", .hosts = 10, .canaries = 1, .join_every_s = 60, .keep_old = 4, .warm_up_rate = 0.1}},
      {{.name = "shrinking_baseline", .hosts = 8, .canaries = 1, .spread = 0.2, .join_every_s = 60, .keep_old = 1}},
      {{.name = "three_hours", .hosts = 6, .serving_s = 10'800, .join_every_s = 3600, .keep_old = 2, .tick_s = 30}},
      {{.name = "restarts", .hosts = 6, .serving_s = 300, .restart_every_s = 60}},
      {{.name = "counters_that_dip", .dips = true}},
  };
}

// Sanitizers watch for other things, ten times as slowly. Fewer could not show a bound of 1%.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int usual_rollouts = 1000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr int usual_rollouts = 1000;
#else
constexpr int usual_rollouts = 2000;
#endif
#else
constexpr int usual_rollouts = 2000;
#endif

int rollouts() {
  const char* given = std::getenv("SHIFTD_ROLLOUTS");
  return given != nullptr ? std::max(100, std::atoi(given)) : usual_rollouts;
}

class GoodReleases : public testing::TestWithParam<Family> {};

TEST_P(GoodReleases, AreHardlyEverRolledBack) {
  const auto& [release, most] = GetParam();
  AnalysisOptions options;
  if (release.serving_s > 1920) options.restart_every = std::chrono::seconds(release.serving_s) / 64;
  auto count = rolled_back(release, rollouts(), options);
  auto bound = upper_bound(count, rollouts());
  std::printf("%s: %d of %d rolled back, upper bound %.2f%%\n", release.name.c_str(), count, rollouts(), 100 * bound);
  RecordProperty("rolled_back", count);
  EXPECT_LE(bound, most);
}

INSTANTIATE_TEST_SUITE_P(Families, GoodReleases, testing::ValuesIn(families()), [](const auto& given) { return given.param.release.name; });

TEST(BadReleases, AreRolledBackInTheSameWorlds) {
  for (auto family : families()) {
    SCOPED_TRACE(family.release.name);
    family.release.broken = true;
    if (family.release.name == "low_traffic") continue;  // 5 x 0.2% of one request a second is below what anybody can tell
    EXPECT_GE(rolled_back(family.release, 20), 19);
  }
}

TEST(UpperBound, IsClopperAndPearsons) {
  EXPECT_NEAR(upper_bound(0, 2000), 1 - std::pow(0.05, 1 / 2000.0), 1e-9);
  EXPECT_NEAR(upper_bound(10, 2000), 0.00846, 2e-5);
}

}  // namespace
}  // namespace shiftd
