#pragma once

// Which release answers on a host, as far as the records can tell.

#include <string_view>

#include "daemon/engine/rollout.hpp"

namespace shiftd {

// "old", "new", or "unknown": between a swap and its proof, nobody knows.
std::string_view release_on(const Rollout& rollout, HostIndex host);

std::string_view to_string(Holder holder);

}  // namespace shiftd
