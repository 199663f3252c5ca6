#pragma once

// Many seeds, by several processes, and what came of them.

#include <cstdint>

#include "tests/simulator/simulation.hpp"

namespace shiftd::simulator {

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t last = 200;
  bool one = false;    // --seed: prints every transition
  double minutes = 0;  // 0: as long as it takes
  int jobs = 1;
  bool whole = false;       // --whole: every fault and every transition of docs/engine.md has to be hit
  bool reduce = false;      // --reduce: a failing seed is made smaller
  std::string engine_page;  // docs/engine.md
  Limits limits;
};

// Ends the process with a usage line on what it does not understand.
Arguments parse_arguments(int argc, char** argv);

// 0: no promise was broken. The last line printed: "N seeds, N violations, N rollouts, N steps, N faults".
int run_seeds(const Arguments& arguments);

}  // namespace shiftd::simulator
