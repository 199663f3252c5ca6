// What one event of one host costs in fleets of 10 to 10,000, and what one record costs to write and to read.
//
// The targets: decide and apply under 5 us and flat; encode and decode under 5 us for each record.

#include <deque>

#include <benchmark/benchmark.h>

#include "daemon/engine/codec.hpp"
#include "daemon/engine/decide.hpp"
#include "tests/fakes/fleets.hpp"
#include "tests/fakes/sample_records.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

Rollout rollout_of(int hosts) {
  FleetSpec fleet;
  fleet.hosts = hosts;
  Strategy strategy;
  strategy.stages = stages_of("100%@0s");
  strategy.batch = HostQuota{std::max(1, hosts / 10), {}};
  strategy.max_failed = HostQuota{hosts, {}};
  auto rollout = asked_for(request_for(), Instant(1s));
  take_in(rollout, PlanMade{make_plan(request_for(), strategy, fleet_of(fleet)).value()}, Instant(1s));
  return rollout;
}

// A friendly world's next answer to what was asked for last. It costs nothing but this: no look over the fleet.
class Answers {
 public:
  explicit Answers(const Rollout& rollout) {
    for (const auto& effect : outstanding(rollout)) ask(rollout, effect);
  }

  void ask(const Rollout& rollout, const Effect& effect) {
    if (const auto* write = std::get_if<WriteMember>(&effect.what)) {
      events_.push_back(MemberWritten{write->member, effect.id, observed(rollout.members[write->member].wanted)});
      see_later(rollout, rollout.plan.members[write->member].host);
      return;
    }
    auto host = std::get<HostStep>(effect.what).host;
    events_.push_back(StepDone{host, effect.id, {well(rollout.members[host])}});
  }

  [[nodiscard]] bool empty() const { return events_.empty(); }
  Event take() {
    auto event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  static Shown well(const MemberState& member) {
    bool in = member.wanted.pooled == Pooled::yes;
    return {in ? Traffic::flowing : Traffic::none, in, Health::up, in ? member.wanted.weight : 0, {}};
  }
  void see_later(const Rollout& rollout, HostIndex host) { events_.push_back(HostSeen{host, {well(rollout.members[host])}}); }

  std::deque<Event> events_;
};

// A whole rollout, event after event; the time is that of one event.
void one_event_of_one_host(benchmark::State& state) {
  const auto fresh = rollout_of(static_cast<int>(state.range(0)));
  std::int64_t events = 0;
  std::int64_t records = 0;
  auto rollout = fresh;
  Answers answers(rollout);
  auto now = Instant(1s);
  for (auto _ : state) {
    if (answers.empty()) {
      state.PauseTiming();
      rollout = fresh;
      answers = Answers(rollout);
      state.ResumeTiming();
    }
    auto event = answers.take();
    auto decision = take_in(rollout, event, now += 1ms);
    for (const auto& effect : decision.effects) answers.ask(rollout, effect);
    ++events;
    records += static_cast<std::int64_t>(decision.records.size());
  }
  state.counters["records_per_event"] = static_cast<double>(records) / static_cast<double>(events);
}
BENCHMARK(one_event_of_one_host)->Arg(10)->Arg(100)->Arg(1'000)->Arg(10'000);

void one_tick(benchmark::State& state) {
  auto rollout = rollout_of(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(take_in(rollout, Tick{}, Instant(2s)));
}
BENCHMARK(one_tick)->Arg(10)->Arg(10'000);

struct Lines {
  std::vector<Record> records;
  std::vector<std::string> texts;
  Codec codec;

  Lines() {
    for (auto& record : sample_records()) {
      auto text = codec.encode(record);
      bool once = std::holds_alternative<Planned>(record.fact) || std::holds_alternative<Requested>(record.fact);
      if (once) continue;  // one of each in a rollout
      texts.push_back(std::move(text));
      records.push_back(std::move(record));
    }
  }
};

void encode_one_record(benchmark::State& state) {
  Lines lines;
  std::size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(lines.codec.encode(lines.records[at++ % lines.records.size()]));
}
BENCHMARK(encode_one_record);

void decode_one_record(benchmark::State& state) {
  Lines lines;
  std::size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(lines.codec.decode(lines.texts[at++ % lines.texts.size()]));
}
BENCHMARK(decode_one_record);

void plan_ten_thousand_hosts(benchmark::State& state) {
  FleetSpec spec;
  spec.hosts = 10'000;
  auto fleet = fleet_of(spec);
  Strategy strategy;
  strategy.stages = stages_of("1%,5%,25%,50%,100%");
  for (auto _ : state) benchmark::DoNotOptimize(make_plan(request_for(), strategy, fleet));
}
BENCHMARK(plan_ten_thousand_hosts)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace shiftd
