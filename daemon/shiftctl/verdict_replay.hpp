#pragma once

// Judging recorded rollouts without a daemon: what the verdict would have been, and what other settings would have made of it.

#include <iosfwd>
#include <string>
#include <vector>

#include "daemon/analysis/options.hpp"
#include "daemon/base/failure.hpp"

namespace shiftd {

// "tolerate=1.3x", "confidence=99.9%", "warm_up=60s": the words of the service file's `verdict:`.
// Fails with bad_input: no such word, or a value that it cannot have.
Result<void> tune(AnalysisOptions& options, const std::string& setting);

struct ReplayWishes {
  std::vector<std::string> files;  // "-": standard input
  std::vector<std::string> settings;
  bool explain = false;  // the run in the terminal, block by block
  bool ticks = false;    // a JSON line for every tick
};

// Prints JSON lines: what was said, at which row, and why. Fails with bad_input, naming the file and the line; what came
// before it has been printed.
Result<void> replay_files(const ReplayWishes& wishes, std::ostream& out);

}  // namespace shiftd
