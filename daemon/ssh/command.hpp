#pragma once

// One command on one channel: its input given, both of its outputs drained, its end understood.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/executor.hpp"
#include "daemon/ssh/session.hpp"

namespace shiftd {

// Gives the next piece of a command's input; empty at its end.
using Input = std::function<Result<std::string>()>;
Input input_of(std::string text);
// Gives exactly `size` bytes.
struct SizedInput {
  Input next;
  std::uint64_t size;
};

struct Patience {
  Duration limit;
  bool of_silence = false;  // the limit begins anew with every byte that moves on this channel
};

// Fails with: timed_out, also when the connection is lost midway: the command may have run; refused: the host runs no
// commands. Cancelled, or out of time: the session ends.
Task<Result<void>> start_command(Session::Channel& channel, std::string command, Patience patience);

// Gives the started command its input and waits for its end. `output_kept` bounds each of the two outputs.
// Fails as start_command(), or as `input` fails.
Task<Result<CommandResult>> finish_command(Session::Channel& channel, Input& input, Patience patience, std::size_t output_kept);

// Has a shell that reads its input run `program` in a shell of its own, without input, and tells how that ended by its exit status; the
// shell itself goes on. Nothing: it has ended before it answered.
// Fails as start_command().
Task<Result<std::optional<CommandResult>>> ask_shell(Session::Channel& channel, const std::string& program, Patience patience,
                                                     std::size_t output_kept);

// Has a shell that reads its input run `program` in a shell of its own, which takes the bytes of `input` by calling shiftd_take. The shell
// goes on when that ends with 0, and has had them all or none; otherwise it ends as the program did, so that it takes no rest of them for
// commands.
// Fails as start_command(), or as `input` fails.
Task<Result<CommandResult>> feed_shell(Session::Channel& channel, const std::string& program, SizedInput& input, Patience patience,
                                       std::size_t output_kept);

// The same failures wherever a command's end was not seen.
Failure lost_midway(const Failure& why);
Failure out_of_patience(const Patience& patience);

}  // namespace shiftd
