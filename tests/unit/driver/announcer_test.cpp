// The daemon's heart with a sink that the test owns: each line once and in order, whatever the sink does.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using testing::Contains;
using testing::HasSubstr;

// What a sink has heard outlives the daemon, as an IRC channel does.
struct Heard {
  std::vector<Announcement> all;
  std::optional<Failure> trouble;  // what it answers instead of hearing
};

class FakeSink final : public Sink {
 public:
  FakeSink(Heard& heard, Told what) : heard_(heard) { options_.name = "log", options_.what = what; }
  const SinkOptions& options() const override { return options_; }
  Task<Result<void>> tell(Announcement announcement) override {
    if (heard_.trouble) co_return *heard_.trouble;
    heard_.all.push_back(std::move(announcement));
    co_return Result<void>{};
  }

 private:
  Heard& heard_;
  SinkOptions options_;
};

class AnnouncerTest : public SupervisorTest {
 protected:
  void add_sinks(std::vector<std::unique_ptr<Sink>>& sinks) override {
    if (with_sink_) sinks.push_back(std::make_unique<FakeSink>(heard_, what_));
  }

  std::vector<std::string> actions() const {
    std::vector<std::string> all;
    for (const auto& announcement : heard_.all) all.push_back(announcement.action);
    return all;
  }
  // Each record at most once, in order.
  void expect_none_twice() {
    std::uint64_t before = 0;
    for (const auto& announcement : heard_.all) {
      EXPECT_GT(announcement.record, before) << announcement.action;
      before = announcement.record;
    }
  }
  SinkStatus status() { return supervisor_->stats().sinks.at(0); }

  Heard heard_;
  Told what_ = Told::everything;
  bool with_sink_ = true;
};

TEST_F(AnnouncerTest, TellsARolloutFromItsBeginningToItsEnd) {
  begin(3, five_stages());
  auto id = start("two");
  ASSERT_EQ(finish(id).outcome, Outcome::succeeded);
  pass(2s);
  auto said = actions();
  ASSERT_GE(said.size(), 8U);
  EXPECT_THAT(said.front(), HasSubstr("shiftd rollout " + id + " : started by test"));
  EXPECT_THAT(said.back(), HasSubstr(" : succeeded after "));
  for (const auto* name : {"web01", "web02", "web03"}) {
    EXPECT_THAT(said, Contains(testing::AllOf(HasSubstr("set/pooled=no"), HasSubstr(std::string("name=") + name))));
    EXPECT_THAT(said, Contains(testing::AllOf(HasSubstr("set/pooled=yes"), HasSubstr(std::string("name=") + name))));
  }
  expect_none_twice();
  EXPECT_EQ(status(), (SinkStatus{"log", said.size(), 0, 0, "", {}}));
}

TEST_F(AnnouncerTest, RolloutsOnlyLeavesTheMembersOut) {
  what_ = Told::rollouts;
  begin(2, five_stages());
  finish(start("two"));
  pass(2s);
  EXPECT_THAT(actions(), testing::Each(HasSubstr("shiftd rollout ")));
  EXPECT_THAT(actions(), Contains(HasSubstr("succeeded")));
}

TEST_F(AnnouncerTest, ARestartNeitherRepeatsNorLosesALine) {
  begin(3, five_stages());
  auto id = start("two");
  for (auto phase : {HostPhase::upgrading, HostPhase::serving_new, HostPhase::draining, HostPhase::joining}) {
    pass_until_phase(id, phase);
    restart(id);
  }
  ASSERT_EQ(finish(id).outcome, Outcome::succeeded);
  pass(2s);
  auto whole = heard_.all;
  expect_none_twice();
  // A sink that hears the same rollout without any restart hears the same.
  auto records = ask(journal_->read(id, 0, 10'000));
  Announcing fold;
  std::vector<std::string> all;
  for (const auto& record : *records) {
    if (auto announcement = fold.take(record).value()) all.push_back(announcement->action);
  }
  EXPECT_EQ(actions(), all);
  boot_again();
  pass(5s);
  EXPECT_EQ(heard_.all, whole);
}

TEST_F(AnnouncerTest, ASinkThatIsDownHoldsUpNoRolloutAndHearsAllOfItLater) {
  begin(3, five_stages());
  heard_.trouble = Failure{Errc::unreachable, "connect bot:9200: Connection refused"};
  auto id = start("two");
  ASSERT_EQ(finish(id).outcome, Outcome::succeeded);
  EXPECT_EQ(heard_.all.size(), 0U);
  EXPECT_EQ(status().trouble, "connect bot:9200: Connection refused");
  EXPECT_GT(status().failures, 2U);
  EXPECT_LT(status().failures, 30U);  // it backs off
  boot_again();
  pass(5s);
  heard_.trouble.reset();
  pass(2min);
  EXPECT_THAT(actions().front(), HasSubstr("started"));
  EXPECT_THAT(actions().back(), HasSubstr("succeeded"));
  expect_none_twice();
  EXPECT_EQ(status().trouble, "");
}

TEST_F(AnnouncerTest, WhatASinkWillNeverTakeIsLeftOut) {
  begin(2, five_stages());
  heard_.trouble = Failure{Errc::bad_input, "it answers with status 400"};
  finish(start("two"));
  pass(2s);
  EXPECT_GT(status().refused, 3U);
  EXPECT_EQ(status().trouble, "");
}

TEST_F(AnnouncerTest, ASinkThatIsNewHearsOfNoRolloutThatWasOver) {
  with_sink_ = false;
  begin(2, five_stages());
  finish(start("two"));
  with_sink_ = true;
  boot_again();
  pass(5s);
  EXPECT_EQ(heard_.all.size(), 0U);
  auto id = start("three");
  finish(id);
  pass(2s);
  EXPECT_THAT(actions().front(), HasSubstr(id));
}

}  // namespace
}  // namespace shiftd
