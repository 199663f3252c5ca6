#include "daemon/shiftctl/screen.hpp"

#include <algorithm>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shiftd {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string status_of(int hosts) {
  std::string text = R"({"rollout":"web-1","service":"web","version":"2.0","phase":"baking","outcome":"none","reason":"","stage":1,
    "request":{"by":"alice","reason":"weekly"},"paused":false,"held":"","condemned":false,"bake_remaining_ms":44500,
    "share":{"asked_bp":2500,"achievable":0.25,"served":0.2},"records":9,
    "verdict":{"canary_requests":1000,"canary_failures":4,"baseline_requests":9000,"baseline_failures":9,"evidence":"no sign of harm"},
    "lost":[{"source":"lb2","why":"refused"}],
    "stages":[{"asked_bp":1000},{"asked_bp":2500},{"asked_bp":10000}],"hosts":[)";
  for (int host = 0; host < hosts; ++host) {
    const char* phase = host == 0 ? "serving_new" : host == 1 ? "upgrading" : "pooled_old";
    text +=
        (host > 0 ? "," : "") + std::string(R"({"name":"web)") + std::to_string(host + 1) + R"(","role":"upgrade","phase":")" + phase +
        R"(","release":"old","requests":10,"failures":0,"why":"","members":[{"pool":"lb1/app","name":"web","pooled":"no","weight":10,"original_weight":100,"holder":"theirs","confirmed":false}]})";
  }
  return text + "]}";
}

TEST(Screen, AnswersWhatWhichStageAndWhyOnOnePage) {
  Sentence event{"stage 2 bakes for 1m", "14:03:07", Tone::plain, true};
  auto page = draw(status_of(3), std::span(&event, 1), "", {120, false});
  ASSERT_TRUE(page) << page.error();
  for (const auto* words :
       {"web to 2.0  web-1  baking", "by alice: weekly", " 10% [25%] 100% ", "bakes for another 45s",
        "asked 25%, achievable 25%, served 20%", "#U.", "1 upgrading", "canary          1000 requests        4 5xx     0.4%",
        "baseline        9000 requests        9 5xx     0.1%", "no sign of harm", "lb2: refused", "14:03:07  stage 2 bakes for 1m"})
    EXPECT_THAT(*page, HasSubstr(words));
  EXPECT_THAT(*page, Not(HasSubstr("\x1b")));
}

TEST(Screen, FitsEveryTerminal) {
  for (std::size_t width : {20U, 40U, 80U, 200U}) {
    SCOPED_TRACE(width);
    auto page = draw(status_of(300), {}, "shiftd does not answer", {width, false});
    ASSERT_TRUE(page) << page.error();
    std::istringstream lines(*page);
    std::size_t cells = 0;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), width) << line;
      if (line.find_first_not_of(" #U.hosts") == std::string::npos && line.size() > 10) cells += line.size() - 10;
    }
    EXPECT_EQ(cells, 300U);
  }
}

std::string with(std::string status, const std::string& was, const std::string& is) {
  return status.replace(status.find(was), was.size(), is);
}

TEST(Screen, AReasonThatIsLongerThanALineIsToldToItsEnd) {
  auto held =
      with(status_of(3), R"("held":"")", R"("held":"the canary has had fewer than 50 requests in this stage and so nothing is known")");
  Sentence event{"held: the canary has had fewer than 50 requests in this stage", "14:03:07", Tone::warning, true};
  auto page = draw(held, std::span(&event, 1), "", {40, false});
  ASSERT_TRUE(page) << page.error();
  EXPECT_THAT(*page, HasSubstr("web to 2.0  web-1  baking, held: the\n"
                               "          canary has had fewer than 50\n"
                               "          requests in this stage and so\n"
                               "          nothing is known\n"));
  EXPECT_THAT(*page, HasSubstr("14:03:07  held: the canary has had fewer\n"
                               "          than 50 requests in this stage\n"));
}

TEST(Screen, AWordThatIsLongerThanALineIsCutIntoLines) {
  auto page = draw(status_of(1), {}, std::string(100, 'x') + " end", {30, false});
  ASSERT_TRUE(page) << page.error();
  EXPECT_THAT(*page, testing::StartsWith(std::string(30, 'x') + "\n          " + std::string(20, 'x') + "\n"));
  EXPECT_THAT(*page, HasSubstr("          xxxxxxxxxx end\n"));
}

TEST(Screen, TheOldestEventsLeaveALowTerminal) {
  std::vector<Sentence> events;
  for (int event = 0; event < 10; ++event) events.push_back({"event " + std::to_string(event), "14:03:07", Tone::plain, true});
  auto page = draw(status_of(3), events, "", {80, false, 14});
  ASSERT_TRUE(page) << page.error();
  EXPECT_EQ(std::count(page->begin(), page->end(), '\n'), 14);
  EXPECT_THAT(*page, HasSubstr("event 9\n"));
  EXPECT_THAT(*page, Not(HasSubstr("event 0\n")));
}

TEST(Screen, MarksTheHostsByColour) {
  auto page = draw(status_of(3), {}, "", {120, true});
  ASSERT_TRUE(page);
  EXPECT_THAT(*page, HasSubstr("\x1b[1;32m#\x1b[0m"));
}

TEST(Status, ShowsEachHostWithItsMembers) {
  auto page = draw_status(status_of(2), {200, false});
  ASSERT_TRUE(page) << page.error();
  EXPECT_THAT(*page, HasSubstr("lb1/app/web no 10 (was 100) held by somebody else unconfirmed"));
}

TEST(List, IsOneLineForEachRolloutInColumnsThatFitTheLongest) {
  auto page = draw_list(R"({"rollouts":[
    {"rollout":"web-20261128-082516-1","service":"web","version":"2","phase":"baking","outcome":"none","reason":"","created":1764000001000},
    {"rollout":"web-2","service":"web","version":"2.0","phase":"ended","outcome":"rolled_back","reason":"5xx","created":1764000000000}]})");
  ASSERT_TRUE(page) << page.error();
  EXPECT_EQ(*page,
            "2025-11-24T16:00:01  web-20261128-082516-1  web  2    baking\n"
            "2025-11-24T16:00:00  web-2                  web  2.0  rolled_back  5xx\n");
}

TEST(List, OfNoRolloutIsEmpty) { EXPECT_EQ(draw_list(R"({"rollouts":[]})").value(), ""); }

TEST(Screen, RefusesWhatIsNoStatus) {
  for (const auto* status : {"", "[]", "{}", R"({"request":7})", R"({"rollout":7})"}) {
    EXPECT_FALSE(draw(status, {}, "", {})) << status;
    EXPECT_FALSE(draw_status(status, {})) << status;
  }
  EXPECT_FALSE(draw_list("{}"));
}

}  // namespace
}  // namespace shiftd
