#pragma once

// The engine's promises, each checked in one place. A text says which is broken; empty: none.

#include <map>
#include <string>
#include <vector>

#include "daemon/engine/event.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {

// The sums that are kept equal those computed from scratch.
std::string broken_sums(const Rollout& rollout);

// What one record of ours may never do. `seen`: what was last shown of each host.
std::string broken_by(const Rollout& before, const Record& record, const Rollout& after,
                      const std::map<HostIndex, std::vector<Shown>>& seen);

// An ended rollout has nothing under way, and every member is as it was found, somebody else's, or named.
std::string broken_end(const Rollout& rollout);

}  // namespace shiftd
