// What a check says of a reverted host, beside the same check on hosts that nobody touched.

#include <gmock/gmock.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

class RevertedChecks : public SupervisorTest {
 protected:
  std::string begin_with_a_canary() {
    begin(4, five_stages());
    auto id = start("two");
    pass_until_phase(id, HostPhase::serving_new);
    return id;
  }
  Rollout roll_back(const std::string& id) {
    EXPECT_TRUE(ask(supervisor_->command(id, {Verb::roll_back, "", "ada", "it is slow"})));
    return finish(id);
  }
};

TEST_F(RevertedChecks, OneThatFailsOnUntouchedHostsTooKeepsNobodyOut) {
  auto id = begin_with_a_canary();
  world_->fails_checks.insert("one");
  auto rollout = roll_back(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  EXPECT_THAT(rollout.hosts[0].why, HasSubstr("its checks fail as they do on web02, web03, web04, which nobody touched: answers critical"));
  expect_all("one");
}

TEST_F(RevertedChecks, OneThatIsWellElsewhereKeepsTheHostOut) {
  auto id = begin_with_a_canary();
  world_->hosts.at("web01").checks_pass = false;
  world_->hosts.at("web02").checks_pass = false;
  auto rollout = roll_back(id);
  EXPECT_EQ(rollout.outcome, Outcome::failed);
  EXPECT_THAT(rollout.reason, HasSubstr("web01 is out of its pools"));
}

}  // namespace
}  // namespace shiftd
