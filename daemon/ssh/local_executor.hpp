#pragma once

// Commands on shiftd's own machine, behind the Executor of a host: for tools that reach the host by themselves, as a
// configuration management's does.

#include <memory>

#include "daemon/io/clock.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

// Commands see this process's environment and end within `command_timeout`; what they leave of their group is killed then, and
// when the caller is cancelled. Jobs run in a session of their own, and outlive both caller and process.
std::unique_ptr<Executor> make_local_executor(Clock& clock, Duration command_timeout);

}  // namespace shiftd
