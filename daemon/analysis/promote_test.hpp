#pragma once

// The proof that a release is good enough for the next stage: that it is *not* so many times worse than the baseline. It
// begins anew with each stage, for each has a share of its own to risk.

#include <array>
#include <cstdint>
#include <optional>

#include "daemon/analysis/e_process.hpp"
#include "daemon/base/time.hpp"

namespace shiftd {

struct PromoteTest {
  // Under each alternative the canary fails so much less often than the null says at least.
  static constexpr std::array<double, 7> better{0.85, 0.7, 0.5, 0.35, 0.2, 0.08, 0.01};

  std::array<double, better.size()> log_e{};
  double log_value = never_started;    // at the last block's end
  std::optional<std::uint32_t> stage;  // none before the first block after the warm-up
  Instant since;                       // when the stage's first block began
  double requests = 0;                 // of the canary in the stage

  // `cut`: the counts of the block that has ended, with bursts cut off.
  void take(std::uint32_t of_stage, Instant block_began, const CohortCounts& cut, const NullHypothesis& null);
  bool operator==(const PromoteTest&) const = default;
};

}  // namespace shiftd
