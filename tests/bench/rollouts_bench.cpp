// Whole rollouts of the simulated world, with the real supervisor, driver, engine, codec and verdict, and every checker.
//
// What we aim at, on one core: 250 rollouts of 20 hosts a second; 2,000 without codec and verdict (here the codec is on); a rollout of
// 10,000 hosts under 5 s, its journal under 40 MB.

#include <cstdlib>
#include <iostream>

#include <benchmark/benchmark.h>

#include "daemon/io/log.hpp"
#include "tests/simulator/simulation.hpp"

namespace shiftd::simulator {
namespace {

struct Fleet {
  int hosts;
  int batch;
  Duration tick;
  bool judged;
};

// A good release, one pool, one load balancer: what a calm day brings.
void set_up(World& world, const Fleet& fleet) {
  Pool pool;
  pool.name = "haproxy/pool1";
  pool.capabilities.weight_most = 256;
  pool.rate = 1'000;
  pool.balancers.emplace_back().name = pool.name;
  for (int number = 0; number < fleet.hosts; ++number) {
    auto digits = std::to_string(number);
    Host host;
    host.name = "web" + std::string(5 - digits.size(), '0') + digits;
    host.current = host.running = "one";
    host.drain = 500ms;
    host.upgrade = 3s;
    host.members.emplace_back(0, world.hosts.size());
    Member member;
    member.name = host.name;
    member.host = world.hosts.size();
    member.setting = member.configured = member.base = {Pooled::yes, 100};
    pool.members.push_back(std::move(member));
    pool.balancers[0].members.push_back({{Pooled::yes, 100}});
    world.hosts.push_back(std::move(host));
  }
  world.pools.push_back(std::move(pool));
  world.releases["one"] = {"one", ReleaseKind::good, 0};
  world.releases["two"] = {"two", ReleaseKind::good, 0};
  world.wanted = "two";
  // Without a verdict nothing but the whole fleet is a stage that passes.
  if (fleet.judged) {
    for (int percent : {5, 25, 50}) world.strategy.stages.push_back({BasisPoints{percent * 100}, 20s, Gate::open});
  }
  world.strategy.stages.push_back({all_traffic, fleet.judged ? Duration(20s) : Duration(0), Gate::open});
  world.strategy.batch = HostQuota{fleet.batch, {}};
  world.strategy.max_load = 1.5;
  world.pace.tick = world.pace.counts = fleet.tick;
  world.verdict_ticks = fleet.judged;
  world.verdict.watch_first = Duration(0);
}

void rollouts(benchmark::State& state, Fleet fleet) {
  Limits limits;
  limits.set_up = [&](World& world) { set_up(world, fleet); };
  std::uint64_t seed = 0;
  RunResult result;
  for (auto _ : state) {
    result = simulate(++seed, limits, false);
    if (!result.promise.empty() || result.ended[1] != 1) {
      std::cerr << "seed " << seed << ": " << result.promise << ": " << result.how << "; its story:\n";
      simulate(seed, limits, true);
      std::exit(1);
    }
  }
  state.counters["rollouts/s"] = benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["records"] = static_cast<double>(result.records);
  state.counters["journal_MB"] = static_cast<double>(result.record_bytes) / 1e6;
  state.counters["steps"] = static_cast<double>(result.steps);
  state.counters["simulated_s"] = static_cast<double>(result.lasted.count()) / 1000;
}

BENCHMARK_CAPTURE(rollouts, hosts_20, Fleet{20, 4, 2s, true})->Unit(benchmark::kMillisecond)->MinTime(2);
BENCHMARK_CAPTURE(rollouts, hosts_20_unjudged, Fleet{20, 4, 2s, false})->Unit(benchmark::kMillisecond)->MinTime(2);
BENCHMARK_CAPTURE(rollouts, hosts_10000, Fleet{10'000, 500, 5s, true})->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace shiftd::simulator

int main(int argc, char** argv) {
  shiftd::log::set_level(shiftd::log::Level::off);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
