// Hosts that are prepared long before their turn.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

class Prepare : public SupervisorTest {
 protected:
  // A host that is never done is given up within a minute after the limit.
  void expect_given_up_after(Duration limit, Strategy strategy) {
    begin(4, std::move(strategy));
    world_->prepare_time = 2h;
    auto id = start("two");
    pass_until_phase(id, HostPhase::preparing);
    auto from = clock_.steady();
    auto rollout = finish(id);
    EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
    EXPECT_THAT(rollout.reason, HasSubstr("prepare: "));
    expect_all("one");
    auto took = clock_.steady() - from;
    EXPECT_GE(took, limit);
    EXPECT_LT(took, limit + 1min);
  }
};

TEST_F(Prepare, HasALimitOfItsOwn) {
  auto strategy = five_stages();
  strategy.upgrade_limit = 1min;
  strategy.prepare_limit = 20min;
  expect_given_up_after(20min, strategy);
}

TEST_F(Prepare, HasTheUpgradesLimitWithoutOne) {
  auto strategy = five_stages();
  strategy.upgrade_limit = 3min;
  expect_given_up_after(3min, strategy);
}

TEST_F(Prepare, AllOfThemWhileTheFirstStageBakes) {
  auto strategy = five_stages();
  strategy.prepare_ahead = every_host;
  begin(30, strategy);
  world_->prepare_time = 400ms;
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  EXPECT_GT(running(id)->in(HostPhase::pooled_old), 10u);
  pass(4s);
  EXPECT_EQ(running(id)->phase, Phase::baking);
  EXPECT_EQ(running(id)->in(HostPhase::ready), 29u);
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
}

TEST_F(Prepare, OnlyWhoseTurnIsNearStandsBy) {
  auto strategy = five_stages();
  strategy.prepare_ahead = every_host;
  strategy.prepare_at_once = 80;
  begin(30, strategy);
  auto id = start("two");
  pass(3s);
  EXPECT_EQ(running(id)->in(HostPhase::pooled_old) + running(id)->in(HostPhase::preparing), 0u);
  int number = 0;
  for (const auto& [name, host] : world_->hosts) {
    ++number;
    // The first may have left meanwhile.
    if (number == 11) continue;
    EXPECT_EQ(host.stands_by, number <= 10) << name;
  }
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(Prepare, ARestartOfTheDaemonGoesOnWithIt) {
  auto strategy = five_stages();
  strategy.prepare_ahead = every_host;
  begin(20, strategy);
  world_->prepare_time = 400ms;
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  restart(id);
  EXPECT_GT(running(id)->in(HostPhase::preparing), 0u);
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
  expect_no_swap_twice();
}

}  // namespace
}  // namespace shiftd
