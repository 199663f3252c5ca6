#pragma once

// What the API shows, as JSON text: pure functions over the values of control.hpp. The words are the engine's.

#include <string>
#include <string_view>
#include <vector>

#include "daemon/driver/control.hpp"

namespace shiftd {

// Everything about one rollout, and which sinks do not take what they are told. `now` is what the rest of the bake is counted from.
std::string render(const RolloutStatus& status, Instant now, const std::vector<SinkStatus>& sinks = {});

std::string render(const std::vector<RolloutBrief>& briefs);            // {"rollouts": [...]}
std::string render(const std::vector<PoolStatus>& pools);               // {"pools": [...]}
std::string render_services(const std::vector<std::string>& services);  // {"services": [...]}
std::string render_started(std::string_view rollout);                   // {"rollout": "web-7"}

// The plan's JSON (engine/codec.hpp) with "digest", its plan_digest(), "dry_runs", and "text", all of it in words.
std::string render(const Proposal& proposal);

}  // namespace shiftd
