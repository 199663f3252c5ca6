#include "daemon/analysis/tolerance.hpp"

#include <algorithm>
#include <cmath>

namespace shiftd {
namespace {

constexpr double most_relative = HostHistory::most_relative;
// What lies beyond two and a half standard deviations of chance is taken for the group's own.
constexpr double beyond_chance = 6.25;

// The variance that chance alone gives the measured ratio (s0).
double chance(double expected, const History& history) {
  return history.calm.phi() * (1 / std::max(expected, least_divisor) + 1 / std::max(history.baseline_failures, least_divisor));
}

}  // namespace

Tolerance tolerance_of(const GroupHistory& group, const History& history, double heterogeneity, std::size_t old_hosts, double tolerate,
                       double margin) {
  bool known = group.expected > 0;
  auto measured = known ? group.failures / std::max(group.expected, least_divisor) : 1.0;
  auto noise = chance(group.expected, history);
  auto spread = heterogeneity * (1.0 / static_cast<double>(group.hosts) + 1.0 / static_cast<double>(std::max<std::size_t>(old_hosts, 1)));
  spread = std::max(spread, known ? std::min((measured - 1) * (measured - 1) - beyond_chance * noise, 9.0) : 0.0);
  Tolerance result;
  result.relative = std::clamp(1 + spread / (spread + noise) * (measured - 1), 1 / most_relative, most_relative);
  result.sigma = std::sqrt(spread * noise / (spread + noise)) / std::max(result.relative, 1.0);
  result.factor = std::max(tolerate * result.relative * std::exp(margin * result.sigma), 1.0);
  return result;
}

bool was_ill(const HostHistory& host, const History& history) {
  if (host.broken) return true;
  auto expected = host.known_expected();
  if (expected <= 0) return false;
  auto measured = host.known_failures() / expected;
  return measured > most_relative && (measured - 1) * (measured - 1) > beyond_chance * chance(expected, history);
}

}  // namespace shiftd
