#include "daemon/analysis/block_tests.hpp"

#include <algorithm>
#include <cmath>

namespace shiftd {
namespace {

// No block may add more than this to the log of a bet.
constexpr double most_of_a_block = 3;

}  // namespace

void BurstTest::take(int bursts, int host_blocks, double burst_chance) {
  auto usual = std::min(burst_chance * 1.5 + 0.02, 0.5);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    auto share = std::max(shares[i], std::min(1.2 * usual, 0.97));
    process.log_e[i] += bursts * std::log(share / usual) + (host_blocks - bursts) * std::log((1 - share) / (1 - usual));
  }
  value = process.value();
}

void WinsorisedTest::take(const CohortCounts& cut, const NullHypothesis& null) {
  for (std::size_t j = 0; j < alternatives.size(); ++j) {
    process.log_e[j] += std::min(log_e_value(cut, alternative_rate(alternatives[j], null), null), most_of_a_block);
  }
  value = process.value();
}

}  // namespace shiftd
