#pragma once

// The one instant that these tests share.

#include "daemon/base/time.hpp"

namespace shiftd {

// When the traffic of these tests begins.
constexpr Instant start(Duration(1'700'000'000'000));

}  // namespace shiftd
