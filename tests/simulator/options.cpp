// What a seed draws before anything happens: fleet, pools, strategy, release.

#include <cstdio>

#include "tests/simulator/world.hpp"

namespace shiftd::simulator {
namespace {

int draw_size(Random& draw) {
  auto kind = draw.pick(1, 100);
  if (kind <= 80) return draw.pick(1, 8);
  if (kind <= 99) return draw.pick(9, 50);
  return draw.pick(51, 500);
}

std::string numbered(const char* name, int number) {
  char text[32];
  std::snprintf(text, sizeof text, "%s%03d", name, number);
  return text;
}

}  // namespace

void World::draw_fleet(const Limits& limits) {
  auto size = draw_size(draw);
  if (limits.hosts > 0) size = std::min(size, limits.hosts);
  auto pool_count = draw.chance(0.6) ? 1 : draw.pick(2, 4);
  bool conftool = draw.chance(0.5);
  int weight_most = conftool ? 1000 : 256;
  std::vector<int> weights{draw.chance(0.5) ? 100 : draw.pick(1, weight_most)};
  while (draw.chance(0.3)) weights.push_back(draw.pick(1, weight_most));
  bool mixed = draw.chance(0.15);
  double some_there = draw.chance(0.15) ? 0.2 : 0;
  double some_out = draw.chance(0.2) ? 0.15 : 0;
  Duration drain(draw.pick(0, 3'000));
  Duration upgrade(draw.pick(500, 15'000));

  for (int number = 1; number <= size; ++number) {
    Host host;
    host.name = numbered("web", number);
    host.current = host.running = draw.chance(some_there) ? "two" : mixed && draw.chance(0.5) ? "zero" : "one";
    host.running_since = clock.steady() - std::chrono::minutes(50);
    host.drain = drain;
    host.upgrade = upgrade;
    hosts.push_back(std::move(host));
  }
  auto balancer_count = draw.chance(0.6) ? 1 : draw.pick(2, 4);
  double rate = draw.spread(20, 2'000);
  bool cuts = conftool && draw.chance(0.25);
  for (int number = 0; number < pool_count; ++number) {
    Pool pool;
    pool.conditional = conftool;
    pool.name = (conftool ? "etcd/pool" : "haproxy/pool") + std::to_string(number + 1);
    pool.capabilities.weight_most = weight_most;
    pool.capabilities.conditional_writes = conftool;
    pool.capabilities.survives_restart = conftool;
    if (conftool && draw.chance(0.5)) pool.capabilities.depool_threshold = draw.pick(2, 6) / 10.0;
    if (conftool && draw.chance(0.3)) pool.capabilities.writes_per_second = draw.pick(5, 40);
    pool.capabilities.cuts_connections = cuts;
    if (draw.chance(0.1)) pool.capabilities.weights_steer = false;
    if (draw.chance(0.2)) pool.capabilities.shares_requests = false;
    pool.rate = rate;
    for (int host = 0; host < size; ++host) {
      if (number > 0 && draw.chance(0.2)) continue;
      Member member;
      member.name = hosts[host].name;
      member.host = static_cast<std::size_t>(host);
      member.setting = {Pooled::yes, draw.one_of(weights)};
      if (draw.chance(some_out)) member.setting.pooled = draw.chance(0.5) || !conftool ? Pooled::no : Pooled::inactive;
      member.configured = member.base = member.setting;
      member.note = draw.pick(1, 99);
      hosts[host].members.emplace_back(pools.size(), pool.members.size());
      pool.members.push_back(std::move(member));
    }
    for (int balancer = 0; balancer < (conftool ? balancer_count : 1); ++balancer) {
      Balancer made;
      made.name = conftool ? "lvs" + std::to_string(balancer + 1) + "/pool" + std::to_string(number + 1) : pool.name;
      for (const auto& member : pool.members) made.members.push_back({member.setting});
      pool.balancers.push_back(std::move(made));
    }
    pools.push_back(std::move(pool));
  }
}

void World::draw_release() {
  releases["zero"] = releases["one"] = {"one", ReleaseKind::good, draw.chance(0.5) ? 0 : draw.spread(1e-4, 5e-3)};
  auto kind = ReleaseKind::good;
  if (draw.chance(0.45)) {
    kind = draw.one_of<ReleaseKind>({ReleaseKind::bad, ReleaseKind::bad, ReleaseKind::slowly_bad, ReleaseKind::flapping,
                                     ReleaseKind::does_not_start, ReleaseKind::fails_checks, ReleaseKind::dies_later});
  }
  wanted = "two";
  bool errs = kind == ReleaseKind::bad || kind == ReleaseKind::slowly_bad || kind == ReleaseKind::flapping;
  releases["two"] = {"two", kind, errs ? draw.spread(0.03, 1) : releases["one"].failure_rate};
  releases["three"] = {"three", ReleaseKind::good, releases["one"].failure_rate};
}

void World::draw_verdict() {
  verdict.warm_up = 5s;
  verdict.watch_first = 10s;
  verdict.min_requests = static_cast<std::uint64_t>(strategy.min_requests);
  if (draw.chance(0.2)) verdict.harm_limit = draw.chance(0.3) ? 0 : static_cast<std::uint64_t>(draw.pick(100, 1'000));
  if (draw.chance(0.2)) verdict.promote_tolerate = draw.pick(12, 30) / 10.0;
  if (draw.chance(0.2)) verdict.max_bake = Duration(draw.pick(60, 300) * 1'000);
  if (draw.chance(0.1)) verdict.at_max_bake = AtMaxBake::hold;
}

// What cannot be planned is drawn again: refusals are the planner's own tests' business.
void World::draw_strategy() {
  Fleet fleet;
  for (const auto& host : hosts) fleet.hosts.push_back({host.name, host.name + ":80", host.current});
  for (const auto& pool : pools) {
    fleet.pools.push_back({pool.name, pool.capabilities});
    for (const auto& member : pool.members)
      fleet.members.push_back({hosts[member.host].name, pool.name, member.name, pool.observed(member), "restore"});
  }
  for (int attempt = 0;; ++attempt) {
    Strategy drawn;
    auto shares = draw.one_of<std::vector<int>>({{100}, {1, 100}, {1, 5, 25, 50, 100}, {10, 50, 100}, {30, 100}, {50, 100}});
    Duration bake(draw.one_of<int>({0, 5, 20, 60, 60}) * 1'000);
    for (int percent : shares) drawn.stages.push_back({BasisPoints{percent * 100}, bake, draw.chance(0.07) ? Gate::manual : Gate::open});
    auto size = static_cast<int>(hosts.size());
    drawn.canary = HostQuota{draw.chance(0.7) ? 1 : draw.pick(1, 3), {}};
    if (draw.chance(0.1)) drawn.canary = std::vector<std::string>{hosts[draw.index(hosts.size())].name};
    drawn.batch = draw.chance(0.5)   ? HostQuota{1, {}}
                  : draw.chance(0.5) ? HostQuota{draw.pick(1, 4), {}}
                                     : HostQuota{0, BasisPoints{2'000}};
    drawn.max_failed = draw.chance(0.5) ? HostQuota{draw.pick(0, 3), {}} : HostQuota{0, BasisPoints{2'500}};
    if (draw.chance(0.4)) drawn.max_load = 1.1 + draw.pick(1, 20) / 10.0;
    if (draw.chance(0.3)) drawn.floor = BasisPoints{draw.pick(3, 9) * 1'000};
    if (drawn.max_load) drawn.max_load_rollback = std::max(2.0, *drawn.max_load);
    drawn.allow_downtime = draw.chance(0.5);
    if (draw.chance(0.2)) drawn.drain_grace = 2s;
    if (draw.chance(0.4)) drawn.on_drain_limit = DrainDeadline::go_on;
    drawn.drain_limit = Duration(draw.pick(20, 120) * 1'000);
    drawn.upgrade_limit = std::chrono::minutes(draw.pick(1, 5));
    drawn.verify_limit = 1min;
    drawn.blind_limit = 1min;
    drawn.min_requests = 20;
    drawn.scale_pool = draw.chance(0.15);
    if (attempt >= 20) {
      drawn = Strategy{};
      drawn.stages.push_back({all_traffic, 5s, Gate::open});
      drawn.allow_downtime = true;
      drawn.max_load = 100;
      drawn.max_load_rollback = 100;
    }
    Request request{"drawn", "web", {"v-two", wanted, "/nowhere"}, {}, "", ""};
    (void)size;
    if (attempt >= 20 || make_plan(request, drawn, fleet)) {
      strategy = std::move(drawn);
      return;
    }
  }
}

// By chance of its own: whatever else the seed draws stays as it was before this was an option.
void World::draw_preparing() {
  Random own(seed ^ 0xa4ead0f75);
  if (own.chance(0.3)) {
    strategy.prepare_ahead = every_host;
  } else if (own.chance(0.3)) {
    strategy.prepare_ahead = own.chance(0.5) ? HostQuota{own.pick(1, 30), {}} : HostQuota{0, BasisPoints{own.pick(1, 10'000)}};
  }
  if (own.chance(0.3)) strategy.prepare_at_once = own.one_of<int>({1, 2, 10, 80});
  if (own.chance(0.2)) strategy.prepare_limit = Duration(own.pick(10, 120) * 1'000);
}

}  // namespace shiftd::simulator
