#include "daemon/analysis/calibrate.hpp"

#include <random>

#include <gtest/gtest.h>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// Hours of eight hosts' history, in points of ten seconds; `burst` of the host-points are ones in which most requests fail.
Trace history_of(Duration length, double requests_per_s, double burst) {
  Trace trace;
  std::mt19937 random(7);
  std::poisson_distribution<int> requests(requests_per_s * 10);
  for (int host = 0; host < 8; ++host) trace.hosts.push_back("web" + std::to_string(host));
  auto now = Instant(1'700'000'000'000ms);
  for (Duration t{0}; t < length; t += 10s) {
    TraceRow row;
    row.frame = {now += 10s, 10s, Season::before, 0, 1};
    for (const auto& name : trace.hosts) {
      auto count = requests(random);
      bool bad = std::bernoulli_distribution(burst)(random);
      auto failures = std::binomial_distribution<int>(count, bad ? 0.6 : 0.002)(random);
      row.hosts.push_back({name, Cohort::baseline, false, static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(failures)});
    }
    trace.rows.push_back(std::move(row));
  }
  return trace;
}

TEST(Calibrate, FindsNoFalseAlarmsWhereNothingHappens) {
  auto found = calibrate(history_of(3h, 20, 0), {}, {});
  EXPECT_EQ(found.too_little, "");
  EXPECT_EQ(found.stretches, 16);  // of ten minutes; the first twenty are learnt from
  EXPECT_EQ(found.rollouts, 16 * 20);
  EXPECT_EQ(found.false_alarms, 0);
  EXPECT_GT(found.proven, 0);
  EXPECT_LT(found.at_most, 0.2);
}

TEST(Calibrate, FindsSettingsThatCryWolf) {
  auto history = history_of(2h, 20, 0.002);
  AnalysisOptions reckless;
  reckless.confidence = 0.5;
  reckless.block = 1h;  // bursts are never learnt
  auto found = calibrate(history, reckless, {});
  EXPECT_GT(found.false_alarms, 0);
  EXPECT_GT(found.alarmed, 0);
  EXPECT_LE(found.alarmed, found.stretches);
  EXPECT_LT(calibrate(history, {}, {}).false_alarms, found.false_alarms);
}

TEST(Calibrate, SaysWhenNothingCanBeSaid) {
  EXPECT_NE(calibrate(history_of(15min, 20, 0), {}, {}).too_little.find("15m of history are too little: 20m"), std::string::npos);
  EXPECT_NE(calibrate(history_of(2h, 0, 0), {}, {}).too_little.find("no host that would be the canary had a request"), std::string::npos);
  CalibrationWishes all_of_them;
  all_of_them.canaries = 8;
  EXPECT_NE(calibrate(history_of(2h, 20, 0), {}, all_of_them).too_little.find("something to compare"), std::string::npos);
  EXPECT_NE(calibrate({}, {}, {}).too_little, "");
}

TEST(Calibrate, SaysTheSameOfTheSameHistory) {
  auto history = history_of(1h, 20, 0.002);
  EXPECT_EQ(calibrate(history, {}, {}), calibrate(history, {}, {}));
}

TEST(Calibrate, TellsItInWords) {
  auto text = to_string(calibrate(history_of(1h, 20, 0), {}, {}));
  EXPECT_NE(text.find("1h of history of 8 hosts: 80 rollouts of nothing, 1 host as canary, in 4 stretches of 10m"), std::string::npos)
      << text;
  EXPECT_NE(text.find("false alarms: 0 of 80 rollouts (0%), in 0 of 4 stretches; with 95% confidence at most 52.7% of"), std::string::npos)
      << text;
  EXPECT_NE(text.find("so few stretches"), std::string::npos) << text;
}

TEST(Calibrate, BoundsAreClopperAndPearsons) {
  EXPECT_NEAR(upper_bound(0, 10), 1 - std::pow(0.05, 0.1), 1e-9);
  EXPECT_NEAR(upper_bound(1, 20), 0.21611, 1e-4);
  EXPECT_EQ(upper_bound(3, 3), 1);
  EXPECT_EQ(upper_bound(0, 0), 1);
}

}  // namespace
}  // namespace shiftd
