#include "tests/simulator/world.hpp"

#include <cstdio>

namespace shiftd::simulator {

World::World(std::uint64_t its_seed, const Limits& limits, bool traces)
    : seed(its_seed), draw(its_seed), chance(its_seed ^ 0x5ca1ab1e), faults(draw, its_seed), tracing(traces), served_until(clock.steady()) {
  for (auto fault : limits.without) faults.take_away(fault);
  pace.tick = 2s;
  pace.view_first = 100ms;
  pace.view = 500ms;
  pace.idle_view = 4s;
  pace.counts = 5s;
  pace.bake_check = 10s;
  pace.checkpoint = 20s;
  pace.call_limit = 2s;
  pace.reach_limit = 20s;
  if (limits.set_up) {
    faults.stop();
    limits.set_up(*this);
    return;
  }
  draw_fleet(limits);
  draw_release();
  draw_strategy();
  draw_preparing();
  draw_verdict();
  brings_back = draw.chance(0.3);
  irreversible = draw.chance(0.05);
}

bool World::pass_time() {
  auto waits = clock.next_waiting();
  bool agenda_first = !agenda_.empty() && (!waits || agenda_.begin()->first <= *waits);
  if (agenda_first) {
    auto due = agenda_.extract(agenda_.begin());
    clock.advance_to(due.key());
    due.mapped()();
    return true;
  }
  if (!waits || *waits == never) return false;
  clock.wake_next();
  return true;
}

Task<> World::reach(int its_life, Duration pause) {
  if (pause > Duration(0)) co_await clock.sleep_for(pause);
  if (its_life != life) co_await clock.sleep_until(never);
}

void World::violate(std::string_view promise, std::string what) {
  if (!broken_promise.empty()) return;
  broken_promise = promise;
  broken_how = std::move(what);
  if (tracing) say("VIOLATION", broken_promise + ": " + broken_how);
}

void World::say(std::string_view subject, const std::string& text) {
  if (!tracing) return;
  auto since = clock.steady().time_since_epoch() - std::chrono::hours(1);
  std::printf("%10.3fs  %-14.*s %s\n", static_cast<double>(since.count()) / 1000, static_cast<int>(subject.size()), subject.data(),
              text.c_str());
}

std::string_view to_string(ReleaseKind kind) {
  switch (kind) {
    case ReleaseKind::good: return "good";
    case ReleaseKind::bad: return "bad";
    case ReleaseKind::slowly_bad: return "slowly bad";
    case ReleaseKind::flapping: return "flapping";
    case ReleaseKind::does_not_start: return "does not start";
    case ReleaseKind::fails_checks: return "fails its checks";
    case ReleaseKind::dies_later: return "dies later";
  }
  return "?";
}

}  // namespace shiftd::simulator
