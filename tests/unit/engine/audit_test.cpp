// What the journal keeps of a host's steps for whoever asks later: the key that let shiftd in, and the files as they were
// rendered there.

#include <gtest/gtest.h>

#include "tests/fakes/engine_world.hpp"
#include "tests/fakes/fleets.hpp"

namespace shiftd {
namespace {

class Audit : public testing::Test {
 protected:
  Audit() : world_(make_plan(request_for(), Strategy{}, fleet_of({})).value()) {}

  // The move by which a step of the host ends, once it is in that phase.
  HostMoved step(HostPhase phase, const std::string& key, const std::string& rendered = {}) {
    while (world_.rollout.in(phase) == 0) {
      if (!world_.answer()) world_.wait();
    }
    HostIndex host = 0;
    while (world_.rollout.hosts[host].phase != phase) ++host;
    auto decided = world_.feed(StepDone{host, world_.rollout.hosts[host].effect, world_.shown_of(host), {}, key, rendered});
    for (const auto& record : decided.records) {
      const auto* moved = std::get_if<HostMoved>(&record.fact);
      if (moved != nullptr && moved->host == host) return *moved;
    }
    ADD_FAILURE() << "the step led to no move";
    return {};
  }

  EngineWorld world_;
};

TEST_F(Audit, TheKeyAndTheRenderedFilesAreSaidByTheMoveThatAStepLeadsTo) {
  auto prepared = step(HostPhase::preparing, "SHA256:one", "f00d");
  EXPECT_EQ(prepared.phase, HostPhase::ready);
  EXPECT_EQ(prepared.key, "SHA256:one");
  EXPECT_EQ(prepared.rendered, "f00d");
  EXPECT_EQ(world_.rollout.hosts[prepared.host].key, "SHA256:one");
  EXPECT_EQ(world_.rollout.hosts[prepared.host].rendered, "f00d");
}

TEST_F(Audit, AKeyIsSaidAgainOnlyWhenItIsAnother) {
  step(HostPhase::preparing, "SHA256:one");
  auto with_the_same = step(HostPhase::upgrading, "SHA256:one");
  EXPECT_EQ(with_the_same.phase, HostPhase::verifying);
  EXPECT_EQ(with_the_same.key, "");
  EXPECT_EQ(world_.rollout.hosts[with_the_same.host].key, "SHA256:one");

  world_.fail(with_the_same.host, "it does not answer");
  auto with_another = step(HostPhase::reverting, "SHA256:two");
  EXPECT_EQ(with_another.phase, HostPhase::reverifying);
  EXPECT_EQ(with_another.key, "SHA256:two");
  EXPECT_EQ(world_.rollout.hosts[with_another.host].key, "SHA256:two");
}

TEST_F(Audit, AKeyThatIsNotKnownTakesNothingBack) {
  auto prepared = step(HostPhase::preparing, "SHA256:one", "f00d");
  step(HostPhase::upgrading, "");
  EXPECT_EQ(world_.rollout.hosts[prepared.host].key, "SHA256:one");
  EXPECT_EQ(world_.rollout.hosts[prepared.host].rendered, "f00d");
}

}  // namespace
}  // namespace shiftd
