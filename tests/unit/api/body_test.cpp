#include "daemon/api/body.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shiftd {
namespace {

using testing::HasSubstr;

std::string with(const std::string& text, const std::string& from, const std::string& to) {
  auto changed = text;
  auto at = changed.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? changed : changed.replace(at, from.size(), to);
}

const std::string digest(64, 'a');
const std::string good = R"({"service":"web","release":{"version":"2.0","source":"/srv/web.tar.gz","sha256":")" + digest +
                         R"("},"limit":["web1"],"reason":"weekly"})";

TEST(StartBody, SaysWhatIsAskedFor) {
  auto request = parse_start(good, "alice");
  ASSERT_TRUE(request) << request.error();
  EXPECT_EQ(request->service, "web");
  EXPECT_EQ(request->release, (Release{"2.0", digest, "/srv/web.tar.gz"}));
  EXPECT_EQ(request->limit, std::vector<std::string>{"web1"});
  EXPECT_EQ(request->by, "alice");
  EXPECT_EQ(request->reason, "weekly");
}

TEST(StartBody, AcceptsWhatMayBeLeftOutAndWrittenOtherwise) {
  struct {
    const char* what;
    std::string body;
  } const cases[] = {
      {"no limit", with(good, R"("limit":["web1"],)", "")},
      {"an empty limit", with(good, R"(["web1"])", "[]")},
      {"no reason", with(good, R"(,"reason":"weekly")", "")},
      {"nulls", with(with(good, R"("weekly")", "null"), R"(["web1"])", "null")},
      {"a digest in capitals", with(good, digest, std::string(64, 'A'))},
      {"a version beyond ASCII", with(good, "2.0", "2.0-\u00e9t\u00e9")},
      {"the longest reason", with(good, "weekly", std::string(1000, 'x'))},
  };
  for (const auto& [what, body] : cases) {
    SCOPED_TRACE(what);
    auto request = parse_start(body, "alice");
    ASSERT_TRUE(request) << request.error();
    EXPECT_EQ(request->release.digest, digest);
  }
}

TEST(StartBody, AReleaseWithoutATarballIsKnownByItsVersion) {
  auto request = parse_start(R"({"service":"web","release":{"version":"2.4.1-1"}})", "alice");
  ASSERT_TRUE(request) << request.error();
  EXPECT_EQ(request->release, (Release{"2.4.1-1", "2.4.1-1", ""}));
}

TEST(StartBody, TheSourceMayBeAUrlOrTheDigestAlone) {
  auto url = parse_start(with(good, "/srv/web.tar.gz", "https://builds.example.net/web.tar.gz"), "alice");
  ASSERT_TRUE(url) << url.error();
  EXPECT_EQ(url->release.source, "https://builds.example.net/web.tar.gz");
  auto known = parse_start(with(good, R"("source":"/srv/web.tar.gz",)", ""), "alice");
  ASSERT_TRUE(known) << known.error();
  EXPECT_EQ(known->release, (Release{"2.0", digest, ""}));
}

TEST(StartBody, AConfigurationMayComeAloneOrWithCode) {
  auto alone = parse_start(R"({"service":"web","release":{"version":"c","config":"/srv/configs/12"}})", "alice");
  ASSERT_TRUE(alone) << alone.error();
  EXPECT_EQ(alone->release, (Release{"c", "", "", "/srv/configs/12"})) << "its code is what the hosts have";
  auto both = parse_start(with(good, R"("version":"2.0")", R"("version":"2.0","config":"none")"), "alice");
  ASSERT_TRUE(both) << both.error();
  EXPECT_EQ(both->release, (Release{"2.0", digest, "/srv/web.tar.gz", "none"}));
  EXPECT_FALSE(parse_start(R"({"service":"web","release":{"version":"c","config":"configs/12"}})", "alice"));
}

TEST(StartBody, RefusesWithTheFieldsName) {
  struct {
    const char* what;
    std::string body;
    const char* says;
  } const cases[] = {
      {"nothing", "", "no JSON"},
      {"half of it", good.substr(0, 40), "no JSON"},
      {"bytes that are no UTF-8", with(good, "weekly", "\xff\xfe"), "no JSON"},
      {"a list", "[]", "the body must be a JSON object"},
      {"a misspelt field", with(good, "\"reason\"", "\"reazon\""), "unknown field 'reazon'"},
      {"a misspelt field of the release", with(good, "\"sha256\"", "\"sha\""), "unknown field 'release.sha'"},
      {"a plan that is no digest", with(good, R"("weekly")", R"("weekly","if_plan":"12")"), "'if_plan' must be the 64 hex digits"},
      {"no service", with(good, R"("service":"web",)", ""), "'service' is missing"},
      {"an empty service", with(good, R"("service":"web")", R"("service":"")"), "'service' must not be empty"},
      {"a number for a service", with(good, R"("service":"web")", R"("service":7)"), "'service' must be a text"},
      {"no release", R"({"service":"web"})", "'release' is missing"},
      {"a release that is a text", R"({"service":"web","release":"2.0"})", "'release.' must be a JSON object"},
      {"a relative source", with(good, "/srv/web", "srv/web"), "'release.source' must be an absolute path"},
      {"a source without its digest", with(good, ",\"sha256\":\"" + digest + "\"", ""), "'release.sha256' is missing"},
      {"a short digest", with(good, digest, "aa"), "'release.sha256' must be 64 hex digits"},
      {"a digest of other letters", with(good, digest, std::string(64, 'g')), "'release.sha256' must be 64 hex digits"},
      {"a limit that is no list", with(good, R"(["web1"])", R"("web1")"), "'limit' must be a list"},
      {"a host twice", with(good, R"(["web1"])", R"(["web1","web1"])"), "'limit' names 'web1' twice"},
      {"an empty host", with(good, R"(["web1"])", R"([""])"), "'limit' must not be empty"},
      {"a control character", with(good, "weekly", "a\\nb"), "'reason' has a control character"},
      {"a reason that is too long", with(good, "weekly", std::string(1001, 'x')), "'reason' is longer than 1000 bytes"},
  };
  for (const auto& [what, body, says] : cases) {
    SCOPED_TRACE(what);
    auto request = parse_start(body, "alice");
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().code, Errc::bad_input);
    EXPECT_THAT(request.error().what, HasSubstr(says));
  }
}

TEST(StartBody, IsNotImpressedByDepth) { EXPECT_FALSE(parse_start(std::string(500'000, '['), "alice")); }

TEST(CommandBody, IsAcceptedOrRefusedByItsVerb) {
  struct {
    const char* what;
    Verb verb;
    const char* body;
    const char* refusal;  // empty: accepted
  } const cases[] = {
      {"a pause without a body", Verb::pause, "", ""},
      {"a pause with a reason", Verb::pause, R"({"reason":"lunch"})", ""},
      {"a pause of a host", Verb::pause, R"({"host":"web1"})", "'host' is for release-hold and take only"},
      {"release-hold of a host", Verb::release_hold, R"({"host":"web1"})", ""},
      {"release-hold of nothing", Verb::release_hold, "", "'host' is missing"},
      {"take with a reason", Verb::take, R"({"host":"web1","reason":"mine"})", ""},
      {"take without a reason", Verb::take, R"({"host":"web1"})", "'reason' is missing"},
      {"a roll back by force", Verb::roll_back, R"({"force":true,"reason":"lb2 is dead"})", ""},
      {"a roll back by force without a reason", Verb::roll_back, R"({"force":true})", "'reason' is missing"},
      {"an abort by force", Verb::abort, R"({"force":true,"reason":"now"})", "'force' is for rollback only"},
      {"an unknown field", Verb::abort, R"({"forced":true})", "unknown field 'forced'"},
      {"no object", Verb::abort, "7", "must be a JSON object"},
  };
  for (const auto& [what, verb, body, refusal] : cases) {
    SCOPED_TRACE(what);
    auto request = parse_command(verb, body, "alice");
    EXPECT_EQ(request.has_value(), std::string(refusal).empty());
    if (request) {
      EXPECT_EQ(request->verb, verb);
    } else {
      EXPECT_THAT(request.error().what, HasSubstr(refusal));
    }
  }
}

}  // namespace
}  // namespace shiftd
