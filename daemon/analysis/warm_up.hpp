#pragma once

// Errors of a fresh host: they fade with its age, and how high they begin is learnt from the hosts that warm up.

#include <algorithm>
#include <cmath>

#include "daemon/analysis/baseline.hpp"

namespace shiftd {

struct WarmUp {
  double excess = 0;  // failures of warming hosts beyond what the null allows, so far
  double weight = 0;  // their requests, by how warm the hosts were

  // How much of the first moment's extra errors a host of this age may still have: 1 to 0.
  static double left(Duration age, Duration warm_up) {
    if (warm_up <= Duration(0) || age >= 3 * warm_up) return 0;
    return std::exp(-seconds(age) / (seconds(warm_up) / 2));
  }
  // The extra rate at the first moment, never more than `most`; that, before anything was learnt.
  [[nodiscard]] double amplitude(double most) const { return weight > 0 ? std::min(most, std::max(0.0, excess) / weight) : most; }

  bool operator==(const WarmUp&) const = default;
};

}  // namespace shiftd
