#include "daemon/analysis/comparison.hpp"

#include <algorithm>

namespace shiftd {
namespace {

constexpr Duration waiting_most{std::chrono::seconds(30)};

}  // namespace

Comparison::Used Comparison::take(std::span<const CanaryTick> hosts, double baseline_requests, double baseline_failures, Duration length,
                                  const Terms& terms) {
  CohortCounts counts;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    members[i].requests += hosts[i].requests;
    members[i].failures += hosts[i].failures;
    counts.canary_requests += members[i].requests;
    counts.canary_failures += members[i].failures;
    waiting.warm_requests += hosts[i].requests * hosts[i].warm;
  }
  counts.baseline_requests = waiting.baseline_requests += baseline_requests;
  counts.baseline_failures = waiting.baseline_failures += baseline_failures;
  waiting.age += length;
  if (counts.canary_requests <= 0 || counts.baseline_requests <= 0) {
    if (waiting.age > waiting_most) stop_waiting();
    return {};
  }

  auto null = terms.null;
  // The amplitude that the past has taught; then this tick teaches.
  null.floor += warm_up.amplitude(terms.warm_up_most) * waiting.warm_requests / counts.canary_requests;
  if (terms.warm_up_most > 0) {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      if (hosts[i].warm > 0) warm_up.excess += members[i].failures - members[i].requests * null.factor * null.baseline_rate;
    }
    warm_up.weight += waiting.warm_requests;
  }
  weigh(counts, hosts, null, terms.limit);
  stop_waiting();
  return {.floor = null.floor, .requests = counts.canary_requests};
}

void Comparison::weigh(const CohortCounts& counts, std::span<const CanaryTick> hosts, const NullHypothesis& null, const GainLimit& limit) {
  for (std::size_t j = 0; j < alternatives.size(); ++j) {
    auto bet = stake(counts, alternative_rate(alternatives[j], null), null);
    auto of_baseline = bet.of_baseline / null.dispersion / counts.canary_requests;
    double gain = 0;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      auto& member = members[i];
      if (member.requests <= 0) continue;
      auto most = hosts[i].after_burst ? limit.after_burst : limit.usual;
      auto before = member.gained[j];
      auto after = before + bet.gain(member.requests, member.failures) / null.dispersion + of_baseline * member.requests;
      gain += std::min(after, most) - std::min(before, most);
      member.gained[j] = after;
    }
    process.log_e[j] += gain;
  }
}

void Comparison::stop_waiting() {
  waiting = {};
  for (auto& member : members) member.requests = member.failures = 0;
}

void Comparison::end_block() {
  for (auto& member : members) member.gained.fill(0);
}

}  // namespace shiftd
