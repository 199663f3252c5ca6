#pragma once

// The two words for time that everybody shares.
//
// Instant is rollout time: milliseconds since 1970, never backwards within a rollout. It is what the journal keeps and
// what people read. Waiting is never done by comparing Instants with a wall clock: see io/clock.

#include <chrono>
#include <string>

namespace shiftd {

using Duration = std::chrono::milliseconds;

struct RolloutClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<RolloutClock>;
  static constexpr bool is_steady = false;
};
using Instant = RolloutClock::time_point;

// "2026-11-23T14:03:07.250Z"
std::string to_string(Instant instant);

// "250ms", "45s", "10m", "1h 30m": the way people write it.
std::string to_string(Duration duration);

}  // namespace shiftd
