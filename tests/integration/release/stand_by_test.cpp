// Who has a shell wait on the host, when the driver asks for it.

#include <gtest/gtest.h>

#include "daemon/release/configured.hpp"
#include "daemon/release/custom.hpp"
#include "daemon/release/restart.hpp"
#include "daemon/release/tarball.hpp"
#include "tests/fakes/fake_executor.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

class StandBy : public testing::Test, public Hosts {
 protected:
  Executor& executor(const std::string&) override { return host_; }

  std::unique_ptr<Releaser> custom(CustomSteps::Where where) {
    auto options = options_;
    options.custom = CustomSteps{"run", "revert", "", "", where};
    return make_custom_releaser(*clock_, std::move(options), *this);
  }

  int asked_by(Releaser& releaser) {
    host_.stood_by = 0;
    run_task(releaser.stand_by({"web1", "web1:80"}));
    return host_.stood_by;
  }

  std::unique_ptr<Clock> clock_ = make_system_clock();
  FakeExecutor host_{*clock_};
  ReleaseOptions options_;
};

TEST_F(StandBy, TheHostsShellDoes) {
  EXPECT_EQ(asked_by(*make_tarball_releaser(*clock_, options_, *this)), 1);
  EXPECT_EQ(asked_by(*custom(CustomSteps::Where::host)), 1);
}

TEST_F(StandBy, ThroughWhatStandsAroundARelease) {
  auto tarballs = make_tarball_releaser(*clock_, options_, *this);
  auto configured = with_configurations(std::move(tarballs), options_, *this, nullptr, {});
  EXPECT_EQ(asked_by(*configured), 1);
  EXPECT_EQ(asked_by(*with_restarts(std::move(configured))), 1);
}

TEST_F(StandBy, NoneDoesWhereTheStepsRunOnOurOwnMachine) { EXPECT_EQ(asked_by(*custom(CustomSteps::Where::shiftd)), 0); }

}  // namespace
}  // namespace shiftd
