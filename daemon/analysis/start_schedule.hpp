#pragma once

// When fresh copies of the evidence start, and with which share of the whole: much at once, most when the warm-up ends,
// and a little for ever, so that a fault that begins late is found as fast as an early one.

#include <optional>

#include "daemon/base/time.hpp"

namespace shiftd {

struct StartSchedule {
  std::optional<Instant> began;  // when the interval began in which the canary got its first request
  Instant last_start;
  int warm_up_starts = 0;
  bool warmed_up = false;
  int restarts = 0;

  // The mass to start at `now`, the beginning of an interval; mostly 0. The first call begins the schedule.
  double due(Instant now, Duration warm_up, Duration restart_every);

  // Something changed: one of the restarts happens now. Nothing before the schedule began, or when none is left.
  double restart(Instant now);

  bool operator==(const StartSchedule&) const = default;
};

}  // namespace shiftd
