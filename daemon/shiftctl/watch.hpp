#pragma once

// `shiftctl watch` on a terminal: the rollout redrawn in place as it goes on.

#include <string>

#include "daemon/shiftctl/client.hpp"
#include "daemon/shiftctl/exit_code.hpp"

namespace shiftd {

// Until the rollout has ended; then the last picture stays on the terminal, and the exit code is the outcome's. Outlasts
// restarts of the daemon. Ctrl-C ends it with exit code 0, the rollout goes on. The terminal is put back in every case.
Task<Result<ExitCode>> watch(DaemonClient& client, std::string rollout);

}  // namespace shiftd
