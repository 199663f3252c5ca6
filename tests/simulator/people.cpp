// What happens now and then by itself: people, other tools, and everything that breaks for a while.

#include <algorithm>

#include "tests/simulator/world.hpp"

namespace shiftd::simulator {

void World::schedule_faults() {
  for (std::size_t number = 0; number < faults_count; ++number) {
    if (fault_table()[number].how != Strikes::sometimes) continue;
    auto fault = static_cast<Fault>(number);
    auto pause = faults.next(fault);
    if (pause == Duration(0)) continue;
    // Each plans its next time when it strikes.
    auto again = std::make_shared<std::function<void()>>();
    *again = [this, fault, weak = std::weak_ptr(again)] {
      if (!faults.on(fault)) return;
      faults.hit(fault);
      strike(fault);
      if (auto self = weak.lock()) after(faults.next(fault), [self] { (*self)(); });
    };
    after(pause, [again] { (*again)(); });
  }
}

void World::strike(Fault fault) {
  auto& random = faults.chance(fault);
  auto now = clock.steady();
  auto& pool = pools[random.index(pools.size())];
  auto pool_index = static_cast<std::size_t>(&pool - pools.data());
  auto balancer = random.index(pool.balancers.size());
  auto host = random.index(hosts.size());
  auto member = pool.members.empty() ? 0 : random.index(pool.members.size());
  auto a_while = now + random.between(500ms, random.chance(0.3) ? 120s : 15s);
  auto name = std::string(fault_table()[static_cast<std::size_t>(fault)].name);
  if (tracing) say("fault", name);
  auto set_by_person = [&](Setting setting) {
    if (pool.members.empty()) return;
    auto& its = pool.members[member];
    if (!pool.conditional && setting.pooled == Pooled::inactive) setting.pooled = Pooled::no;
    if (setting == its.setting) return;
    bool ours = std::find(its.asked.begin(), its.asked.end(), setting) != its.asked.end();
    if (!its.theirs && !its.before) its.before = its.base;
    its.base = setting;
    if (!pool.conditional && setting == its.before) ours = true;
    its.theirs = !ours || (its.theirs && pool.conditional);  // in HAProxy what we have set looks as ours does
    change(pool_index, member, setting, By::others);
  };
  // Mostly one that somebody has: of the others nothing can be handed back.
  auto held_host = [&] {
    std::vector<std::size_t> held;
    for (const auto& each : pools) {
      for (const auto& its : each.members) {
        if (its.theirs) held.push_back(its.host);
      }
    }
    return held.empty() || random.chance(0.1) ? host : held[random.index(held.size())];
  };
  switch (fault) {
    case Fault::killed_anywhere: return kill();
    case Fault::clock_jumps: return clock.jump_wall(Duration(random.pick(-600'000, 600'000)));
    case Fault::store_down: pool.down_until = a_while; return;
    case Fault::store_conflict: {
      // Another tool writes another field.
      if (!pool.conditional || pool.members.empty()) return;
      pool.members[member].note = random.pick(100, 999);
      ++pool.members[member].revision;
      ++pool.changes;
      return;
    }
    case Fault::view_silent: pool.balancers[balancer].silent_until = a_while; return;
    case Fault::view_not_found: pool.balancers[balancer].not_found_until = a_while; return;
    case Fault::view_nonsense: pool.balancers[balancer].nonsense_until = a_while; return;
    case Fault::view_closed: {
      close(pool_index, balancer, a_while - now);
      // Who sees it may want no more of the rollout, while nothing can be written.
      if (!random.chance(0.5)) return;
      faults.hit(Fault::person_aborts);
      after(random.between(1s, 15s), [this, host] { person_says(Verb::abort, host); });
      return;
    }
    case Fault::balancer_restarts: return restart_balancer(pool_index, balancer);
    case Fault::balancer_dies:
      pass_traffic();
      pool.balancers[balancer].dead = true;
      return;
    case Fault::ssh_refuses: hosts[host].ssh_refuses_until = a_while; return;
    case Fault::host_reboots: return power_off(host, random.between(5s, 60s));
    case Fault::host_vanishes: return power_off(host, random.between(1min, 30min));
    case Fault::host_returns_old: {
      power_off(host, random.between(5s, 60s));
      hosts[host].current = "one";
      return;
    }
    case Fault::check_flaps: hosts[host].checks_fail_until = a_while; return;
    case Fault::counters_reset: {
      ++pool.counters_life;
      for (auto& its : pool.members) its.counted_requests = its.counted_failures = 0;
      return;
    }
    case Fault::counters_stall:
      if (pool.counters_stall_until <= now) pool.counters_stalled_at = now;
      pool.counters_stall_until = std::max(pool.counters_stall_until, a_while);
      return;
    case Fault::counters_jump:
      if (!pool.members.empty()) pool.members[member].counted_requests += static_cast<std::uint64_t>(random.pick(100, 100'000));
      return;
    case Fault::counters_dip: {
      if (pool.members.empty()) return;
      auto& its = pool.members[member];
      its.counted_requests -= its.counted_requests / 2;
      its.counted_failures -= its.counted_failures / 2;
      return;
    }
    case Fault::person_depools: return set_by_person({random.chance(0.5) ? Pooled::no : Pooled::inactive, random.pick(1, 99)});
    case Fault::person_repools: return set_by_person({Pooled::yes, random.pick(1, pool.capabilities.weight_most)});
    case Fault::person_changes_weight:
      if (!pool.members.empty()) set_by_person({pool.members[member].setting.pooled, random.pick(1, pool.capabilities.weight_most)});
      return;
    case Fault::person_pauses: return person_says(Verb::pause, host);
    case Fault::person_aborts: return person_says(Verb::abort, host);
    case Fault::person_rolls_back: return person_says(Verb::roll_back, host);
    case Fault::person_takes: return person_says(Verb::take, held_host());
    case Fault::person_releases_hold: return person_says(Verb::release_hold, held_host());
    case Fault::person_starts_second: return person_starts();
    default: return;
  }
}

// Nothing more goes wrong, and what is broken is mended. What people did stays.
void World::heal() {
  if (healed) return;
  healed = true;
  say("world", "nothing more goes wrong");
  faults.stop();
  disk_full_until = std::min(disk_full_until, clock.steady());
  for (std::size_t index = 0; index < pools.size(); ++index) {
    auto& pool = pools[index];
    pool.down_until = pool.counters_stall_until = Steady{};
    for (std::size_t balancer = 0; balancer < pool.balancers.size(); ++balancer) {
      auto& its = pool.balancers[balancer];
      for (auto* until : {&its.silent_until, &its.not_found_until, &its.nonsense_until, &its.closed_until})
        *until = std::min(*until, clock.steady());
      pass_traffic();
      if (!std::exchange(its.dead, false)) continue;
      its.silent_until = clock.steady();
      restart_balancer(index, balancer);
      for (std::size_t host = 0; host < hosts.size(); ++host) note_health(host);
    }
  }
  for (auto& host : hosts) host.ssh_refuses_until = host.checks_fail_until = Steady{};
}

}  // namespace shiftd::simulator
