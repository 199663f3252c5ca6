#include "daemon/release/placeholders.hpp"

#include <string>

#include <gtest/gtest.h>

#include "daemon/release/release_scripts.hpp"

namespace shiftd {
namespace {

TEST(Placeholders, AreReplacedWhereverTheyStand) {
  const Placeholders values{{"host", "web1"}, {"address", "10.0.0.1:80"}, {"empty", ""}, {"loop", "{{host}}"}};
  struct {
    std::string text;
    std::string filled;
  } const cases[] = {
      {"", ""},
      {"plain } } { {", "plain } } { {"},
      {"{{host}}", "web1"},
      {"a {{host}} b {{address}}{{host}}", "a web1 b 10.0.0.1:80web1"},
      {"x{{empty}}y", "xy"},
      {"{{loop}}", "{{host}}"},
      {"awk '{print}' {{host}}", "awk '{print}' web1"},
  };
  for (const auto& [text, filled] : cases) {
    SCOPED_TRACE(text);
    auto result = fill_placeholders(text, values);
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(*result, filled);
  }
}

TEST(Placeholders, ThatNobodyKnowsAreBadInput) {
  for (const auto* text : {"{{hosts}}", "{{}}", "{{ host }}", "{{host", "a {{host}} {{", "{{{host}}}"}) {
    SCOPED_TRACE(text);
    auto result = fill_placeholders(text, {{"host", "web1"}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::bad_input);
  }
}

TEST(Placeholders, ForAShellHoldNothingThatAShellCouldTakeForMore) {
  for (const auto* value : {"web1", "10.1.2.3:8080", "[::1]:80", "/srv/web-1.0_x", "2.4.1+b7", "1:2.4-1~deb12u1", ""}) {
    SCOPED_TRACE(value);
    auto result = fill_placeholders_for_shell("run \"{{v}}\"", {{"v", value}});
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(*result, "run \"" + std::string(value) + "\"");
  }
  for (const auto* value : {"a b", "a;b", "$(x)", "`x`", "a'b", "a\"b", "a\nb", "*", "~", "/~", "a=~", "a&b", "[a;b]", "[a", "x[a]"}) {
    SCOPED_TRACE(value);
    auto result = fill_placeholders_for_shell("run {{v}}", {{"v", value}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::bad_input);
  }
  EXPECT_TRUE(fill_placeholders_for_shell("run", {{"unused", "$(x)"}}));
}

TEST(HostReleases, AreReadFromTheHostsWords) {
  auto digest = std::string(64, 'a');
  auto current = read_current("noise\ncurrent releases/" + digest + "\nfree 2048\n");
  ASSERT_TRUE(current) << current.error();
  EXPECT_EQ(*current, digest);
  auto fresh = read_current("current \n");
  ASSERT_TRUE(fresh) << fresh.error();
  EXPECT_EQ(*fresh, "");
}

TEST(HostReleases, ThatMakeNoSenseAreRefused) {
  struct {
    const char* name;
    const char* out;
    Errc code;
  } const cases[] = {
      {"nothing", "", Errc::unexpected_reply},
      {"current is a directory", "foreign\nfree 1\n", Errc::refused},
      {"current leads elsewhere", "current /opt/web\nfree 1\n", Errc::refused},
      {"current names no release", "current releases/..\nfree 1\n", Errc::unexpected_reply},
  };
  for (const auto& [name, out, code] : cases) {
    SCOPED_TRACE(name);
    auto current = read_current(out);
    ASSERT_FALSE(current);
    EXPECT_EQ(current.error().code, code) << current.error();
  }
}

TEST(HostReleases, FreeRoomIsANumberOfKilobytesOrUnknown) {
  EXPECT_EQ(read_free("current \nfree 2048\n"), 2048 * 1024);
  for (const auto* out : {"", "free many\n", "free -1\n", "free 9223372036854775807\n"}) EXPECT_EQ(read_free(out), -1) << out;
}

TEST(AnswerOfAService, NamesAReleaseByItsDigestOrTwelveDigitsOfIt) {
  const auto digest = "0123456789abcdef" + std::string(48, '0');
  for (const auto& answer : {digest, digest + "\n", std::string("  0123456789ab\r\n"), std::string("0123456789abcdef0")}) {
    EXPECT_TRUE(answer_names(answer, digest)) << answer;
  }
  for (const auto* answer : {"", "0123456789a", "123456789abc", "0123456789abx", "0123456789ab 1.0", "0123456789AB"}) {
    EXPECT_FALSE(answer_names(answer, digest)) << answer;
  }
}

}  // namespace
}  // namespace shiftd
