// simulate_mutants: lets each deliberate fault loose on the simulated world, and prints which checker caught it where.
// Fails when one is not caught within 2,000 seeds.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "daemon/io/log.hpp"
#include "tests/simulator/mutants/mutants.hpp"
#include "tests/simulator/simulation.hpp"

namespace {

using namespace shiftd::simulator;

constexpr std::uint64_t seeds_most = 2'000;

// In a process of its own: a mutant may bring it down.
bool caught(Mutant mutant) {
  std::fflush(stdout);
  auto pid = fork();
  if (pid == 0) {
    become(mutant);
    for (std::uint64_t seed = 1; seed <= seeds_most; ++seed) {
      auto result = simulate(seed, Limits{}, false);
      if (result.promise.empty()) continue;
      std::printf("%-30s seed %5llu  %s\n", std::string(name_of(mutant)).c_str(), static_cast<unsigned long long>(seed),
                  result.promise.c_str());
      std::fflush(stdout);
      _exit(0);
    }
    _exit(1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (status == 0) return true;
  bool crashed = WIFSIGNALED(status);
  std::printf("%-30s %s\n", std::string(name_of(mutant)).c_str(), crashed ? "the process came down" : "NOT CAUGHT");
  return crashed;
}

}  // namespace

// With a number: that mutant only. With a seed as well: what it makes of that seed, as `simulate --seed` tells it.
int main(int argc, char** argv) {
  shiftd::log::set_level(shiftd::log::Level::off);
  int uncaught = 0;
  std::size_t only = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0;
  if (argc > 2 && only < mutants_count) {
    become(static_cast<Mutant>(only));
    return simulate(std::strtoull(argv[2], nullptr, 10), Limits{}, true).promise.empty() ? 0 : 1;
  }
  for (std::size_t mutant = 1; mutant < mutants_count; ++mutant) {
    if (only != 0 && only != mutant) continue;
    if (!caught(static_cast<Mutant>(mutant))) ++uncaught;
  }
  std::printf("%zu mutants, %d not caught\n", only != 0 ? std::size_t{1} : mutants_count - 1, uncaught);
  return uncaught == 0 ? 0 : 1;
}
