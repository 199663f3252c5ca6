#include "daemon/api/routes.hpp"

#include <fstream>
#include <regex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/api/query.hpp"

namespace shiftd {
namespace {

// "GET /api/v1/rollouts" ... as openapi.yaml writes them: paths two spaces in, methods four.
std::set<std::string> described() {
  std::ifstream file(SHIFTD_SOURCE_DIR "/daemon/api/openapi.yaml");
  const std::regex path("^  (/[^:]*):$");
  const std::regex method("^    (get|post|put|delete|patch|head):$");
  std::set<std::string> found;
  std::string current;
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_match(line, match, path)) current = match[1];
    if (!std::regex_match(line, match, method)) continue;
    auto word = match[1].str();
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    found.insert(word + " " + current);
  }
  return found;
}

TEST(Routes, AreThoseThatOpenapiDescribes) {
  std::set<std::string> known;
  for (const auto& line : routes()) known.insert(std::string(line.method) + " " + std::string(line.path));
  EXPECT_EQ(known, described());
}

TEST(Routes, FindTheRolloutInThePath) {
  auto found = find_route("POST", "/api/v1/rollouts/web%2D7/pause");
  auto* routed = std::get_if<Routed>(&found);
  ASSERT_NE(routed, nullptr);
  EXPECT_EQ(routed->name, "web-7");
  EXPECT_EQ(routed->line->verb, Verb::pause);
}

TEST(Routes, FindTheServiceInThePath) {
  auto found = find_route("GET", "/api/v1/services/web/pools");
  auto* routed = std::get_if<Routed>(&found);
  ASSERT_NE(routed, nullptr);
  EXPECT_EQ(routed->name, "web");
  EXPECT_EQ(routed->line->route, Route::pools);
}

TEST(Routes, RefuseWhatIsNoPathOfOurs) {
  for (const auto* path :
       {"", "/", "/api/v1/rollouts/", "/api/v1/rollouts//pause", "/api/v1/rollouts/a/b/pause", "/api/v1/rollouts/a/explode",
        "/api/v1/rollouts/%zz", "/api/v1/rollouts/%0a", "/api/v1/rollouts/%", "/metrics/", "/api/v1/../v1/services"}) {
    SCOPED_TRACE(path);
    EXPECT_TRUE(std::holds_alternative<NoSuchPath>(find_route("GET", path)));
  }
}

TEST(Routes, SayWhichMethodsAPathAnswers) {
  auto found = find_route("DELETE", "/api/v1/rollouts");
  auto* wrong = std::get_if<WrongMethod>(&found);
  ASSERT_NE(wrong, nullptr);
  EXPECT_EQ(wrong->allow, "GET, POST");
}

TEST(Target, IsTakenApart) {
  auto target = parse_target("/a/b?most=5&name=a%20b&flag");
  ASSERT_TRUE(target) << target.error();
  EXPECT_EQ(target->path, "/a/b");
  EXPECT_EQ(target->query, (std::map<std::string, std::string>{{"most", "5"}, {"name", "a b"}, {"flag", ""}}));
}

TEST(Target, RefusesABrokenQuery) {
  for (const auto* target : {"/a?x=%", "/a?x=%4", "/a?x=%g0", "/a?x=1&x=2", "/a?x=%0d"}) EXPECT_FALSE(parse_target(target)) << target;
}

TEST(Number, IsDigitsOnly) {
  EXPECT_EQ(parse_number("0"), 0U);
  EXPECT_EQ(parse_number("42"), 42U);
  for (const auto* text : {"", "-1", "+1", " 1", "1 ", "0x1", "1e3", "9999999999999999"}) EXPECT_FALSE(parse_number(text)) << text;
}

}  // namespace
}  // namespace shiftd
