#include <random>

#include <gtest/gtest.h>

#include "daemon/analysis/verdict.hpp"
#include "tests/unit/analysis/start.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

TEST(VerdictCheckpoint, GoesOnTickByTickAsIfNothingHadHappened) {
  std::mt19937_64 random(7);
  std::poisson_distribution<std::uint64_t> requests(30);
  CanaryTest straight{AnalysisOptions{}};
  CanaryTest interrupted{AnalysisOptions{}};
  for (int i = 0; i < 400; ++i) {
    auto now = start + std::chrono::milliseconds(1337) * i;
    auto canary = i < 20 || i % 7 == 0 ? 0 : requests(random);
    auto failed = random() % 50 == 0 && canary > 0 ? std::uint64_t{1} : std::uint64_t{0};
    const std::vector<HostTick> hosts{{"web1", i < 15 ? Cohort::baseline : Cohort::canary, false, canary, failed},
                                      {"web2", i < 200 ? Cohort::baseline : Cohort::canary, false, requests(random), random() % 3 / 2},
                                      {"web3", Cohort::baseline, false, i % 5 == 0 ? 0 : 10 * requests(random), random() % 3}};
    TickFrame frame{now, 1337ms, i < 15 ? Season::before : Season::live, i < 200 ? 0U : 1U, 0.5};
    if (i % 90 == 60) {
      straight.stage_changed(now);
      interrupted.stage_changed(now);
    }
    auto verdict = straight.tick(frame, hosts);
    // A new process at every tick.
    CanaryTest restarted{AnalysisOptions{}};
    auto restored = restarted.restore(interrupted.checkpoint());
    ASSERT_TRUE(restored) << restored.error();
    interrupted = restarted;
    ASSERT_EQ(interrupted.tick(frame, hosts), verdict) << "tick " << i;
    ASSERT_EQ(interrupted.checkpoint(), straight.checkpoint()) << "tick " << i;
  }
}

TEST(VerdictCheckpoint, RefusesWhatItDidNotWriteAndStaysAsItWas) {
  CanaryTest test{AnalysisOptions{}};
  test.tick({start, 1s, Season::live, 0, 1}, {{"web1", Cohort::canary, false, 30, 1}, {"web2", Cohort::baseline, false, 300, 1}});
  const auto good = test.checkpoint();
  auto with = [&](std::string_view from, std::string_view to) {
    auto text = good;
    auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  struct {
    const char* name;
    std::string text;
  } const cases[] = {
      {"nothing", ""},
      {"half", good.substr(0, good.size() / 2)},
      {"no object", "[1]"},
      {"empty object", "{}"},
      {"another version", with("\"version\":2", "\"version\":1")},
      {"a text for a number", with("\"unstarted\":0.65", "\"unstarted\":\"0.65\"")},
      {"more mass than there is", with("\"unstarted\":0.65", "\"unstarted\":1.5")},
      {"too many alternatives", with("\"log_e\":[", "\"log_e\":[0,")},
      {"a negative count", with("\"canary_failures\":1", "\"canary_failures\":-1")},
      {"a count that is too large", with("\"canary_requests\":30", "\"canary_requests\":18446744073709551615")},
      {"a canary that is no host", with("\"host\":0", "\"host\":7")},
      {"a missing part", with("\"lasting\"", "\"listing\"")},
  };
  for (const auto& [name, text] : cases) {
    SCOPED_TRACE(name);
    auto restored = test.restore(text);
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().code, Errc::bad_input);
    EXPECT_EQ(test.checkpoint(), good);
  }
  EXPECT_TRUE(test.restore(good));
}

}  // namespace
}  // namespace shiftd
