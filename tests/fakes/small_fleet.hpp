#pragma once

// Plans and records of a small fleet, for tests that show rollouts rather than decide them.

#include <string>
#include <utility>
#include <vector>

#include "daemon/engine/plan.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {

inline Request small_request(std::string rollout) {
  return {std::move(rollout), "web", {"2.0", std::string(64, 'a'), "/srv/releases/web-2.0.tar.gz"}, {}, "alice", "the weekly release"};
}

// Hosts web1, web2 ... in the pool lb1/app with weight 100, and two stages of which the first is gated on demand.
inline Plan small_plan(Request request, int hosts = 3, Gate gate = Gate::open) {
  Fleet fleet;
  fleet.pools.push_back({"lb1/app", {}});
  for (int number = 1; number <= hosts; ++number) {
    auto name = "web" + std::to_string(number);
    fleet.hosts.push_back({name, "127.0.0.1:80", std::string(64, 'b')});
    fleet.members.push_back(
        {name, "lb1/app", name, {{Pooled::yes, 100}, "ready 100", "1"}, "echo 'set server app/" + name + " weight 100'"});
  }
  Strategy strategy;
  strategy.stages = {{BasisPoints{1'000}, std::chrono::seconds(60), gate}, {all_traffic, std::chrono::seconds(30), Gate::open}};
  strategy.max_load = 2;
  return make_plan(std::move(request), std::move(strategy), fleet).value();
}

inline Instant at_second(std::int64_t second) { return Instant(std::chrono::seconds(1'764'000'000 + second)); }

// A rollout's first records: asked for, planned, its first stage begun.
inline std::vector<Record> first_records(const Plan& plan) {
  return {{at_second(0), Requested{plan.request}}, {at_second(1), Planned{plan}}, {at_second(1), StageBegun{0}}};
}

}  // namespace shiftd
