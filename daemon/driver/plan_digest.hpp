#pragma once

// What a saved plan is known by.

#include <string>

#include "daemon/engine/plan.hpp"

namespace shiftd {

// Two plans have the same digest when a rollout of the one does what a rollout of the other does: the same hosts with the
// same releases and members, in the same order and stages, within the same bounds. Who asks, why and when is not in it, nor
// are notes, nor a store's revisions: what was changed and changed back is no change.
std::string plan_digest(Plan plan);

}  // namespace shiftd
