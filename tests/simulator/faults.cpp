#include "tests/simulator/faults.hpp"

#include <chrono>

namespace shiftd::simulator {

const std::array<FaultRow, faults_count>& fault_table() {
  using enum Strikes;
  static const std::array<FaultRow, faults_count> table{{
      {"killed_anywhere", sometimes, 5, 120},     {"killed_before_save", calls, 0.002, 0.05},
      {"killed_after_save", calls, 0.002, 0.05},  {"save_refused", calls, 0.002, 0.05},
      {"save_unheard", calls, 0.002, 0.05},       {"save_lost", calls, 0.002, 0.05},
      {"clock_jumps", sometimes, 2, 60},          {"store_down", sometimes, 2, 40},
      {"store_slow", calls, 0.001, 0.05},         {"store_conflict", sometimes, 5, 200},
      {"store_forgets_watch", calls, 0.005, 0.1}, {"store_stale", calls, 0.005, 0.1},
      {"write_unheard", calls, 0.01, 0.3},        {"write_lands_late", calls, 0.01, 0.3},
      {"view_silent", sometimes, 2, 40},          {"view_slow", calls, 0.001, 0.02},
      {"view_not_found", sometimes, 2, 40},       {"view_nonsense", sometimes, 2, 40},
      {"view_closed", sometimes, 2, 40},          {"weight_ignored", calls, 0.01, 0.2},
      {"applied_late", calls, 0.01, 0.2},         {"balancer_restarts", sometimes, 2, 60},
      {"balancer_dies", sometimes, 1, 5},         {"threshold_holds", calls, 0.5, 1},
      {"ssh_refuses", sometimes, 5, 60},          {"ssh_hangs", calls, 0.005, 0.1},
      {"ssh_drops_before", calls, 0.01, 0.2},     {"ssh_drops_during", calls, 0.01, 0.2},
      {"answer_lost", calls, 0.01, 0.2},          {"restart_fails", calls, 0.01, 0.1},
      {"job_vanishes", calls, 0.005, 0.05},       {"host_reboots", sometimes, 5, 60},
      {"host_vanishes", sometimes, 2, 20},        {"host_returns_old", sometimes, 2, 20},
      {"check_hangs", calls, 0.002, 0.02},        {"check_flaps", sometimes, 5, 40},
      {"check_lies", calls, 0.002, 0.05},         {"counters_reset", sometimes, 5, 60},
      {"counters_stall", sometimes, 5, 40},       {"counters_jump", sometimes, 1, 10},
      {"counters_dip", sometimes, 5, 60},         {"person_depools", sometimes, 2, 40},
      {"person_repools", sometimes, 2, 40},       {"person_changes_weight", sometimes, 2, 40},
      {"person_pauses", sometimes, 2, 40},        {"person_aborts", sometimes, 1, 10},
      {"person_rolls_back", sometimes, 1, 10},    {"person_takes", sometimes, 5, 60},
      {"person_releases_hold", sometimes, 5, 60}, {"person_starts_second", sometimes, 2, 20},
  }};
  return table;
}

Faults::Faults(Random& draw, std::uint64_t seed) {
  // Some seeds are calm, so that what we do wrong by ourselves is seen; in the others a few things go wrong a lot.
  double enabled = draw.chance(0.1) ? 0 : draw.spread(0.03, 0.4);
  for (std::size_t fault = 0; fault < faults_count; ++fault) {
    const auto& row = fault_table()[fault];
    auto on = draw.chance(enabled);
    auto rate = draw.spread(row.least, row.most);
    rates_[fault] = on ? rate : 0;
    chances_.emplace_back(seed * faults_count + fault + 1);
  }
}

bool Faults::strikes(Fault fault) {
  auto at = index(fault);
  if (rates_[at] == 0 || !chances_[at].chance(rates_[at])) return false;
  ++hits[at];
  return true;
}

Duration Faults::next(Fault fault) {
  auto at = index(fault);
  if (rates_[at] == 0) return Duration(0);
  return chances_[at].until_next(Duration(static_cast<std::int64_t>(3'600'000 / rates_[at])));
}

}  // namespace shiftd::simulator
