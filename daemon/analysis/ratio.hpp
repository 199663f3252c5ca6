#pragma once

// How many times the baseline's rate the canary fails, with an interval that is valid whenever one looks.

#include <cstdint>
#include <optional>
#include <vector>

#include "daemon/analysis/e_process.hpp"

namespace shiftd {

// Counts, apart for each stage: within one the cohorts' shares stay about the same.
struct StageCounts {
  std::uint32_t stage = 0;
  CohortCounts counts;
  bool operator==(const StageCounts&) const = default;
};
using StrataCounts = std::vector<StageCounts>;

struct RatioInterval {
  std::optional<double> ratio;  // none: one of the cohorts has not failed yet
  double low = 0;
  std::optional<double> high;  // none: without bound

  bool operator==(const RatioInterval&) const = default;
};

// The confidence sequence at `confidence`, for counts `dispersion` times as wild as Poisson's.
RatioInterval ratio_interval(const StrataCounts& counts, double confidence, double dispersion);

}  // namespace shiftd
