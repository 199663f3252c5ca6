#include "checks/pattern.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(Pattern, SearchesTheWholeText) {
  struct {
    const char* pattern;
    std::string text;
    bool found;
  } const cases[] = {
      {"", "", true},        {"b", "abc", true},     {"^b", "abc", false},      {"c$", "abc", true},       {"a|c", "xxc", true},
      {"b", "a\n\nb", true}, {"^a.c$", "abc", true}, {"^(ab)+$", "abab", true}, {"^(ab)+$", "aba", false}, {"\\d{3}", "x12 345", true},
      {"B", "abc", false},   {"a|^b", "cb", false},
  };
  for (const auto& [pattern, text, found] : cases) {
    SCOPED_TRACE(std::string(pattern) + " in " + text);
    auto parsed = Pattern::parse(pattern);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(parsed->found_in(text), found);
  }
}

// Each of these overflows the stack, takes exponential or quadratic time with std::regex as it comes.
TEST(Pattern, SurvivesTextsMadeToHurtIt) {
  const std::string text(2 * Pattern::searched_most, 'a');
  for (auto pattern : {"(a+)+$b", "(a|aa)+b", "a*b", ".*.*b", "^(.*)b"}) {
    SCOPED_TRACE(pattern);
    auto parsed = Pattern::parse(pattern);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_FALSE(parsed->found_in(text));
  }
}

TEST(Pattern, RefusesWhatIsNoExpression) {
  for (auto pattern : {"(", "[", "a{2", "*", "a)(b", "\\", "(a)\\1"}) {
    SCOPED_TRACE(pattern);
    auto parsed = Pattern::parse(pattern);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, Errc::bad_input);
    EXPECT_NE(parsed.error().what.find("is no regular expression"), std::string::npos) << parsed.error();
  }
}

}  // namespace
}  // namespace shiftd
