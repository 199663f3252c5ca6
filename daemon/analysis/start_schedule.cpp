#include "daemon/analysis/start_schedule.hpp"

#include <algorithm>
#include <cmath>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// Together 1.
constexpr double first_mass = 0.35;
constexpr double warm_up_mass = 0.08;
constexpr double warmed_up_mass = 0.25;
constexpr double restart_mass = 0.32;

constexpr Duration warm_up_every = 4s;
constexpr int restarts_most = 64;

// Of the first start and those in the warm-up together: 5 for 20 s.
int starts_in(Duration warm_up) {
  auto rounded = std::lround(static_cast<double>(warm_up.count()) / static_cast<double>(warm_up_every.count()));
  return std::max(1, static_cast<int>(rounded));
}

}  // namespace

double StartSchedule::due(Instant now, Duration warm_up, Duration restart_every) {
  if (!began) {
    began = last_start = now;
    warm_up_starts = 1;
    if (warm_up > Duration::zero()) return first_mass;
    warmed_up = true;
    return first_mass + warm_up_mass + warmed_up_mass;
  }
  if (!warmed_up && now - *began >= warm_up) {
    warmed_up = true;
    last_start = now;
    return warmed_up_mass;
  }
  if (!warmed_up) {
    auto starts = starts_in(warm_up);
    if (now - last_start < warm_up_every || warm_up_starts >= starts) return 0;
    ++warm_up_starts;
    last_start = now;
    return warm_up_mass / (starts - 1);
  }
  return now - last_start >= restart_every ? restart(now) : 0;
}

double StartSchedule::restart(Instant now) {
  if (!began || restarts >= restarts_most) return 0;
  ++restarts;
  // In the warm-up its own starts go on beside this one.
  if (warmed_up) last_start = now;
  return restart_mass / restarts_most;
}

}  // namespace shiftd
