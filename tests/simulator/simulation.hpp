#pragma once

// One seed: the world, the real supervisor and its drivers in it, lives and deaths of the daemon, people's words.

#include <memory>
#include <string>

#include "tests/simulator/checkers.hpp"
#include "tests/simulator/world.hpp"

namespace shiftd::simulator {

struct RunResult {
  std::string promise;  // the broken one; empty: none
  std::string how;
  int hosts = 0;
  std::uint64_t rollouts = 0;
  std::uint64_t ended[5]{};  // by outcome
  std::uint64_t steps = 0;
  Duration lasted{0};
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;
  std::uint64_t good_condemned = 0;
  std::uint64_t good_judged = 0;
  std::array<std::uint64_t, faults_count> faults{};
  Transitions transitions;
};

RunResult simulate(std::uint64_t seed, const Limits& limits, bool tracing);

}  // namespace shiftd::simulator
