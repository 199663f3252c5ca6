#pragma once

// What HAProxy's words about a server mean for its traffic. Pure.

#include <cstddef>
#include <string_view>

#include "daemon/engine/member.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"

namespace shiftd::haproxy {

// `none` promises that no new request will be sent until somebody changes the server, and that none is in progress. So
// it takes an administrative state (drain, maint, or weight 0), not a failed check: a server that is merely DOWN comes
// back whenever its check passes, and is `flowing` with health `down` and weight 0. Workers of a former configuration
// know nothing of a drain that came later: while any lives, what is out is `draining`.
//
// (Clients that a cookie binds to a server are sent to it in drain too; no state of HAProxy's shows that.)
MemberView view_of(const StatRow& row, const ServerState& server, std::size_t old_workers);

// `up` takes the full number of passed checks: "UP" or "DRAIN" exactly, not "UP 1/3", which has a failed check behind it.
Health health_of(const StatRow& row);

}  // namespace shiftd::haproxy
