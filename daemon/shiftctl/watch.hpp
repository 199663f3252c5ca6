#pragma once

// `shiftctl watch` and `shiftctl pool --watch` on a terminal: redrawn in place as it goes on.

#include <string>

#include "daemon/shiftctl/client.hpp"
#include "daemon/shiftctl/exit_code.hpp"

namespace shiftd {

// Until the rollout has ended; then the last picture stays on the terminal, and the exit code is the outcome's. Outlasts
// restarts of the daemon. Ctrl-C ends it with exit code 0, the rollout goes on. The terminal is put back in every case.
Task<Result<ExitCode>> watch(DaemonClient& client, std::string rollout);

// `shiftctl pool --watch`: the service's pools at `path` of the API, redrawn every second until Ctrl-C, which ends it with
// exit code 0. While the daemon does not answer, the last picture stays, with a line that says so.
// Fails as the first question fails.
Task<Result<ExitCode>> watch_pools(DaemonClient& client, std::string path);

}  // namespace shiftd
