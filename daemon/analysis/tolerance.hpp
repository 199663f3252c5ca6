#pragma once

// How much worse than the baseline a group of canary hosts may be, by what it was before its upgrade (K).

#include "daemon/analysis/history.hpp"

namespace shiftd {

struct Tolerance {
  double factor = 1;    // K: this many times the baseline's rate
  double relative = 1;  // what the group's rate was relative to the baseline's, before; shrunk towards 1
  double sigma = 0;     // how well that is known, relative
};

// What the group did before its upgrade.
struct GroupHistory {
  double failures = 0;
  double expected = 0;
  std::size_t hosts = 1;
};

// `margin`: so many sigmas are forgiven.
Tolerance tolerance_of(const GroupHistory& group, const History& history, double heterogeneity, std::size_t old_hosts, double tolerate,
                       double margin);

// Whether it was already ill, far beyond chance, before anything was done to it: as a canary it would tell nothing.
bool was_ill(const HostHistory& host, const History& history);

}  // namespace shiftd
