// Nothing is written to a pool while a load balancer says so, whatever the rollout is at.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

class ClosedPool : public SupervisorTest {
 protected:
  std::string held(const std::string& id) {
    const auto* rollout = running(id);
    return rollout == nullptr ? "ended" : rollout->held;
  }
};

TEST_F(ClosedPool, KeepsEveryHostInItsPoolUntilItOpens) {
  begin(4, five_stages());
  world_->view_closed = {"it has been up for 6s, its monitors need 30s"};
  auto id = start("two");
  pass(10min);
  EXPECT_EQ(world_->writes, 0);
  EXPECT_EQ(held(id), "lb1/app is closed: lb1/app: it has been up for 6s, its monitors need 30s");
  world_->view_closed.clear();
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
}

TEST_F(ClosedPool, DoesNotOpenBecauseItsLoadBalancerFallsSilent) {
  begin(4, five_stages());
  world_->view_closed = {"its monitors need a moment"};
  auto id = start("two");
  pass(30s);
  world_->view_answers = false;
  pass(30s);
  EXPECT_EQ(world_->writes, 0);
  world_->view_closed.clear();
  world_->view_answers = true;
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
}

TEST_F(ClosedPool, LetsAHostThatIsOutWaitWhereItIsSafe) {
  begin(4, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::upgrading);
  world_->view_closed = {"web03 is down but pooled"};
  auto writes = world_->writes;
  pass(10min);
  EXPECT_EQ(world_->writes, writes);
  ASSERT_NE(running(id), nullptr);
  EXPECT_EQ(running(id)->in(HostPhase::awaiting_health), 1u);
  EXPECT_THAT(held(id), HasSubstr("web03 is down but pooled"));
  world_->view_closed.clear();
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
  EXPECT_LT(world_->failed_requests, 0.5);
}

// As PyBal knows no server that its store holds as inactive.
TEST_F(ClosedPool, OpensAfterARestartAlsoWhereTheLoadBalancerKnowsNoneOfItsMembers) {
  begin(4, five_stages());
  for (auto& [name, host] : world_->hosts) host.setting = host.taken_up = {Pooled::inactive, 100};
  world_->view_closed = {"its monitors need a moment"};
  auto id = start("two");
  pass(30s);
  EXPECT_THAT(held(id), HasSubstr("its monitors need a moment"));
  restart(id);
  pass(30s);
  world_->view_closed.clear();
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
}

TEST_F(ClosedPool, IsSeenToOpenSoonAlsoByALoadBalancerThatAnswersSlowly) {
  begin(4, five_stages());
  world_->look_time = 1900ms;
  auto id = start("two");
  pass_until_phase(id, HostPhase::draining);
  world_->view_closed = {"web03 is down but pooled"};
  pass(1min);
  EXPECT_THAT(held(id), HasSubstr("web03 is down but pooled"));
  world_->view_closed.clear();
  pass(2 * world_->look_time + 1s);  // who was asked a moment ago still says what was
  EXPECT_EQ(held(id), "");
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
}

TEST_F(ClosedPool, IsFoundWhereTheLoadBalancerHasStoppedListeningToItsStore) {
  begin(4, five_stages());
  world_->view_listens = false;
  world_->hosts.at("web02").taken_up = {Pooled::yes, 7};
  auto id = start("two");
  pass(10min);
  EXPECT_EQ(world_->writes, 0);
  EXPECT_THAT(held(id),
              HasSubstr("it may have stopped listening to its store: web02: its store holds yes, weight 100, it has yes, weight 7"));
  world_->view_listens = true;
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(ClosedPool, IsNotMadeOfAChangeThatTheLoadBalancerTakesAMomentToHear) {
  begin(10, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  world_->view_listens = false;
  world_->hosts.at("web04").setting = {Pooled::yes, 90};
  pass(5s);
  world_->view_listens = true;
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  auto feed = ask(supervisor_->follow(id, 0, 0ms));
  ASSERT_TRUE(feed);
  for (const auto& record : feed->records) EXPECT_EQ(record.find("pool_closed"), std::string::npos) << record;
}

TEST_F(ClosedPool, IsNotWrittenToAfterARestartEither) {
  begin(4, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::upgrading);
  world_->store_answers = false;
  pass_until_phase(id, HostPhase::joining);
  auto writes = world_->writes;
  halt();
  world_->store_answers = true;
  world_->view_closed = {"it has been up for 1s, its monitors need 30s"};
  boot();
  pass(10min);
  EXPECT_EQ(world_->writes, writes);
  world_->view_closed.clear();
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
  expect_no_swap_twice();
}

TEST_F(ClosedPool, DoesNotKeepABadReleaseInTraffic) {
  begin(4, five_stages());
  auto id = start("three");
  pass_until_phase(id, HostPhase::serving_new);
  world_->view_closed = {"web03 is down but pooled"};
  world_->failure_rate["three"] = 0.5;
  pass(1min);
  EXPECT_EQ(world_->hosts.at("web01").setting.pooled, Pooled::no);
  EXPECT_EQ(world_->hosts.at("web01").running, "one");
  EXPECT_THAT(held(id), HasSubstr("web03 is down but pooled"));
  world_->view_closed.clear();
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  expect_all("one");
}

class Threshold : public ClosedPool {};

TEST_F(Threshold, RaisedMidwayLetsNoMoreHostsLeave) {
  begin(4, five_stages());
  world_->view_threshold = 0.5;
  auto id = start("two");
  pass_until_phase(id, HostPhase::upgrading);
  EXPECT_EQ(running(id)->plan.pools[0].least_serving, 3u);
  world_->view_threshold = 0.75;
  pass(10min);
  ASSERT_NE(running(id), nullptr);
  EXPECT_EQ(running(id)->serving_new(), 1u);
  EXPECT_TRUE(running(id)->in_flight() == 0);
  EXPECT_THAT(held(id), HasSubstr("out would leave 3 of 4 in lb1/app, the least needed by lb1/app (threshold 0.75 of 4 members, 1 more for "
                                  "its monitors) is 4"));
  world_->view_threshold = 0.5;
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
}

TEST_F(Threshold, RaisedMidwayDoesNotHinderARollBack) {
  begin(4, five_stages());
  world_->view_threshold = 0.5;
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  world_->view_threshold = 1;
  pass(5s);
  CommandRequest command;
  command.verb = Verb::roll_back;
  command.by = "ada";
  ASSERT_TRUE(ask(supervisor_->command(id, command)));
  EXPECT_EQ(finish(id).outcome, Outcome::rolled_back);
  expect_all("one");
}

}  // namespace
}  // namespace shiftd
