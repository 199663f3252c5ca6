#pragma once

// What shiftctl says to the script that called it. docs/shiftctl.md and --help list the same numbers.

#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

enum class ExitCode : int {
  succeeded = 0,  // or: the command was accepted
  failed = 1,     // the rollout failed, or the daemon could not do it
  bad_usage = 2,  // what was asked cannot be understood or planned
  rolled_back = 3,
  aborted = 4,
  unreachable = 5,  // nobody answered
  refused = 6,      // the daemon said no: conflict, no such thing, or not you
};

// What `plan` says, in the words of others that plan (terraform plan -detailed-exitcode): every error of it is 1.
enum class PlanCode : int { nothing_to_do = 0, error = 1, changes = 2 };

// `outcome` is the engine's word; anything but the four words of an end is a failure.
ExitCode exit_code_of(std::string_view outcome);

// `failure` came from DaemonClient: unreachable is the way to the daemon, everything else its answer.
ExitCode exit_code_of(const Failure& failure);

}  // namespace shiftd
