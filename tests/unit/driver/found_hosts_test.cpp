// Hosts that a pool's store names instead of the configuration, and hosts that are found out of their pools.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class FoundHostsOfAPool : public SupervisorTest {
 protected:
  void begin_found(int hosts, Strategy strategy) {
    begin(hosts, std::move(strategy));
    world_->hosts_are_found = true;
    boot_again();
  }
  Result<Plan> plan_two() {
    StartRequest request;
    request.service = "web";
    request.release = {"v-two", "two", "/nowhere"};
    auto proposal = ask(supervisor_->plan(request));
    if (!proposal) return proposal.error();
    return std::move(proposal->plan);
  }
};

TEST_F(FoundHostsOfAPool, AreThoseOfThePlanAndNoOther) {
  begin_found(4, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  world_->add_host("web99");
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  EXPECT_EQ(rollout.plan.hosts.size(), 4u);
  EXPECT_TRUE(world_->hosts.at("web99").swaps.empty());
  auto next = plan_two();
  ASSERT_TRUE(next) << next.error();
  EXPECT_EQ(next->hosts.size(), 5u);
  EXPECT_EQ(next->hosts_to_upgrade(), 1u);
}

TEST_F(FoundHostsOfAPool, AreKnownAgainAfterARestart) {
  begin_found(4, five_stages());
  auto id = start("two");
  pass_until_phase(id, HostPhase::upgrading);
  restart(id);
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  expect_all("two");
  expect_no_swap_twice();
}

TEST_F(FoundHostsOfAPool, AreNotThoseThatHaveLeftIt) {
  begin_found(4, five_stages());
  ASSERT_EQ(plan_two().value().hosts.size(), 4u);
  world_->hosts.erase("web03");
  auto plan = plan_two();
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->hosts.size(), 3u);
}

TEST_F(FoundHostsOfAPool, AreNoMembersThatNoHostOfTheServiceCouldBe) {
  begin_found(4, five_stages());
  world_->add_host("db1");
  auto plan = plan_two();
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->hosts.size(), 4u);
  EXPECT_THAT(plan->notes, Contains("lb1/app/db1 is left alone: no host of this service could be called so there"));
  world_->hosts.clear();
  world_->add_host("db1");
  EXPECT_EQ(plan_two().error().code, Errc::bad_input);
}

TEST_F(FoundHostsOfAPool, AreNotMoreThanOneRolloutMayTouch) {
  auto strategy = five_stages();
  strategy.max_members = 4;
  begin_found(5, strategy);
  auto refused = plan_two();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("it would touch 5 members: those of 5 hosts in 1 pool; max_members is 4"));
  world_->hosts.erase("web05");
  EXPECT_TRUE(plan_two());
}

TEST_F(FoundHostsOfAPool, ThatAreOutOfItAreUpgradedAndNeverPutIn) {
  begin_found(5, five_stages());
  world_->hosts.at("web02").setting = {Pooled::no, 100};
  world_->hosts.at("web04").setting = {Pooled::inactive, 0};
  auto rollout = finish(start("two"));
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  for (const auto& [name, host] : world_->hosts) EXPECT_EQ(host.running, "two") << name;
  EXPECT_EQ(world_->hosts.at("web02").setting, (Setting{Pooled::no, 100}));
  EXPECT_EQ(world_->hosts.at("web04").setting, (Setting{Pooled::inactive, 0}));
}

TEST_F(FoundHostsOfAPool, ThatAreOutOfItAreSkippedWhereTheServiceSaysSo) {
  auto strategy = five_stages();
  strategy.depooled = Depooled::skip;
  begin_found(5, strategy);
  world_->hosts.at("web02").setting = {Pooled::no, 100};
  world_->hosts.at("web04").setting = {Pooled::inactive, 0};
  auto rollout = finish(start("two"));
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  EXPECT_EQ(rollout.plan.hosts_to_upgrade(), 3u);
  EXPECT_THAT(rollout.plan.notes, Contains("2 hosts out of their pools: skipped"));
  for (const auto* name : {"web02", "web04"}) {
    EXPECT_TRUE(world_->hosts.at(name).swaps.empty()) << name;
    EXPECT_NE(world_->hosts.at(name).setting.pooled, Pooled::yes) << name;
  }
}

}  // namespace
}  // namespace shiftd
