#include "daemon/analysis/trace.hpp"

#include <sstream>

#include <gtest/gtest.h>

#include "daemon/analysis/tune.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

Result<Trace> read(const std::string& text) {
  std::istringstream in(text);
  return read_trace(in);
}

const std::vector<std::string> hosts = {"web1", "web2", "web3", "web4", "web5"};

TraceRow sample_row() {
  TraceRow row;
  row.frame = {Instant(1'700'000'000'123ms), 997ms, Season::live, 3, 0.1 + 0.2};
  row.anew = true;
  row.hosts = {{"web1", Cohort::canary, true, 1234, 5},
               {"web2", Cohort::canary, false, 12, 0},
               {"web3", Cohort::baseline, false, 0, 0},
               {"web4", Cohort::candidate, false, 99, 99},
               {"web5", Cohort::neither, false, 7, 1}};
  return row;
}

TEST(Trace, OfTheSecondKindReadsBackAsItWasWritten) {
  AnalysisOptions options;
  options.tolerate = 1.3;
  options.confidence = 0.999;
  auto row = sample_row();
  auto trace = read(trace_head("web-7", hosts, options) + trace_row(row) + trace_row(row));
  ASSERT_TRUE(trace) << trace.error();
  EXPECT_EQ(trace->id, "web-7");
  EXPECT_EQ(trace->canaries, 0U);
  EXPECT_EQ(trace->hosts, hosts);
  EXPECT_EQ(settings_text(trace->options), settings_text(options));
  ASSERT_EQ(trace->rows.size(), 2U);
  const auto& got = trace->rows[1];
  EXPECT_EQ(got.frame.end, row.frame.end);
  EXPECT_EQ(got.frame.length, row.frame.length);
  EXPECT_EQ(got.frame.season, row.frame.season);
  EXPECT_EQ(got.frame.stage, row.frame.stage);
  EXPECT_EQ(got.frame.next_share, row.frame.next_share);
  EXPECT_TRUE(got.anew);
  for (std::size_t host = 0; host < hosts.size(); ++host) {
    SCOPED_TRACE(hosts[host]);
    EXPECT_EQ(got.hosts[host].host, hosts[host]);
    EXPECT_EQ(got.hosts[host].cohort, row.hosts[host].cohort);
    EXPECT_EQ(got.hosts[host].seasoned, row.hosts[host].seasoned);
    EXPECT_EQ(got.hosts[host].requests, row.hosts[host].requests);
    EXPECT_EQ(got.hosts[host].failures, row.hosts[host].failures);
  }
}

TEST(Trace, RefusesWhatIsNoneAndSaysWhere) {
  auto head = trace_head("a", {"web1"}, {});
  struct {
    const char* name;
    std::string text;
    const char* why;
  } const cases[] = {
      {"nothing", "", "ends too early"},
      {"another kind", "shiftd-trace 3\n", "line 1: a shiftd-trace of another kind"},
      {"no hosts", "shiftd-trace 2\nid a\nhosts\ntune\n", "line 3: there is no host"},
      {"a setting that is none", "shiftd-trace 2\nid a\nhosts web1\ntune speed=9\n", "line 4: speed=9"},
      {"a cohort that is none", head + "1 1000 2 0 1 0 x5\n", "line 5: what host web1 serves"},
      {"a host too few", head + "1 1000 2 0 1 0\n", "line 5: a host is missing"},
      {"a host too many", head + "1 1000 2 0 1 0 b5 b5\n", "line 5: more than one entry"},
      {"a phase that is none", head + "1 1000 3 0 1 0 b\n", "line 5: 'phase'"},
      {"no time", head + "1 0 2 0 1 0 b\n", "line 5: 'length'"},
      {"a negative count", head + "1 1000 2 0 1 0 b-5\n", "line 5: more than one entry"},
      {"a count beyond all measure", head + "1 1000 2 0 1 0 b99999999999999999999\n", "line 5: 'requests'"},
      {"a share of nothing", head + "1 1000 2 0 0 0 b\n", "line 5: 'next_share'"},
  };
  for (const auto& [name, text, why] : cases) {
    SCOPED_TRACE(name);
    auto trace = read(text);
    ASSERT_FALSE(trace);
    EXPECT_NE(trace.error().what.find(why), std::string::npos) << trace.error().what;
  }
}

// What a recorded rollout is judged to be is what it was judged to be: hosts join, stages begin.
TEST(Trace, OfTheSecondKindIsJudgedAsItWas) {
  AnalysisOptions options;
  options.warm_up = 5s;
  CanaryTest test(options);
  auto text = trace_head("joining", hosts, options);
  auto now = Instant(1'700'000'000'000ms);
  double log_e = 0;
  for (int second = 0; second < 240; ++second) {
    TraceRow row;
    auto joined = static_cast<std::size_t>(second / 60);
    row.anew = second % 60 == 0;
    row.frame = {now += 1s, 1s, joined == 0 ? Season::before : Season::live, static_cast<std::uint32_t>(joined), 0.5};
    for (std::size_t host = 0; host < hosts.size(); ++host) {
      auto failures = static_cast<std::uint64_t>((second + static_cast<int>(host)) % 13 == 0 ? 2 : 0);
      row.hosts.push_back({hosts[host], host < joined ? Cohort::canary : Cohort::baseline, false, 50 + host, failures});
    }
    if (row.anew) test.stage_changed(row.frame.end);
    log_e = test.tick(row.frame, row.hosts).log_e;
    text += trace_row(row);
  }
  auto trace = read(text);
  ASSERT_TRUE(trace) << trace.error();
  double replayed = 0;
  replay(*trace, trace->options, [&](std::size_t, const CanaryTest&, const Verdict& verdict) { replayed = verdict.log_e; });
  EXPECT_TRUE(std::isfinite(log_e));
  EXPECT_EQ(replayed, log_e);
}

TEST(Tune, TakesTheWordsOfTheServiceFile) {
  AnalysisOptions options;
  ASSERT_TRUE(tune(options, "tolerate=1.3x"));
  ASSERT_TRUE(tune(options, "confidence=99.9%"));
  ASSERT_TRUE(tune(options, "warm_up=2m"));
  ASSERT_TRUE(tune(options, "min_requests=7"));
  EXPECT_EQ(options.tolerate, 1.3);
  EXPECT_NEAR(options.confidence, 0.999, 1e-12);
  EXPECT_EQ(options.warm_up, 2min);
  EXPECT_EQ(options.min_requests, 7U);
  for (const char* wrong :
       {"", "tolerate", "speed=1", "tolerate=0.5", "tolerate=x", "tolerate=1.3%", "confidence=101%", "warm_up=-1s", "warm_up=1y"}) {
    SCOPED_TRACE(wrong);
    EXPECT_FALSE(tune(options, wrong));
  }
}

TEST(Tune, WritesWhatItReads) {
  AnalysisOptions options;
  options.ignore_below = 0.1 / 3;
  options.block = 3700ms;
  AnalysisOptions read;
  std::istringstream words(settings_text(options));
  for (std::string word; words >> word;) ASSERT_TRUE(tune(read, word)) << word;
  EXPECT_EQ(settings_text(read), settings_text(options));
  EXPECT_EQ(read.ignore_below, options.ignore_below);
}

}  // namespace
}  // namespace shiftd
