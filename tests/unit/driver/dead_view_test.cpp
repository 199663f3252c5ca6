// A release is taken back though a load balancer cannot tell what it does.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

class DeadView : public SupervisorTest {
 protected:
  // The first host serves the release, and the view dies.
  std::string begin_blind() {
    begin(4, five_stages());
    auto id = start("two");
    pass_until_phase(id, HostPhase::serving_new);
    world_->view_answers = false;
    return id;
  }
  Result<void> roll_back(const std::string& id, bool force) {
    CommandRequest request;
    request.verb = Verb::roll_back;
    request.by = "ada";
    request.reason = "it is slow";
    request.instead_of_views = force;
    return ask(supervisor_->command(id, request));
  }
};

TEST_F(DeadView, AHostThatHasNoConnectionsGoesBackToItsFormerRelease) {
  auto id = begin_blind();
  ASSERT_TRUE(roll_back(id, false));
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  EXPECT_THAT(rollout.reason, HasSubstr("web01 was given back, which not every load balancer showed"));
  expect_all("one");
  expect_no_swap_twice();
}

TEST_F(DeadView, AHostThatIsStillConnectedGoesBackByForceOnly) {
  auto id = begin_blind();
  world_->hosts.at("web01").idle_at = clock_.steady() + 24h;
  ASSERT_TRUE(roll_back(id, false));
  pass(20min);
  ASSERT_NE(running(id), nullptr);
  EXPECT_EQ(world_->hosts.at("web01").current, "two");
  EXPECT_THAT(running(id)->hosts[0].why, HasSubstr("3 connections are still established after 5m"));
  EXPECT_FALSE(roll_back(id, false)) << "it is rolling back already";
  ASSERT_TRUE(roll_back(id, true));
  EXPECT_FALSE(roll_back(id, true));
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  expect_all("one");
}

TEST_F(DeadView, ARestartAsksAgain) {
  auto id = begin_blind();
  world_->hosts.at("web01").idle_at = clock_.steady() + 1min;
  ASSERT_TRUE(roll_back(id, false));
  pass(20s);
  restart(id);
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  expect_all("one");
  expect_no_swap_twice();
}

}  // namespace
}  // namespace shiftd
