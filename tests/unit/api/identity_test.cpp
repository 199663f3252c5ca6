#include "daemon/api/identity.hpp"

#include <sys/stat.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

class TokenTest : public testing::Test {
 protected:
  std::string file(const std::string& text, unsigned mode = 0600) {
    auto path = directory_.path() + "/token";
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  TemporaryDirectory directory_;
};

TEST_F(TokenTest, MatchesItselfAndNothingElse) {
  auto token = Token::read(file("correct-horse-battery\n"));
  ASSERT_TRUE(token) << token.error();
  EXPECT_TRUE(token->matches("Bearer correct-horse-battery"));
  for (const auto* other : {"", "Bearer", "Bearer ", "correct-horse-battery", "bearer correct-horse-battery", "Bearer correct-horse-batter",
                            "Bearer correct-horse-batteryy", "Bearer  correct-horse-battery", "Basic correct-horse-battery"})
    EXPECT_FALSE(token->matches(other)) << other;
}

TEST_F(TokenTest, IsRefusedWhenItIsNoSecret) {
  struct {
    const char* what;
    std::string text;
    unsigned mode;
    const char* says;
  } const cases[] = {
      {"empty", "", 0600, "16 to 4096"},
      {"short", "fifteen-letters", 0600, "16 to 4096"},
      {"two words", "correct horse battery", 0600, "without spaces"},
      {"two lines", "correct-horse-battery\nstaple\n", 0600, "one line"},
      {"too long", std::string(5000, 'x'), 0600, "16 to 4096"},
      {"readable by all", "correct-horse-battery", 0644, "chmod o="},
  };
  for (const auto& [what, text, mode, says] : cases) {
    SCOPED_TRACE(what);
    auto token = Token::read(file(text, mode));
    ASSERT_FALSE(token);
    EXPECT_THAT(token.error().what, testing::HasSubstr(says));
    if (!text.empty()) {
      EXPECT_THAT(token.error().what, testing::Not(testing::HasSubstr(text.substr(0, 7))));
    }
  }
  EXPECT_EQ(Token::read(directory_.path() + "/none").error().code, Errc::not_found);
}

TEST(NameViaToken, IsTheClaimAndSaysSo) {
  EXPECT_EQ(name_via_token("alice"), "alice via token");
  for (const auto& claim : {std::string(), std::string("a b"), std::string("a\nb"), std::string(65, 'x'), std::string("\xff")})
    EXPECT_EQ(name_via_token(claim), "somebody via token");
}

}  // namespace
}  // namespace shiftd
