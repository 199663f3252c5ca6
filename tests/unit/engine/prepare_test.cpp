// How many hosts are prepared before their turn, and how many of them at once.

#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/engine/decide.hpp"
#include "tests/fakes/engine_world.hpp"
#include "tests/fakes/fleets.hpp"
#include "tests/fakes/rollout_checks.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

struct Counted {
  std::uint32_t at_once = 0;  // the most that were
  std::uint32_t ahead = 0;    // the most that waited for their turn, prepared or being prepared
};

// A rollout whose hosts never leave their pools: they are prepared, and that is all.
Counted prepared(int hosts, const Strategy& strategy) {
  FleetSpec fleet;
  fleet.hosts = hosts;
  auto plan = make_plan(request_for(), strategy, fleet_of(fleet)).value();
  plan.watch = 1h;
  EngineWorld world(plan);
  world.remembers = false;
  Counted most;
  while (true) {
    auto preparing = world.rollout.in(HostPhase::preparing);
    most.at_once = std::max(most.at_once, preparing);
    most.ahead = std::max(most.ahead, preparing + world.rollout.in(HostPhase::ready));
    auto steps = world.steps();
    if (steps.empty()) return most;
    world.finish(*steps.begin());
  }
}

Strategy batches_of(int batch) {
  Strategy strategy;
  strategy.stages.push_back({all_traffic, 0s, Gate::open});
  strategy.batch = {batch, {}};
  strategy.max_load = 10;
  strategy.max_load_rollback = 10;
  return strategy;
}

TEST(Prepare, TenHostsOrTwoBatchesUnlessTheServiceSaysMore) {
  EXPECT_EQ(prepared(100, batches_of(1)).ahead, 10u);
  EXPECT_EQ(prepared(100, batches_of(1)).at_once, 3u);
  EXPECT_EQ(prepared(100, batches_of(8)).ahead, 16u);
}

TEST(Prepare, AsManyAsTheServiceSays) {
  auto strategy = batches_of(1);
  strategy.prepare_ahead = HostQuota{40, {}};
  EXPECT_EQ(prepared(100, strategy).ahead, 40u);
  strategy.prepare_ahead = HostQuota{0, BasisPoints{2'500}};
  EXPECT_EQ(prepared(100, strategy).ahead, 25u);
  strategy.prepare_ahead = every_host;
  EXPECT_EQ(prepared(100, strategy).ahead, 100u);
}

TEST(Prepare, WhoeverIsNextWhateverAPercentageRoundsTo) {
  auto strategy = batches_of(1);
  strategy.prepare_ahead = HostQuota{0, BasisPoints{100}};
  EXPECT_EQ(prepared(8, strategy).ahead, 1u);
}

TEST(Prepare, NeverMoreAtOnceThanTheServiceSays) {
  for (int at_once : {1, 2, 80}) {
    SCOPED_TRACE(at_once);
    auto strategy = batches_of(20);
    strategy.prepare_ahead = every_host;
    strategy.prepare_at_once = at_once;
    auto most = prepared(1'000, strategy);
    EXPECT_EQ(most.at_once, static_cast<std::uint32_t>(at_once));
    EXPECT_EQ(most.ahead, 1'000u);
  }
}

}  // namespace
}  // namespace shiftd
