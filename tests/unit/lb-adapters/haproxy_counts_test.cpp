#include "lb-adapters/haproxy/counts.hpp"

#include <gtest/gtest.h>

namespace shiftd::haproxy {
namespace {

StatRow row(const char* server, std::uint64_t begun, std::uint64_t current, std::uint64_t ok, std::uint64_t errors) {
  StatRow out;
  out.proxy = "app";
  out.server = server;
  out.total = begun;
  out.current = current;
  out.responses = {0, ok, 0, 0, errors, 0};
  return out;
}

using Rows = std::vector<StatRow>;

// One server and its backend.
Rows pool(std::uint64_t begun, std::uint64_t current, std::uint64_t ok, std::uint64_t errors, std::uint64_t backend_errors) {
  return {row("s1", begun, current, ok, errors), row("BACKEND", begun, current, ok, backend_errors)};
}

TEST(HaproxyCounts, TheFirstReadingMeansNothing) {
  RequestCounts counts;
  auto reading = counts.advance("1:1", pool(100, 0, 80, 10, 20));
  EXPECT_TRUE(reading.first);
  EXPECT_FALSE(reading.reset);
  EXPECT_EQ(reading.hosts, (std::vector<HostCounts>{{"s1", 0, 0}}));
}

TEST(HaproxyCounts, WhatWasBegunAndNeverAnsweredFailed) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  auto reading = counts.advance("1:1", pool(10, 2, 4, 1, 4));
  EXPECT_EQ(reading.hosts, (std::vector<HostCounts>{{"s1", 8, 4}}));
  EXPECT_EQ(reading.unattributed, 0u);
}

TEST(HaproxyCounts, ARequestOnItsWayWhenWeBeganIsNoFailureWhenItEnds) {
  RequestCounts counts;
  // Five have their status, and are still being sent to their clients.
  counts.advance("1:1", pool(5, 5, 5, 0, 0));
  // They end, while HAProxy answers five others itself that belong to nobody.
  auto reading = counts.advance("1:1", pool(5, 0, 5, 0, 5));
  EXPECT_EQ(reading.hosts, (std::vector<HostCounts>{{"s1", 0, 0}}));
  EXPECT_EQ(reading.unattributed, 5u);
}

TEST(HaproxyCounts, AFailureIsCountedLateRatherThanMadeUp) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  // One has failed, one is being sent: it could as well be that both are on their way.
  auto hidden = counts.advance("1:1", pool(2, 1, 1, 0, 1));
  EXPECT_EQ(hidden.hosts, (std::vector<HostCounts>{{"s1", 1, 0}}));
  auto seen = counts.advance("1:1", pool(2, 0, 1, 0, 1));
  EXPECT_EQ(seen.hosts, (std::vector<HostCounts>{{"s1", 1, 1}}));
}

TEST(HaproxyCounts, NeverTakesAFailureBack) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  EXPECT_EQ(counts.advance("1:1", pool(1, 0, 0, 0, 1)).hosts[0].failures, 1u);
  EXPECT_EQ(counts.advance("1:1", pool(9, 8, 8, 0, 1)).hosts[0], (HostCounts{"s1", 8, 0}));
  EXPECT_EQ(counts.advance("1:1", pool(9, 0, 8, 0, 1)).hosts[0], (HostCounts{"s1", 0, 0}));
}

TEST(HaproxyCounts, AClientThatHungUpIsNoFailure) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  // Begun and never answered, and HAProxy made no error of it.
  EXPECT_EQ(counts.advance("1:1", pool(3, 0, 0, 0, 0)).hosts[0], (HostCounts{"s1", 0, 0}));
}

TEST(HaproxyCounts, RetriesAndRedispatchesAreNoRequests) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  auto rows = pool(9, 0, 0, 0, 2);
  rows[0].retries = 6;
  rows[0].redispatches = 1;
  EXPECT_EQ(counts.advance("1:1", rows).hosts[0], (HostCounts{"s1", 2, 2}));
}

TEST(HaproxyCounts, InformationalAnswersDoNotHideFailures) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  // Two answered with 103 first, one failed.
  auto rows = pool(3, 0, 2, 0, 1);
  rows[0].responses[informational] = 2;
  EXPECT_EQ(counts.advance("1:1", rows).hosts[0], (HostCounts{"s1", 3, 1}));
}

TEST(HaproxyCounts, AnUpgradedConnectionIsNoFailure) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  auto rows = pool(3, 0, 0, 0, 2);
  rows[0].responses[informational] = 1;
  rows[1].responses[informational] = 1;
  EXPECT_EQ(counts.advance("1:1", rows).hosts[0], (HostCounts{"s1", 2, 2}));
}

TEST(HaproxyCounts, AResetIsSeenOnEveryRawColumnAndOnTheProcess) {
  struct {
    const char* name;
    const char* epoch;
    Rows rows;
    HostCounts since;
  } const cases[] = {
      {"another process", "2:1", pool(20, 0, 18, 1, 2), {"s1", 20, 2}},
      {"fewer begun", "1:1", pool(5, 0, 5, 0, 0), {"s1", 5, 0}},
      {"fewer errors", "1:1", pool(12, 0, 12, 0, 0), {"s1", 12, 0}},
      {"all at 0", "1:1", pool(0, 0, 0, 0, 0), {"s1", 0, 0}},
  };
  for (const auto& [name, epoch, rows, since] : cases) {
    SCOPED_TRACE(name);
    RequestCounts counts;
    counts.advance("1:1", pool(0, 0, 0, 0, 0));
    counts.advance("1:1", pool(10, 0, 8, 1, 2));
    auto reading = counts.advance(epoch, rows);
    EXPECT_TRUE(reading.reset);
    EXPECT_EQ(reading.hosts[0], since);
    EXPECT_FALSE(counts.advance(epoch, rows).reset);
  }
}

TEST(HaproxyCounts, TheDerivedPartAloneIsNeverTakenForAReset) {
  RequestCounts counts;
  counts.advance("1:1", pool(0, 0, 0, 0, 0));
  counts.advance("1:1", pool(10, 0, 8, 0, 2));
  EXPECT_FALSE(counts.advance("1:1", pool(12, 4, 10, 0, 2)).reset);
}

TEST(HaproxyCounts, OneServersReturnIsNotEverybodysReset) {
  RequestCounts counts;
  counts.advance("1:1", Rows{row("s1", 50, 0, 50, 0), row("s2", 50, 0, 50, 0), row("BACKEND", 100, 0, 100, 0)});
  auto reading = counts.advance("1:1", Rows{row("s1", 51, 0, 51, 0), row("s2", 2, 0, 2, 0), row("BACKEND", 103, 0, 103, 0)});
  EXPECT_TRUE(reading.reset);
  EXPECT_EQ(reading.hosts, (std::vector<HostCounts>{{"s1", 1, 0}, {"s2", 2, 0}}));
}

TEST(HaproxyCounts, AServerThatWasAddedCountsFromItsBeginning) {
  RequestCounts counts;
  counts.advance("1:1", Rows{row("s1", 50, 0, 50, 0), row("BACKEND", 50, 0, 50, 0)});
  auto reading = counts.advance("1:1", Rows{row("s1", 50, 0, 50, 0), row("s2", 3, 0, 2, 0), row("BACKEND", 53, 0, 52, 1)});
  EXPECT_FALSE(reading.reset);
  EXPECT_EQ(reading.hosts, (std::vector<HostCounts>{{"s1", 0, 0}, {"s2", 3, 1}}));
}

TEST(HaproxyCounts, ACheckpointCarriesEverythingThatTheNextReadingNeeds) {
  RequestCounts counts;
  counts.advance("1:1", pool(4, 2, 3, 0, 0));
  counts.advance("1:1", pool(10, 1, 7, 1, 2));
  RequestCounts other;
  ASSERT_TRUE(other.restore(counts.checkpoint()));
  EXPECT_EQ(other.checkpoint(), counts.checkpoint());
  auto next = pool(20, 0, 14, 2, 6);
  EXPECT_EQ(other.advance("1:1", next).hosts, counts.advance("1:1", next).hosts);
  EXPECT_EQ(other.checkpoint(), counts.checkpoint());
}

}  // namespace
}  // namespace shiftd::haproxy
