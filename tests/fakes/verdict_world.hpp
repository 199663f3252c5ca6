#pragma once

// Rollouts of good releases (A/A) as the canary test sees them, simulated: fleets that differ, drift, burst, grow and
// restart. The new release answers exactly as the old one would.

#include <cstdint>
#include <string>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {

struct GoodRelease {
  std::string name;
  int hosts = 8;
  int canaries = 2;            // from the start
  double requests_per_s = 20;  // of each host
  double rate = 0.005;         // of 5xx
  double spread = 0;           // of the hosts' own rates: sigma of their logarithm
  double drift = 0;            // of everybody's rate, up and down by this factor
  double bursts_per_hour = 0;  // of each host
  double burst_s = 10;         // how long one lasts
  double burst_rate = 0.3;     // what fails in it
  int history_s = 600;         // watched before the first host leaves
  int serving_s = 600;
  int join_every_s = 0;     // then another host joins the canary; 0: none does
  int keep_old = 1;         // so many hosts stay
  double warm_up_rate = 0;  // extra failures of a fresh host, fading
  double warm_up_s = 4;
  int restart_every_s = 0;  // the daemon restarts: from its checkpoint
  bool dips = false;        // the counters of failures dip between polls; the front end holds them at their highest
  int tick_s = 5;
  bool broken = false;  // not good at all: the canary fails five times as often. For the test of the test.
};

// How many of `rollouts` are rolled back; seeds are 0, 1, 2 ...
int rolled_back(const GoodRelease& release, int rollouts, const AnalysisOptions& options = {});

}  // namespace shiftd
