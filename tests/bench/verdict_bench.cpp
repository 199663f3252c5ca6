// What one tick of the canary verdict costs. The targets: 20 hosts of which 4 canaries under 5 us; 10,000 of which 1,000
// under 2 ms. Every tenth tick ends a block and learns.

#include <benchmark/benchmark.h>

#include "daemon/analysis/trace.hpp"
#include "daemon/analysis/verdict.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A rollout of so many hosts, of which so many are canary, well under way.
struct UnderWay {
  explicit UnderWay(const benchmark::State& state) {
    auto all = static_cast<std::size_t>(state.range(0));
    auto canaries = static_cast<std::size_t>(state.range(1));
    for (std::size_t host = 0; host < all; ++host) {
      hosts.push_back({"web" + std::to_string(host), Cohort::baseline, false, 100 + host % 7, host % 50 == 0 ? 1U : 0U});
    }
    for (int i = 0; i < 60; ++i) next(Season::before);
    for (std::size_t host = 0; host < canaries; ++host) hosts[host].cohort = Cohort::canary;
    for (int i = 0; i < 100; ++i) next(Season::live);
  }
  Verdict next(Season season) { return test.tick({now += 1s, 1s, season, 0, 0.5}, hosts); }

  CanaryTest test{AnalysisOptions{}};
  std::vector<HostTick> hosts;
  Instant now{1'700'000'000s};
};

void tick(benchmark::State& state) {
  UnderWay rollout(state);
  for (auto _ : state) benchmark::DoNotOptimize(rollout.next(Season::live));
}

BENCHMARK(tick)->Args({20, 4})->Args({200, 20})->Args({10'000, 1'000});

// Kept every ten seconds.
void checkpoint(benchmark::State& state) {
  UnderWay rollout(state);
  for (auto _ : state) benchmark::DoNotOptimize(rollout.test.checkpoint());
  state.counters["bytes"] = static_cast<double>(rollout.test.checkpoint().size());
}

BENCHMARK(checkpoint)->Args({20, 4})->Args({10'000, 1'000})->Unit(benchmark::kMillisecond);

// Read once, after a restart.
void restore(benchmark::State& state) {
  UnderWay rollout(state);
  auto kept = rollout.test.checkpoint();
  for (auto _ : state) benchmark::DoNotOptimize(rollout.test.restore(kept));
}

BENCHMARK(restore)->Args({10'000, 1'000})->Unit(benchmark::kMillisecond);

// What a recorded row costs, and how long it is.
void record_row(benchmark::State& state) {
  UnderWay rollout(state);
  TraceRow row{{rollout.now, 1s, Season::live, 0, 0.5}, false, rollout.hosts};
  for (auto _ : state) benchmark::DoNotOptimize(trace_row(row));
  state.counters["bytes"] = static_cast<double>(trace_row(row).size());
}

BENCHMARK(record_row)->Args({20, 4})->Args({10'000, 1'000});

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
