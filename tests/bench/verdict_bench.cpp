// What one tick of the canary verdict costs. The targets: 20 hosts of which 4 canaries under 5 us; 10,000 of which 1,000
// under 2 ms. Every tenth tick ends a block and learns.

#include <benchmark/benchmark.h>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

void tick(benchmark::State& state) {
  auto all = static_cast<std::size_t>(state.range(0));
  auto canaries = static_cast<std::size_t>(state.range(1));
  CanaryTest test{AnalysisOptions{}};
  std::vector<HostTick> hosts;
  for (std::size_t host = 0; host < all; ++host) {
    hosts.push_back({"web" + std::to_string(host), Cohort::baseline, false, 100 + host % 7, host % 50 == 0 ? 1U : 0U});
  }
  Instant now(1'700'000'000s);
  auto next = [&](Season season) { return test.tick({now += 1s, 1s, season, 0, 0.5}, hosts); };
  for (int i = 0; i < 60; ++i) next(Season::before);
  for (std::size_t host = 0; host < canaries; ++host) hosts[host].cohort = Cohort::canary;
  for (int i = 0; i < 100; ++i) next(Season::live);
  for (auto _ : state) benchmark::DoNotOptimize(next(Season::live));
}

BENCHMARK(tick)->Args({20, 4})->Args({200, 20})->Args({10'000, 1'000});

void evidence(benchmark::State& state) {
  CanaryTest test{AnalysisOptions{}};
  std::vector<HostTick> hosts;
  for (int host = 0; host < 20; ++host) hosts.push_back({"web", host < 4 ? Cohort::canary : Cohort::baseline, false, 100, 1});
  test.tick({Instant(1s), 1s, Season::live, 0, 0.5}, hosts);
  for (auto _ : state) benchmark::DoNotOptimize(test.evidence(hosts));
}

BENCHMARK(evidence);

}  // namespace
}  // namespace shiftd
