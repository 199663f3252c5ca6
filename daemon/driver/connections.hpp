#pragma once

// Who is connected to a host's service, as the host itself sees it.

#include <string>

#include "daemon/driver/service.hpp"

namespace shiftd {

// The command that lists the established connections to the service on the host, one to a line. Its filter is that of
// iproute2's ss(8). Fails with bad_input: a socket or an address that is none.
Result<std::string> connections_command(const HostPlace& place, const IdleOptions& options);

// How many connections the lines name, a host's connections to itself left out.
// Fails with unexpected_reply: they are not what `ss -Htn state established` prints.
Result<int> connections_in(std::string_view lines);

// Fails as Executor::run(); refused: the host's `ss` failed, or there is none.
Task<Result<int>> count_connections(Executor& executor, const HostPlace& place, const IdleOptions& options);

}  // namespace shiftd
