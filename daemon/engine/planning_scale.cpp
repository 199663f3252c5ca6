// `scale_pool`: all weights of a pool are multiplied by one factor, so that the integers between 1 and a host's own weight
// are enough to express a small share. Shares stay as they are; the originals are written back at the end.

#include <cmath>
#include <limits>

#include "daemon/engine/planning.hpp"

namespace shiftd {
namespace {

// A share is expressible when the integer weights give no more than it, and no less than this part of it.
constexpr double close_enough = 0.9;
// Above this nothing is gained, and the pool's members would be looked at for nothing.
constexpr int scale_most = 1'000;

}  // namespace

// The least factor with which the pool can express the first stage's share; where its greatest weight forbids that, the
// one that comes closest.
int Planning::scale_for(const StageSpec& first, PoolIndex index, std::uint32_t upgraded) const {
  const auto& pool = plan_.pools[index];
  auto share = first.share.fraction();
  auto factor = factor_for(share, index, upgraded);
  if (factor >= 1 || factor <= 0) return 1;
  auto most = std::min<std::int64_t>(scale_most, pool.capabilities.weight_most / heaviest_[index]);
  auto least_weight = pool.capabilities.smallest_weight();
  auto rest = static_cast<double>(pool.weight - upgraded_weight(index, upgraded));
  auto already = static_cast<double>(already_weight_[index]);
  int closest = 1;
  double off_by = std::numeric_limits<double>::infinity();
  for (int scale = 1; scale <= most; ++scale) {
    double canary = 0;
    for (const auto& member : plan_.members) {
      if (member.host >= upgraded) break;
      if (member.pool != index || !member.serving()) continue;
      canary += std::max(std::floor(factor * member.original.setting.weight * scale + 1e-9), static_cast<double>(least_weight));
    }
    auto given = (canary + already * scale) / (canary + rest * scale);
    if (given <= share + 1e-9 && given >= close_enough * share) return scale;
    if (std::abs(given - share) < off_by - 1e-12) {
      closest = scale;
      off_by = std::abs(given - share);
    }
  }
  return closest;
}

void Planning::set_scale(const StageSpec& first, std::uint32_t upgraded) {
  if (!plan_.strategy.scale_pool) return;
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    auto& pool = plan_.pools[index];
    auto scale = scale_for(first, index, upgraded);
    if (scale == 1) continue;
    if (fleet_.pools[index].strangers > 0) {
      plan_.notes.push_back(pool.name + ": its weights are not scaled: " + std::to_string(fleet_.pools[index].strangers) +
                            " of its members belong to no host of the service, and would lose their share");
      continue;
    }
    pool.scale = scale;
    plan_.notes.push_back(pool.name + ": every weight is multiplied by " + std::to_string(scale) + " while the rollout lasts, so that " +
                          to_string(first.share) + " can be given; the originals are written back at its end");
  }
}

}  // namespace shiftd
