#pragma once

// The tests that look at whole blocks of time: what bursts hide from a comparison tick by tick, they see.

#include <array>

#include "daemon/analysis/e_process.hpp"

namespace shiftd {

// Counts the canary's host-blocks that are bursts relative to the baseline of the same time. It keeps its power when the
// counts are so wild that their sums say little.
struct BurstTest {
  static constexpr std::array<double, 3> shares{0.3, 0.6, 0.95};  // of bad host-blocks, under the alternatives

  Mixture<shares.size()> process;
  double value = 1;  // at the last block's end

  void take(int bursts, int host_blocks, double burst_chance);
  bool operator==(const BurstTest&) const = default;
};

// The canary against the best half of the baseline, the failures of each host cut at a burst's threshold.
struct WinsorisedTest {
  EProcess process;
  double value = 1;  // at the last block's end

  void take(const CohortCounts& cut, const NullHypothesis& null);
  bool operator==(const WinsorisedTest&) const = default;
};

}  // namespace shiftd
