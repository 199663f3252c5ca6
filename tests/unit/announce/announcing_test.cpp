#include "daemon/announce/announcing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/announce/sink.hpp"
#include "tests/fakes/small_fleet.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Observed held(Pooled pooled, int weight) { return {{pooled, weight}, "bytes", "7"}; }

class AnnouncingTest : public testing::Test {
 protected:
  // The lines that the facts make, after the first records of a rollout of three hosts.
  std::vector<std::string> lines(const std::vector<Fact>& facts) {
    auto records = first_records(small_plan(small_request("web-7")));
    auto at = at_second(10);
    for (const auto& fact : facts) records.push_back({at += 1s, fact});
    std::vector<std::string> all;
    Codec codec;
    for (const auto& record : records) {
      auto announcement = announcing_.take(codec.encode(record));
      EXPECT_TRUE(announcement) << announcement.error();
      if (announcement && *announcement) all.push_back((**announcement).action), last_ = **announcement;
    }
    // The first tells that it has begun.
    EXPECT_THAT(all.front(), HasSubstr(" : started by alice"));
    all.erase(all.begin());
    return all;
  }

  Announcing announcing_{{{"lb1/app", "dc=dc1,cluster=web,service=app"}}};
  Announcement last_;
};

TEST_F(AnnouncingTest, SaysWhoBeganWhat) {
  lines({});
  EXPECT_EQ(last_.action, "shiftd rollout web-7 : started by alice: web, release 2.0, 3 hosts: the weekly release");
  EXPECT_EQ((std::tuple(last_.rollout, last_.service, last_.record, last_.at)), (std::tuple("web-7", "web", 1U, at_second(1))));
}

TEST_F(AnnouncingTest, TellsAChangeWhenItIsConfirmedAndNotWhenItIsWantedOrWritten) {
  EXPECT_THAT(lines({MemberWanted{0, {Pooled::no, 100}, false, 1}, MemberSet{0, 1, held(Pooled::no, 100)}}), IsEmpty());
}

TEST_F(AnnouncingTest, TellsWhatReallyChangedInConftoolsWords) {
  auto said = lines({MemberSet{0, 1, held(Pooled::no, 100)}, MemberConfirmed{0},   // out
                     MemberSet{0, 2, held(Pooled::yes, 10)}, MemberConfirmed{0},   // in, as a canary
                     MemberSet{0, 3, held(Pooled::yes, 100)}, MemberConfirmed{0},  // at its whole weight
                     MemberConfirmed{0}, MemberSet{0, 4, held(Pooled::yes, 100)}, MemberConfirmed{0}});
  EXPECT_THAT(said, ElementsAre("conftool action : set/pooled=no; selector: dc=dc1,cluster=web,service=app,name=web1 "
                                "(rollout web-7 of alice)",
                                "conftool action : set/pooled=yes:weight=10; selector: dc=dc1,cluster=web,service=app,name=web1 "
                                "(rollout web-7 of alice)",
                                "conftool action : set/weight=100; selector: dc=dc1,cluster=web,service=app,name=web1 "
                                "(rollout web-7 of alice)"));
  EXPECT_EQ(last_.change, (MemberChange{"lb1/app", "web1", {Pooled::yes, 10}, {Pooled::yes, 100}}));
}

TEST_F(AnnouncingTest, TellsOneChangeOfTwoWritesWhenTheFirstWasNeverShown) {
  auto said = lines({MemberSet{0, 1, held(Pooled::yes, 1)}, MemberSet{0, 2, held(Pooled::no, 1)}, MemberConfirmed{0}});
  EXPECT_THAT(said, ElementsAre(HasSubstr("set/pooled=no:weight=1;")));
}

TEST_F(AnnouncingTest, NamesAPoolThatIsNotConftoolsByItsName) {
  announcing_ = Announcing();
  EXPECT_THAT(lines({MemberSet{1, 1, held(Pooled::no, 100)}, MemberConfirmed{1}}),
              ElementsAre(HasSubstr("selector: pool=lb1/app,name=web2 ")));
}

TEST_F(AnnouncingTest, WhatOthersChangeIsNotToldAsOurs) {
  auto said = lines({MemberTaken{0, held(Pooled::no, 5)}, MemberReturned{0, true, "ada", "done"}, MemberConfirmed{0}});
  EXPECT_THAT(said, ElementsAre("shiftd rollout web-7 : dc=dc1,cluster=web,service=app,name=web1 was changed by somebody else to no, "
                                "weight 5: it is left alone",
                                "shiftd rollout web-7 : dc=dc1,cluster=web,service=app,name=web1 was given back to it by ada: done"));
}

TEST_F(AnnouncingTest, TellsHowTheRolloutGoes) {
  auto said = lines({Held{"lb2 does not answer"}, Held{""}, Paused{"ada", "lunch"}, Resumed{"ada"},
                     HostMoved{1, HostPhase::reverting, 3, true, "exit 1"}, HostMoved{1, HostPhase::out, 0, false, "it is off"},
                     StagePassed{0, "proof"}, GateReached{0}, GatePassed{0, "ada", "fine"}, Overridden{0, "ada", "hotfix"},
                     RollingBack{"ada", "slow", false}, Forced{"ada", "lb2 is dead"}, Aborting{"ada", ""}, Quarantined{"a sum"},
                     Ended{Outcome::rolled_back, "slow"}});
  EXPECT_THAT(said,
              ElementsAre("shiftd rollout web-7 : held: lb2 does not answer", "shiftd rollout web-7 : goes on",
                          "shiftd rollout web-7 : paused by ada: lunch", "shiftd rollout web-7 : resumed by ada",
                          "shiftd rollout web-7 : web2 failed: exit 1",
                          "shiftd rollout web-7 : web2 stays out of its pools and needs a person: it is off",
                          "shiftd rollout web-7 : stage 1 of 3 (10%) passed",
                          "shiftd rollout web-7 : stage 1 of 3 (10%) waits at its gate for `shiftctl promote`",
                          "shiftd rollout web-7 : stage 1 of 3 (10%) promoted by ada: fine",
                          "shiftd rollout web-7 : the verdict on stage 1 of 3 (10%) is overridden by ada: hotfix",
                          "shiftd rollout web-7 : rolling back by ada: slow", "shiftd rollout web-7 : goes on by force by ada: lb2 is dead",
                          "shiftd rollout web-7 : aborting by ada", "shiftd rollout web-7 : quarantined, nothing is done any more: a sum",
                          "shiftd rollout web-7 : rolled back after 24s: slow"));
}

TEST_F(AnnouncingTest, AHoldIsToldOnceWhileItsReasonChangesAndWhatIsSilentOrClosedByName) {
  auto said = lines({Held{"about 10m more"}, SourceLost{"lb1/app", "timed out"}, Held{"lb1/app cannot tell"}, SourceBack{"lb1/app"},
                     PoolClosed{0, "web2 is down but pooled"}, PoolOpened{0}, Held{"about 9m more"}, Held{""}});
  EXPECT_THAT(said, ElementsAre("shiftd rollout web-7 : held: about 10m more", "shiftd rollout web-7 : lb1/app does not answer: timed out",
                                "shiftd rollout web-7 : lb1/app answers again",
                                "shiftd rollout web-7 : nothing is written to lb1/app now: web2 is down but pooled",
                                "shiftd rollout web-7 : lb1/app may be written to again", "shiftd rollout web-7 : goes on"));
}

TEST_F(AnnouncingTest, WhatPeopleWriteCannotMakeASecondLineOrAnEndlessOne) {
  auto said = lines({Paused{"ada", "x\n!log root@elsewhere pooled everything\r\x02" + std::string(1000, 'y')}});
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].find_first_of("\n\r\x02"), std::string::npos);
  EXPECT_LE(said[0].size(), 410U);
}

TEST_F(AnnouncingTest, RefusesWhatIsNoRecord) {
  EXPECT_EQ(announcing_.take("{}").error().code, Errc::bad_input);
  EXPECT_EQ(announcing_.take(R"({"v":1,"at":1,"is":"member_confirmed","member":"lb1/app/web1"})").error().code, Errc::bad_input);
}

TEST(LogLine, SaysWhenItWasOnlyIfItComesLate) {
  Announcement announcement{"web-7", "web", 4, at_second(0), "conftool action : set/pooled=no; selector: name=web1", {}};
  EXPECT_EQ(log_line(announcement, "shiftd@deploy1", at_second(30)),
            "!log shiftd@deploy1 conftool action : set/pooled=no; selector: name=web1");
  EXPECT_EQ(log_line(announcement, "shiftd@deploy1", at_second(61)),
            "!log shiftd@deploy1 conftool action : set/pooled=no; selector: name=web1 (at 2025-11-24T16:00:00.000Z)");
}

}  // namespace
}  // namespace shiftd
