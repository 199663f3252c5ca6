#pragma once

// Fleets for tests of the engine: hosts web1, web2 ... in every named pool, and plans made of them.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/engine/plan.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {

struct FleetSpec {
  int hosts = 10;
  std::vector<int> weights{100};  // repeated over the hosts
  std::vector<std::string> pools{"app"};
  std::vector<std::vector<int>> pool_weights;  // by pool, over `weights` where given
  Capabilities capabilities;
  DepoolThreshold threshold;  // of each pool; counted over all hosts where it says nothing of them
  std::set<int> already;      // hosts, counted from 1, that run the new release
  std::set<int> depooled;     // hosts found out of their pools
  std::set<int> missed;       // hosts that an earlier rollout has left out
  std::set<int> without;      // hosts that are in no pool at all
};

inline constexpr std::string_view new_digest = "d2";
inline constexpr std::string_view old_digest = "d1";

Fleet fleet_of(const FleetSpec& spec);

// "1%,5%,25%": stages that bake for a minute behind open gates. A `!` after a share is a manual gate, `@30s` another bake.
std::vector<StageSpec> stages_of(std::string_view text);

Request request_for(std::vector<std::string> limit = {});

// What the store holds for a setting: the text that our fakes keep.
Observed observed(Setting setting, const std::string& revision = "r1");

// A rollout that has been asked for and has no plan yet.
Rollout asked_for(const Request& request, Instant at);

// "30s", "500ms", "2m"; throws std::invalid_argument.
Duration duration_of(std::string_view text);

}  // namespace shiftd
