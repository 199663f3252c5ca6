#pragma once

// What each command of shiftctl does.

#include <string>

#include "daemon/shiftctl/client.hpp"
#include "daemon/shiftctl/exit_code.hpp"
#include "daemon/shiftctl/options.hpp"

namespace shiftd {

// Where the daemon is. Fails with bad_input: a URL or a token file that cannot be used.
Result<Daemon> daemon_of(const Options& options);

// Everything but `rescue`, which needs no daemon. Failures are for people: the caller prints them.
Task<Result<ExitCode>> run_command(DaemonClient& client, Options options);

// The newest rollout's id when none was named. Fails with not_found: there is none.
Task<Result<std::string>> named_or_newest(DaemonClient& client, std::string rollout);

// Prints a line for each important event until the rollout has ended; `all`: for every event. The exit code is its
// outcome's.
struct Telling {
  std::string rollout;
  std::uint64_t from = 0;
  bool all = false;
  bool to_error = false;  // stdout is kept for JSON
  bool json = false;      // the records themselves, and at the end of a wait the outcome
};
Task<Result<ExitCode>> tell(DaemonClient& client, Telling telling);

}  // namespace shiftd
