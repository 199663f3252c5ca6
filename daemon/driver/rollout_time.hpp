#pragma once

// Rollout time: the last journalled instant plus the time since, never backwards.
//
// While the daemon lives it follows the steady clock, so that a jump of the wall clock moves nothing; the jump itself is
// reported, once, so that it can be recorded. After a restart it continues from the wall clock or from the last journalled
// instant, whichever is later.

#include <algorithm>
#include <optional>

#include "daemon/io/clock.hpp"

namespace shiftd {

class RolloutTime {
 public:
  RolloutTime(Clock& clock, Instant last_journalled)
      : clock_(clock), base_(std::max(clock.wall(), last_journalled)), base_steady_(clock.steady()), wall_offset_(clock.wall() - base_) {}

  [[nodiscard]] Instant now() const { return base_ + (clock_.steady() - base_steady_); }

  // How far the wall clock has jumped since the last question; only jumps of over a minute are told.
  std::optional<Duration> jumped() {
    auto offset = clock_.wall() - now();
    auto by = offset - wall_offset_;
    if (by < jump_least && by > -jump_least) return {};
    wall_offset_ = offset;
    return by;
  }

 private:
  static constexpr Duration jump_least = std::chrono::minutes(1);

  Clock& clock_;
  Instant base_;
  Steady base_steady_;
  Duration wall_offset_;
};

}  // namespace shiftd
