#pragma once

// A command over the connection that an ssh(1) keeps: OpenSSH's multiplexing protocol, version 4 (its PROTOCOL.mux), spoken
// to a ControlMaster's socket. The command's input and outputs are descriptors that are passed to it.

#include <cstddef>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/command.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

// How far a command came, also when it failed.
struct MuxFate {
  bool opened = false;   // the host opened a channel for it
  bool hung_up = false;  // ssh or the host ended it
};

// Fails with: unavailable (nobody answers at the socket: nothing was asked), refused (the host opens no more channels),
// timed_out (it was asked for, and its end was not seen: it may have run), exhausted (no more descriptors); or as `input`
// fails. The protocol knows no signals: a command that a signal ended counts as lost.
// Cancelled: the master closes the channel.
Task<Result<CommandResult>> run_by_mux(Clock& clock, std::string control_socket, std::string command, Input& input, Patience patience,
                                       std::size_t output_kept, MuxFate& fate);

}  // namespace shiftd
