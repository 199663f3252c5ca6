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

std::uint32_t Plan::near_turn() const { return std::max<std::uint32_t>(10, 2 * batch); }

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
  return std::clamp(lowered, std::min(plan.pools[member.pool].capabilities.smallest_weight(), original), original);
}

double kept_while_leaving(const Plan& plan, const PlannedMember& member) {
  const auto& pool = plan.pools[member.pool];
  if (!pool.capabilities.cuts_connections || !member.serving()) return 0;
  auto usual = static_cast<double>(member.original.setting.weight) * pool.scale;
  auto least = pool.capabilities.weights_steer ? pool.capabilities.smallest_weight() : usual;
  return std::min(1.0, least / usual);
}

std::uint64_t planned_writes(const Plan& plan, PoolIndex pool) {
  const auto& planned = plan.pools[pool];
  std::uint64_t to_leave = planned.capabilities.cuts_connections ? 2 : 1;  // to the least weight, out
  std::uint64_t writes = 0;
  std::uint64_t serving = 0;
  // A stage counts hosts that serve the release already, and they come after all hosts to upgrade.
  auto serves_already = [&](const PlannedHost& host) {
    auto members = plan.members.begin() + host.first_member;
    return host.role == Role::already_there &&
           std::any_of(members, members + host.members, [](const PlannedMember& member) { return member.serving(); });
  };
  auto already = static_cast<std::uint32_t>(std::count_if(plan.hosts.begin(), plan.hosts.end(), serves_already));
  for (const auto& member : plan.members) {
    if (member.pool != pool || !member.serving()) continue;
    ++serving;
    if (plan.hosts[member.host].role != Role::upgrade) continue;
    writes += to_leave;
    int weight = 0;
    for (const auto& stage : plan.stages) {
      if (stage.hosts <= already + member.host) continue;
      auto next = stage_weight(plan, stage, member);
      if (next != weight) ++writes;
      weight = next;
    }
  }
  // There and back, each pass at most doubling.
  for (int scale = 1; scale < planned.scale; scale *= 2) writes += 2 * serving;
  return writes;
}

Duration planned_write_time(const Plan& plan, PoolIndex pool) {
  return time_for_writes(plan.pools[pool].capabilities, planned_writes(plan, pool));
}

int HostQuota::of(int hosts) const {
  if (!percent) return count;
  return static_cast<int>(static_cast<std::int64_t>(hosts) * percent->value / all_traffic.value);
}

std::string to_string(const HostQuota& quota) { return quota.percent ? to_string(*quota.percent) : std::to_string(quota.count); }

}  // namespace shiftd
