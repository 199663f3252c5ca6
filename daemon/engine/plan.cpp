#include "daemon/engine/plan.hpp"

#include <algorithm>
#include <cmath>

namespace shiftd {

bool PlannedStage::lowered() const {
  return std::any_of(factors.begin(), factors.end(), [](double factor) { return factor < 1; });
}

std::uint32_t Plan::hosts_to_upgrade() const {
  auto upgraded = [](const PlannedHost& host) { return host.role == Role::upgrade; };
  return static_cast<std::uint32_t>(std::count_if(hosts.begin(), hosts.end(), upgraded));
}

int Plan::scale() const {
  int greatest = 1;
  for (const auto& pool : pools) greatest = std::max(greatest, pool.scale);
  return greatest;
}

int stage_weight(const Plan& plan, const PlannedStage& stage, const PlannedMember& member) {
  auto factor = stage.factors[member.pool];
  auto original = member.original.setting.weight * plan.pools[member.pool].scale;
  if (factor >= 1) return original;
  // A hair is added before rounding down, so that 0.29 * 100 is 29 and not 28.
  auto lowered = static_cast<int>(std::floor(factor * original + 1e-9));
  return std::clamp(lowered, std::min(std::max(plan.pools[member.pool].capabilities.weight_least, 1), original), original);
}

int HostQuota::of(int hosts) const {
  if (!percent) return count;
  return static_cast<int>(static_cast<std::int64_t>(hosts) * percent->value / all_traffic.value);
}

std::string to_string(const HostQuota& quota) { return quota.percent ? to_string(*quota.percent) : std::to_string(quota.count); }

}  // namespace shiftd
