#include "daemon/config/units.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

TEST(ParseDuration, ReadsNumbersWithUnits) {
  struct {
    std::string_view text;
    Duration duration;
  } const cases[] = {{"250ms", 250ms},
                     {"0s", 0s},
                     {"30s", 30s},
                     {"5m", 5min},
                     {"2h", 2h},
                     {"1h 30m", 90min},
                     {"1h30m", 90min},
                     {"1m 5s 7ms", 65'007ms},
                     {"999999999ms", 999'999'999ms},
                     {"007s", 7s}};
  for (const auto& [text, duration] : cases) {
    SCOPED_TRACE(text);
    auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(*parsed, duration);
  }
}

TEST(ParseDuration, RefusesWhatItMightMisunderstand) {
  for (auto text : {"",     " ",    "30",    "0",      "s",   "1.5s", "-1s",     "+1s",         "1 s",  "1d",   "1S",
                    "1min", "1s1m", "1s 1s", "30m 1h", "1s ", " 1s",  "1s  1ms", "9999999999s", "0x1s", "1e3s", "∞"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(ParseDuration, ToldABareNumberAsksForItsUnit) {
  EXPECT_EQ(parse_duration("30").error().what, "'30' has no unit: write 30s for seconds (units are ms, s, m, h)");
}

TEST(ParseDuration, ReadsWhatShiftdItselfWrites) {
  for (auto duration : {Duration(0), Duration(1ms), Duration(45s), Duration(90min), Duration(25h)}) {
    auto parsed = parse_duration(to_string(duration));
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(*parsed, duration);
  }
}

TEST(ParseQuota, ReadsCountsAndPercentages) {
  EXPECT_EQ(parse_quota("0").value(), (HostQuota{0, {}}));
  EXPECT_EQ(parse_quota("12").value(), (HostQuota{12, {}}));
  EXPECT_EQ(parse_quota("10%").value(), (HostQuota{0, BasisPoints{1'000}}));
  for (auto text : {"", "-1", "1.5", "101%", "%", "1 host", "1000000000"}) EXPECT_FALSE(parse_quota(text)) << text;
}

TEST(ParsePercent, ReadsFractions) {
  struct {
    std::string_view text;
    double fraction;
  } const cases[] = {{"0%", 0}, {"0.01%", 1e-4}, {"99%", 0.99}, {"99.9%", 0.999}, {"100%", 1}, {"0.000001%", 1e-8}};
  for (const auto& [text, fraction] : cases) {
    SCOPED_TRACE(text);
    auto parsed = parse_percent(text);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_DOUBLE_EQ(*parsed, fraction);
  }
  for (auto text : {"", "%", "0.1", "1", "-1%", "100.1%", ".5%", "5.%", "nan%", "inf%", "1e1%", "1 %", "0.0000001%"}) {
    EXPECT_FALSE(parse_percent(text)) << text;
  }
}

TEST(ParseFactor, ReadsPlainNumbersAndTimes) {
  EXPECT_DOUBLE_EQ(parse_factor("1.1x").value(), 1.1);
  EXPECT_DOUBLE_EQ(parse_factor("1.25").value(), 1.25);
  EXPECT_DOUBLE_EQ(parse_factor("2").value(), 2);
  for (auto text : {"", "x", "-1", "1,1", "1.1.1", "nan", "inf", "0x1", "1xx", "110%"}) EXPECT_FALSE(parse_factor(text)) << text;
}

TEST(ParseHostPort, ReadsHostsAndPorts) {
  struct {
    std::string_view text;
    Address address;
    std::string_view written;
  } const cases[] = {{"10.1.2.3:8080", {"10.1.2.3", 8080, ""}, "10.1.2.3:8080"},
                     {"web1.example.net:1", {"web1.example.net", 1, ""}, "web1.example.net:1"},
                     {"[2001:db8::1]:65535", {"2001:db8::1", 65535, ""}, "[2001:db8::1]:65535"},
                     {"web_1", {"web_1", 22, ""}, "web_1:22"},
                     {"[::1]", {"::1", 22, ""}, "[::1]:22"}};
  for (const auto& [text, address, written] : cases) {
    SCOPED_TRACE(text);
    auto parsed = parse_host_port(text, 22);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(*parsed, address);
    EXPECT_EQ(to_string(*parsed), written);
  }
}

TEST(ParseHostPort, RefusesWhatIsNoAddress) {
  for (auto text : {"", ":80", "web1:", "web1:0", "web1:65536", "web1:-1", "web1:http", "10.1.2.300:80", "1.2.3:80", "::1:80", "[::1",
                    "[::1]80", "[web1]:80", "[]:80", "we b1:80", "web1;id:80", "-web1:80", "web1:80/x", "user@web1:80"}) {
    EXPECT_FALSE(parse_host_port(text, 22)) << text;
  }
  EXPECT_FALSE(parse_host_port("web1", std::nullopt));
}

TEST(InQuotes, KeepsAnErrorOnOneLineAndShort) {
  EXPECT_EQ(in_quotes("a\nb\x1b[31m"), "'a?b?[31m'");
  EXPECT_EQ(in_quotes(std::string(300, 'a')), "'" + std::string(120, 'a') + "...'");
  EXPECT_EQ(in_quotes(std::string(119, 'a') + "é"), "'" + std::string(119, 'a') + "...'") << "a character is not cut in two";
}

}  // namespace
}  // namespace shiftd
