// A member's stored value may hold more than pooled and weight. What other tools write there while we hold the member is
// theirs: of the original only the setting is written back.

#include <gtest/gtest.h>

#include "tests/fakes/engine_world.hpp"
#include "tests/fakes/fleets.hpp"

namespace shiftd {
namespace {

// Another tool writes a comment into the member and leaves its setting alone.
void comment(EngineWorld& world, MemberIndex member) {
  auto& stored = world.store[member];
  stored.bytes += " # see ticket 7";
  stored.revision += "+";
  world.watch(member);
}

EngineWorld upgrading_world(bool conditional = false) {
  FleetSpec fleet;
  fleet.hosts = 4;
  fleet.capabilities.conditional_writes = conditional;
  Strategy strategy;
  strategy.stages = stages_of("100%@0s");
  EngineWorld world(make_plan(request_for(), strategy, fleet_of(fleet)).value());
  while (world.rollout.in(HostPhase::upgrading) == 0) {
    if (!world.answer()) world.wait();
  }
  return world;
}

TEST(OtherFields, OfAMemberThatWeHoldStayAsTheyWereLastWritten) {
  auto world = upgrading_world();
  auto host = *world.rollout.moving.begin();
  auto member = world.rollout.plan.hosts[host].first_member;
  comment(world, member);
  EXPECT_NE(world.rollout.hosts[host].phase, HostPhase::left) << "its setting is as we want it";
  world.feed(Command{Verb::roll_back, 0, "ada", ""});
  for (int round = 0; round < 200 && world.rollout.phase != Phase::ended; ++round) {
    if (!world.answer()) world.wait();
  }
  EXPECT_EQ(world.rollout.outcome, Outcome::rolled_back) << world.rollout.reason;
  const auto& ended = world.rollout.members[member];
  EXPECT_TRUE(ended.verbatim);
  EXPECT_EQ(ended.known.setting, ended.original.setting);
  EXPECT_EQ(ended.original.bytes, "") << "nothing is written verbatim over what the tool wrote";
}

// docs/decisions/0005
TEST(TheSameAgain, ByAnotherHandIsTheirsWhereAHostIsOut) {
  auto world = upgrading_world(true);
  auto host = *world.rollout.moving.begin();
  auto member = world.rollout.plan.hosts[host].first_member;
  world.meddle(member, world.store[member].setting);
  world.watch(member);
  EXPECT_EQ(world.rollout.hosts[host].phase, HostPhase::left);
  EXPECT_EQ(world.rollout.members[member].holder, Holder::theirs);
  auto theirs = world.store[member];
  world.feed(Command{Verb::roll_back, 0, "ada", ""});
  for (int round = 0; round < 200 && world.rollout.phase != Phase::ended; ++round) {
    if (!world.answer()) world.wait();
  }
  EXPECT_EQ(world.store[member], theirs) << "it is never pooled by us";
  EXPECT_NE(world.rollout.reason.find("taken out by someone else, too"), std::string::npos) << world.rollout.reason;
}

TEST(TheSameAgain, StaysOursWhereRevisionsSayNothing) {
  auto world = upgrading_world(false);
  auto host = *world.rollout.moving.begin();
  auto member = world.rollout.plan.hosts[host].first_member;
  world.meddle(member, world.store[member].setting);
  world.watch(member);
  EXPECT_EQ(world.rollout.hosts[host].phase, HostPhase::upgrading);
}

TEST(TheSameAgain, StaysOursWhereAHostServes) {
  auto world = upgrading_world(true);
  auto host = *world.rollout.moving.begin();
  auto member = world.rollout.plan.hosts[host].first_member;
  while (world.rollout.hosts[host].phase != HostPhase::serving_new) {
    if (!world.answer()) world.wait();
  }
  world.meddle(member, world.store[member].setting);
  world.watch(member);
  EXPECT_EQ(world.rollout.hosts[host].phase, HostPhase::serving_new);
}

TEST(OtherFields, OfAMemberThatNobodyTouchesAreWrittenBackExactly) {
  auto world = upgrading_world();
  auto host = *world.rollout.moving.begin();
  auto member = world.rollout.plan.hosts[host].first_member;
  EXPECT_EQ(world.rollout.members[member].original.bytes, world.rollout.plan.members[member].original.bytes);
}

}  // namespace
}  // namespace shiftd
