#include "daemon/analysis/metric.hpp"

#include <cmath>

#include <gtest/gtest.h>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

AnalysisOptions cold() {
  AnalysisOptions options;
  options.warm_up = 0s;
  return options;
}

MetricOptions ratio(MetricMay may, double weight = 0.1) {
  MetricOptions options;
  options.name = "slow";
  options.may = may;
  options.weight = weight;
  return options;
}

MetricOptions threshold(MetricMay may) {
  MetricOptions options;
  options.name = "queue";
  options.may = may;
  options.above = 100;
  options.lasting = 30s;
  return options;
}

// One canary host and three others, read every five seconds.
struct Readings {
  std::vector<HostTick> hosts{
      {"web1", Cohort::canary, true}, {"web2", Cohort::baseline}, {"web3", Cohort::baseline}, {"web4", Cohort::baseline}};
  std::vector<std::optional<MetricReading>> counters = std::vector<std::optional<MetricReading>>(4, MetricReading{});
  Instant now{1'700'000'000'000ms};

  void pass(Metric& metric, int times, double canary_bad, double others_bad) {
    for (int time = 0; time < times; ++time) {
      for (std::size_t host = 0; host < counters.size(); ++host) {
        if (!counters[host]) continue;
        counters[host]->all += 500;
        counters[host]->bad += host == 0 ? canary_bad : others_bad;
      }
      metric.tick({now += 5s, 5s, Season::live, 0, 0.5}, hosts, counters);
    }
  }
  void values(Metric& metric, int times, double canary, double others) {
    for (int time = 0; time < times; ++time) {
      for (std::size_t host = 0; host < counters.size(); ++host) counters[host] = MetricReading{host == 0 ? canary : others, 0};
      metric.tick({now += 5s, 5s, Season::live, 0, 0.5}, hosts, counters);
    }
  }
};

Ruling ruled(const Metric& metric, Call call = Call::promote, const std::set<std::string>& ignored = {}) {
  return with_metrics({call, {}, "5xx are well"}, {Call::keep_watching, 0, 0}, {metric}, ignored, 0.99);
}

TEST(Metric, ARatioThatIsWorseOnTheCanaryRollsBack) {
  Metric metric(ratio(MetricMay::roll_back), cold());
  Readings readings;
  readings.pass(metric, 12, 50, 1);
  EXPECT_TRUE(metric.speaks_against());
  auto ruling = ruled(metric);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_NE(ruling.text.find("metric slow: canary 550 of 5500 (10%)"), std::string::npos) << ruling.text;
}

TEST(Metric, ARatioThatIsAlikeOnBothStaysQuiet) {
  Metric metric(ratio(MetricMay::roll_back), cold());
  Readings readings;
  readings.pass(metric, 100, 5, 5);
  EXPECT_FALSE(metric.speaks_against());
  EXPECT_EQ(ruled(metric).call, Call::promote);
}

TEST(Metric, DoesNoMoreThanItMay) {
  for (auto may : {MetricMay::hold, MetricMay::inform}) {
    Metric metric(ratio(may), cold());
    Readings readings;
    readings.pass(metric, 30, 50, 1);
    EXPECT_TRUE(metric.speaks_against());
    EXPECT_EQ(ruled(metric).call, may == MetricMay::hold ? Call::keep_watching : Call::promote);
    EXPECT_EQ(ruled(metric, Call::promote, {"slow"}).call, Call::promote) << "a person took it out";
  }
}

TEST(Metric, ThatIsNotKnownHoldsUnlessItOnlyInforms) {
  for (auto may : {MetricMay::roll_back, MetricMay::hold, MetricMay::inform}) {
    Metric metric(ratio(may), cold());
    EXPECT_EQ(ruled(metric).call, may == MetricMay::inform ? Call::promote : Call::keep_watching) << to_string(may);
    Readings readings;
    readings.pass(metric, 10, 1, 1);
    EXPECT_EQ(ruled(metric).call, Call::promote);
    readings.counters[0].reset();
    readings.pass(metric, 1, 1, 1);
    EXPECT_EQ(metric.trouble(), "it has nothing of web1");
    metric.silent("no answer");
    EXPECT_EQ(ruled(metric).call, may == MetricMay::inform ? Call::promote : Call::keep_watching);
    EXPECT_EQ(ruled(metric, Call::promote, {"slow"}).call, Call::promote);
  }
}

TEST(Metric, CountersThatBeginAgainAreNoEvidence) {
  Metric metric(ratio(MetricMay::roll_back), cold());
  Readings readings;
  readings.counters[0] = MetricReading{1e6, 1e7};
  readings.pass(metric, 5, 1, 1);
  readings.counters[0] = MetricReading{0, 0};  // restarted
  readings.pass(metric, 5, 1, 1);
  readings.counters[0]->bad = 0;  // one series of it is missing for once
  readings.pass(metric, 5, 1, 1);
  EXPECT_FALSE(metric.speaks_against());
  EXPECT_LT(metric.log_e(), std::log(2));
}

TEST(Metric, AHostThatChangedOverBetweenTwoReadingsCountsForNeither) {
  Metric metric(ratio(MetricMay::roll_back), cold());
  Readings readings;
  readings.pass(metric, 5, 1, 1);
  readings.hosts[1].cohort = Cohort::canary;
  readings.counters[1]->bad += 400;  // while it served the old release, or while it restarted
  readings.pass(metric, 1, 1, 1);
  readings.pass(metric, 5, 1, 1);
  EXPECT_LT(metric.log_e(), std::log(2));
}

TEST(Metric, AThresholdSpeaksWhenItIsExceededForLong) {
  Metric metric(threshold(MetricMay::roll_back), cold());
  Readings readings;
  readings.values(metric, 3, 150, 150);
  EXPECT_FALSE(metric.speaks_against());
  readings.values(metric, 1, 50, 150);
  readings.values(metric, 5, 150, 0);
  EXPECT_FALSE(metric.speaks_against()) << "it was not exceeded once between";
  readings.values(metric, 1, 151, 0);
  EXPECT_TRUE(metric.speaks_against());
  auto ruling = ruled(metric);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_EQ(ruling.text, "metric queue: web1 is over 100 for 30s: 151");
  readings.values(metric, 1, 99, 0);
  EXPECT_FALSE(metric.speaks_against());
}

// Neither alone is enough; the mean of both is.
TEST(Metric, EvidenceOfSeveralIsAveraged) {
  Metric metric(ratio(MetricMay::roll_back, 0.5), cold());
  Readings readings;
  while (metric.log_e() < std::log(60)) readings.pass(metric, 1, 3, 1);
  ASSERT_LT(metric.log_e(), std::log(190));
  ASSERT_FALSE(metric.speaks_against());
  auto with_5xx = [&](double e, const std::set<std::string>& ignored = {}) {
    return with_metrics({Call::keep_watching, {}, ""}, {Call::keep_watching, std::log(e), 0}, {metric}, ignored, 0.99).call;
  };
  EXPECT_EQ(with_5xx(1), Call::keep_watching);
  EXPECT_EQ(with_5xx(150), Call::roll_back);
  EXPECT_EQ(with_5xx(150, {"slow"}), Call::keep_watching) << "what is ignored adds nothing";
}

TEST(Metric, GoesOnFromItsCheckpoint) {
  Metric straight(ratio(MetricMay::roll_back), cold());
  Metric interrupted(ratio(MetricMay::roll_back), cold());
  Readings one;
  Readings other;
  one.pass(straight, 20, 3, 1);
  other.pass(interrupted, 10, 3, 1);
  Metric restarted(ratio(MetricMay::roll_back), cold());
  ASSERT_TRUE(restarted.restore(interrupted.checkpoint()));
  other.pass(restarted, 10, 3, 1);
  EXPECT_EQ(restarted.log_e(), straight.log_e());
  EXPECT_EQ(restarted.text(), straight.text());
  for (const char* damaged : {"", "{}", "{\"test\":7}", "[]"}) EXPECT_FALSE(restarted.restore(damaged)) << damaged;
  EXPECT_EQ(restarted.log_e(), straight.log_e());
}

}  // namespace
}  // namespace shiftd
