#pragma once

// Judging recorded rollouts without a daemon: what the verdict would have been, and what other settings would have made of it.

#include <iosfwd>
#include <string>
#include <vector>

#include "daemon/base/failure.hpp"

namespace shiftd {

struct ReplayWishes {
  std::vector<std::string> files;     // "-": standard input
  std::vector<std::string> settings;  // as tune() takes them; the trace's own, or the defaults, otherwise
  bool explain = false;               // the run in the terminal, block by block
  bool ticks = false;                 // a JSON line for every tick
};

// Prints JSON lines: what was said, at which row, and why. Fails with bad_input, naming the file and the line; what came
// before it has been printed.
Result<void> replay_files(const ReplayWishes& wishes, std::ostream& out);

}  // namespace shiftd
