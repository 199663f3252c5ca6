#include "daemon/analysis/promote_test.hpp"

#include <algorithm>

namespace shiftd {
namespace {

// No block may add more than this to the log of a bet.
constexpr double most_of_a_block = 2;

}  // namespace

void PromoteTest::take(std::uint32_t of_stage, Instant block_began, const CohortCounts& cut, const NullHypothesis& null) {
  if (stage != of_stage) {
    log_e.fill(0);
    requests = 0;
    stage = of_stage;
    since = block_began;
  }
  requests += cut.canary_requests;
  if (cut.canary_requests > 0 && cut.baseline_requests > 0) {
    for (std::size_t i = 0; i < better.size(); ++i) {
      log_e[i] += std::min(log_e_value(cut, better[i] * null.tolerated(), null), most_of_a_block);
    }
  }
  log_value = log_mean(log_e);
}

}  // namespace shiftd
