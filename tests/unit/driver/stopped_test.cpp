// Rollouts that are under way by the journal, and that this daemon does not drive: they are shown, with the reason, and
// nobody waits for them in vain.

#include "tests/unit/driver/supervisor_fixture.hpp"

#include <gmock/gmock.h>

namespace shiftd {
namespace {

using testing::HasSubstr;

class StoppedTest : public SupervisorTest {
 protected:
  RolloutBrief listed(const std::string& id) {
    auto briefs = ask(supervisor_->list(10));
    EXPECT_TRUE(briefs) << briefs.error();
    for (const auto& brief : *briefs) {
      if (brief.rollout == id) return brief;
    }
    ADD_FAILURE() << id << " is not listed";
    return {};
  }

  void pass_until_stopped(const std::string& id) {
    auto until = clock_.steady() + 1h;
    clock_.run(*loop_, [&] { return clock_.steady() >= until || supervisor_->stats().stopped > 0; });
    EXPECT_EQ(running(id), nullptr);
  }

  Result<std::string> ask_for(const std::string& digest) {
    StartRequest request;
    request.service = "web";
    request.release = {"v-" + digest, digest, "/nowhere"};
    request.by = "test";
    return ask(supervisor_->start(request));
  }
};

TEST_F(StoppedTest, ARolloutWhoseJournalSomebodyElseContinuesIsLetGoAndKeepsItsHosts) {
  begin(4, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  ASSERT_TRUE(ask(journal_->append(id, running(id)->records, {Codec().encode({clock_.wall(), Held{"another daemon's"}})}, false)));
  auto before = supervisor_->stats();
  pass_until_stopped(id);

  EXPECT_GE(supervisor_->stats().records, before.records) << "a counter never falls";
  EXPECT_GE(supervisor_->stats().effects, before.effects) << "a counter never falls";
  auto brief = listed(id);
  EXPECT_EQ(brief.phase, "stopped");
  EXPECT_THAT(brief.reason, HasSubstr("continued by somebody else"));
  auto told = ask(supervisor_->command(id, {Verb::abort, "", "test", ""}));
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, Errc::unavailable);
  EXPECT_THAT(told.error().what, HasSubstr("continued by somebody else"));
  auto second = ask_for("three");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::conflict) << second.error();
  EXPECT_THAT(second.error().what, HasSubstr(id));
}

TEST_F(StoppedTest, ACommandThatFindsTheJournalContinuedIsToldSo) {
  begin(4, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  ASSERT_TRUE(ask(journal_->append(id, running(id)->records, {Codec().encode({clock_.wall(), Held{"another daemon's"}})}, false)));
  auto told = ask(supervisor_->command(id, {Verb::abort, "", "test", ""}));
  ASSERT_FALSE(told);
  EXPECT_THAT(told.error().what, HasSubstr("continued by somebody else"));
}

TEST_F(StoppedTest, ARolloutThatCannotBeReadBackIsShownAndKeepsNobodyElseWaiting) {
  begin(4, five_stages());
  ASSERT_TRUE(ask(journal_->create("web-damaged", "web", {"{\"no\": \"record\"}"})));
  boot_again();
  clock_.run(*loop_, [&] { return supervisor_->stats().stopped == 1; });

  auto brief = listed("web-damaged");
  EXPECT_EQ(brief.phase, "stopped");
  EXPECT_EQ(brief.service, "web");
  EXPECT_THAT(brief.reason, HasSubstr("cannot be read back"));
  EXPECT_THAT(brief.reason, HasSubstr("shiftctl rescue"));
  auto id = start("two");
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(StoppedTest, ARolloutOfAServiceThatIsNoLongerConfiguredIsShown) {
  begin(4, five_stages());
  Request request{"old-1", "old", {"v-two", "two", "/nowhere"}, {}, "test", ""};
  ASSERT_TRUE(ask(journal_->create("old-1", "old", {Codec().encode({clock_.wall(), Requested{request}})})));
  boot_again();
  clock_.run(*loop_, [&] { return supervisor_->stats().stopped == 1; });

  auto brief = listed("old-1");
  EXPECT_EQ(brief.phase, "stopped");
  EXPECT_EQ(brief.version, "v-two");
  EXPECT_THAT(brief.reason, HasSubstr("no longer configured"));
  auto status = ask(supervisor_->show("old-1"));
  ASSERT_TRUE(status) << status.error();
  EXPECT_EQ(status->rollout.request.service, "old");
}

TEST_F(StoppedTest, WhatRetentionRemovedIsListedNoMore) {
  begin(2, five_stages());
  keep_ = 1;
  boot_again();
  auto first = start("two");
  finish(first);
  auto second = start("three");
  finish(second);
  pass(1s);
  auto briefs = ask(supervisor_->list(10));
  ASSERT_TRUE(briefs);
  ASSERT_EQ(briefs->size(), 1u);
  EXPECT_EQ(briefs->front().rollout, second);
}

}  // namespace
}  // namespace shiftd
