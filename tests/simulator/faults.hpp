#pragma once

// Everything that goes wrong in the simulated world. Each fault has its own rate in each seed (most are off in most
// seeds), its own chance, so that one can be taken away without changing the others, and a count of how often it struck.

#include <array>
#include <cstdint>
#include <string_view>

#include "daemon/base/time.hpp"
#include "tests/simulator/random.hpp"

namespace shiftd::simulator {

enum class Fault : std::uint8_t {
  // The daemon and its journal.
  killed_anywhere,
  killed_before_save,
  killed_after_save,
  save_refused,
  save_unheard,
  save_lost,
  clock_jumps,
  // Pool stores.
  store_down,
  store_slow,
  store_conflict,
  store_forgets_watch,
  store_stale,
  write_unheard,
  write_lands_late,
  // Load balancers.
  view_silent,
  view_slow,
  view_not_found,
  view_nonsense,
  view_closed,
  weight_ignored,
  applied_late,
  balancer_restarts,
  balancer_dies,
  threshold_holds,
  // Hosts.
  ssh_refuses,
  ssh_hangs,
  ssh_drops_before,
  ssh_drops_during,
  answer_lost,
  restart_fails,
  job_vanishes,
  host_reboots,
  host_vanishes,
  host_returns_old,
  // Checks.
  check_hangs,
  check_flaps,
  check_lies,
  // Counters.
  counters_reset,
  counters_stall,
  counters_jump,
  counters_dip,
  // People and other tools.
  person_depools,
  person_repools,
  person_changes_weight,
  person_pauses,
  person_aborts,
  person_rolls_back,
  person_takes,
  person_releases_hold,
  person_starts_second,
};
inline constexpr std::size_t faults_count = 50;

enum class Strikes : std::uint8_t { calls, sometimes };

struct FaultRow {
  std::string_view name;
  Strikes how;
  double least;  // calls: probability of one call; sometimes: times an hour
  double most;
};
// In the order of the enumeration.
const std::array<FaultRow, faults_count>& fault_table();

class Faults {
 public:
  // `draw` gives the rates; `seed` each fault's own chance.
  Faults(Random& draw, std::uint64_t seed);

  // Whether it strikes this call; counted.
  bool strikes(Fault fault);
  // When it strikes next; 0: never.
  Duration next(Fault fault);
  Random& chance(Fault fault) { return chances_[index(fault)]; }

  void hit(Fault fault) { ++hits[index(fault)]; }
  void take_away(Fault fault) { rates_[index(fault)] = 0; }
  void stop() { rates_.fill(0); }
  [[nodiscard]] bool on(Fault fault) const { return rates_[index(fault)] > 0; }
  [[nodiscard]] bool ever_hit(Fault fault) const { return hits[index(fault)] > 0; }

  std::array<std::uint64_t, faults_count> hits{};

 private:
  static std::size_t index(Fault fault) { return static_cast<std::size_t>(fault); }

  std::array<double, faults_count> rates_{};
  std::vector<Random> chances_;
};

}  // namespace shiftd::simulator
