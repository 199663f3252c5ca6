// A load balancer is asked often only while somebody waits for what it shows.

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

class LookPace : public SupervisorTest {
 protected:
  // The first host is out of its pools, and being upgraded.
  std::string begin_upgrading(Duration upgrade_time) {
    begin(4, five_stages());
    world_->upgrade_time = upgrade_time;
    auto id = start("two");
    pass_until_phase(id, HostPhase::upgrading);
    return id;
  }
};

TEST_F(LookPace, WhileAHostIsUpgradedItIsAskedOnceASecond) {
  begin_upgrading(1min);
  auto before = world_->looks;
  pass(30s);
  EXPECT_GE(world_->looks - before, 29);
  EXPECT_LE(world_->looks - before, 31);
}

TEST_F(LookPace, WhileAHostDrainsItIsAskedManyTimesASecond) {
  begin(4, five_stages());
  world_->drain_time = 1min;
  pass_until_phase(start("two"), HostPhase::draining);
  auto before = world_->looks;
  pass(10s);
  EXPECT_GE(world_->looks - before, 90);
}

// Its service answers, and the load balancer finds that out a moment later.
TEST_F(LookPace, FromWhenAHostWaitsForItItIsAskedManyTimesASecondAtOnce) {
  auto id = begin_upgrading(1min);
  auto& host = world_->hosts.at("web01");
  host.health_up = false;
  pass_until_phase(id, HostPhase::awaiting_health);
  auto answered = clock_.steady();
  host.health_up = true;
  pass_until_phase(id, HostPhase::joining);
  EXPECT_LE(clock_.steady() - answered, 20ms);
}

}  // namespace
}  // namespace shiftd
