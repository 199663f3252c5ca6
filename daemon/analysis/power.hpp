#pragma once

// Before a rollout: how long the verdict will need, at the traffic that the service has had of late.

#include <optional>

#include "daemon/analysis/options.hpp"

namespace shiftd {

struct StageTraffic {
  double canary_per_s = 0;  // requests
  double baseline_per_s = 0;
  double failure_rate = 0;  // of the old release, of late
  double next_share = 1;
};

// About how long until a canary that fails at `canary_rate` is rolled back, from its first request on, in the middle of
// what chance may bring. None: never, or not within a day.
std::optional<Duration> time_to_roll_back(const AnalysisOptions& options, const StageTraffic& traffic, double canary_rate);

// About how long until a release that fails as often as the old one has proven itself, once its hosts are warm.
std::optional<Duration> time_to_promote(const AnalysisOptions& options, const StageTraffic& traffic);

}  // namespace shiftd
