#pragma once

// A service's pools on one page, as text: pure, from GET /api/v1/services/NAME/pools.

#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

// For each pool a table with a line for each host: the store's value, what every load balancer shows, whose hands it is
// in, its original. Below it what differs, why nothing may be written now, and the command that restores each member
// that is not at its original; commands are never cut.
// Fails with unexpected_reply: `pools` is not what the API answers.
Result<std::string> draw_pools(std::string_view pools);

}  // namespace shiftd
