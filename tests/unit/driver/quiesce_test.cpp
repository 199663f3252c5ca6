// Where leaving a pool cuts connections, none is cut that would have ended by itself.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

class Quiesce : public SupervisorTest {
 protected:
  void begin_where_leaving_cuts(Strategy strategy = five_stages()) {
    begin(4, std::move(strategy));
    world_->capabilities.cuts_connections = true;
    reboot();
  }
  void reboot() {
    halt();
    boot();
  }
};

TEST_F(Quiesce, CutsNoConnectionOnTheWayToTheRelease) {
  begin_where_leaving_cuts();
  auto rollout = finish(start("two"));
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
  EXPECT_EQ(world_->cut_connections, 0);
}

TEST_F(Quiesce, CutsNoneWhenAPersonTakesTheReleaseBack) {
  begin_where_leaving_cuts();
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  ASSERT_TRUE(ask(supervisor_->command(id, {Verb::roll_back, "", "test", ""})));
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  expect_all("one");
  EXPECT_EQ(world_->cut_connections, 0);
}

TEST_F(Quiesce, DoesNotWaitForTheConnectionsOfABadRelease) {
  begin_where_leaving_cuts();
  world_->failure_rate["three"] = 0.5;
  auto rollout = finish(start("three"));
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  EXPECT_GT(world_->cut_connections, 0);
  expect_all("one");
}

// Under steady traffic a moment without connections comes, and a minute without them never does.
TEST_F(Quiesce, LeavesInTheFirstIdleMomentAndIsKeptEmptyAfterIt) {
  auto strategy = five_stages();
  strategy.drain_grace = 1min;
  begin_where_leaving_cuts(strategy);
  auto id = start("two");
  pass_until_phase(id, HostPhase::quiescing);
  auto from = clock_.steady();
  pass_until_phase(id, HostPhase::draining);
  EXPECT_LT(clock_.steady() - from, Duration(1min));
  pass_until_phase(id, HostPhase::upgrading);
  EXPECT_GE(clock_.steady() - from, Duration(1min));
  EXPECT_EQ(world_->cut_connections, 0);
}

TEST_F(Quiesce, GivesAHostBackThatDoesNotBecomeIdle) {
  begin_where_leaving_cuts();
  world_->connection_time = 24h;
  auto rollout = finish(start("two"));
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  EXPECT_THAT(rollout.reason, HasSubstr("3 connections are still established after 5m"));
  expect_all("one");
  EXPECT_EQ(world_->cut_connections, 0);
}

TEST_F(Quiesce, LeavesOutAHostThatLosesItsPowerMeanwhile) {
  begin_where_leaving_cuts();
  auto id = start("two");
  pass_until_phase(id, HostPhase::quiescing);
  auto& host = world_->hosts.at("web01");
  host.reachable = host.health_up = false;
  host.running.clear();
  pass_until_phase(id, HostPhase::out);
  pass(1min);
  EXPECT_EQ(host.setting.pooled, Pooled::no) << "with its power its former release would be back in traffic";
  EXPECT_THAT(running(id)->hosts[0].why, HasSubstr("nobody answers"));
}

TEST_F(Quiesce, GoesOnAfterTheLimitWhereTheServiceSaysSo) {
  auto strategy = five_stages();
  strategy.on_drain_limit = DrainDeadline::go_on;
  begin_where_leaving_cuts(strategy);
  world_->connection_time = 24h;
  auto rollout = finish(start("two"));
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
}

TEST_F(Quiesce, ARestartMeanwhileWaitsAgain) {
  begin_where_leaving_cuts();
  auto id = start("two");
  pass_until_phase(id, HostPhase::quiescing);
  pass(1s);
  restart(id);
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
  EXPECT_EQ(world_->cut_connections, 0);
}

TEST_F(Quiesce, PutsAHostBackWhoseLowerWeightIsNotShown) {
  begin_where_leaving_cuts();
  auto id = start("two");
  pass_until_phase(id, HostPhase::quiescing);
  world_->view_answers = false;
  pass(1min);
  ASSERT_NE(running(id), nullptr);
  EXPECT_FALSE(running(id)->held.empty());
  EXPECT_EQ(world_->hosts.at("web01").setting, (Setting{Pooled::yes, 100}));
  EXPECT_EQ(world_->hosts.at("web01").current, "one");
  // It was silent: nobody has to resume.
  world_->view_answers = true;
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

}  // namespace
}  // namespace shiftd
