// The bounds that are kept while hosts are out: the floor, the load on the others, the batch.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "daemon/engine/planning.hpp"

namespace shiftd {
namespace {

// By default one host may always be out; but when the others would carry more than twice their load, people have to say
// that they want it.
double default_max_load(double weight, double heaviest) {
  if (heaviest >= weight) return 2;
  return std::clamp(weight / (weight - heaviest), 1.25, 2.0);
}

// Rounded up but for a hair, so that one of N hosts may be out when max_load is N/(N-1) exactly.
std::int64_t at_least(double weight) { return static_cast<std::int64_t>(std::ceil(weight - 1e-6)); }

}  // namespace

std::string times(double load) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", load);
  return text.data();
}

void Planning::sum_weights() {
  auto pools = plan_.pools.size();
  prefix_.assign(pools, std::vector<std::int64_t>(to_upgrade_ + 1, 0));
  already_weight_.assign(pools, 0);
  heaviest_.assign(pools, 0);
  for (HostIndex index = 0; index < plan_.hosts.size(); ++index) {
    const auto& host = plan_.hosts[index];
    if (index < to_upgrade_) {
      for (auto& sums : prefix_) sums[index + 1] = sums[index];
    }
    for (auto member = host.first_member; member < host.first_member + host.members; ++member) {
      const auto& planned = plan_.members[member];
      if (!planned.serving()) continue;
      std::int64_t weight = planned.original.setting.weight;
      plan_.pools[planned.pool].weight += weight;
      ++plan_.pools[planned.pool].serving;
      heaviest_[planned.pool] = std::max(heaviest_[planned.pool], weight);
      if (index < to_upgrade_) prefix_[planned.pool][index + 1] += weight;
      if (host.role == Role::already_there) already_weight_[planned.pool] += weight;
    }
  }
}

// What the load balancers need in order to be able to take out a failing member while we hold others out. Where their own
// margin would let nobody leave (two hosts or three at the usual 0.5), they go without it, and people are told.
void Planning::set_threshold(PoolIndex index) {
  auto& pool = plan_.pools[index];
  pool.threshold = fleet_.pools[index].threshold;
  auto threshold = pool.threshold;
  if (threshold.view.empty()) threshold = {"its load balancer", pool.capabilities.depool_threshold, pool.serving, 0};
  if (threshold.share <= 0) return;
  if (threshold.needs(1) >= pool.serving && threshold.needs(0) < pool.serving) {
    pool.margin = 0;
    plan_.notes.push_back(pool.name + ": while a host is out, " + to_string(threshold, 0) + " cannot take out another one that fails");
  }
  pool.least_serving = std::min(threshold.needs(pool.margin), pool.serving);
}

Result<void> Planning::set_bounds() {
  sum_weights();
  const auto& strategy = plan_.strategy;
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    auto& pool = plan_.pools[index];
    if (pool.serving == 0 || (pool.serving == 1 && strategy.allow_downtime)) continue;  // nothing to keep up
    if (pool.serving == 1 && prefix_[index][to_upgrade_] > 0) {
      return Failure{
          Errc::bad_input,
          pool.name + " has a single serving host: taking it out stops the service; say `allow_downtime: true` if that is meant"};
    }
    auto weight = static_cast<double>(pool.weight);
    auto max_load = strategy.max_load.value_or(default_max_load(weight, static_cast<double>(heaviest_[index])));
    if (max_load <= 1) return Failure{Errc::bad_input, "max_load " + times(max_load) + " allows no host to be out; it must be above 1"};
    pool.least_flow = at_least(weight / max_load);
    pool.least_flow_rollback = at_least(weight / std::max(strategy.max_load_rollback, max_load));
    if (strategy.floor) pool.floor = at_least(weight * strategy.floor->fraction());
    set_threshold(index);
  }
  return {};
}

// A batch is refused only when not even its lightest hosts could be out together.
Result<void> Planning::set_batch() {
  auto hosts = static_cast<int>(plan_.hosts.size());
  const auto& strategy = plan_.strategy;
  plan_.max_failed = static_cast<std::uint32_t>(std::max(0, strategy.max_failed.of(hosts)));
  auto batch = strategy.batch.of(hosts);
  if (batch < 1) {
    if (!strategy.batch.percent) return Failure{Errc::bad_input, "batch must be at least 1"};
    plan_.notes.push_back("batch " + to_string(strategy.batch) + " of " + hosts_word(plan_.hosts.size()) + " is less than one: 1");
    batch = 1;
  }
  plan_.batch = static_cast<std::uint32_t>(batch);
  std::vector<std::vector<std::int64_t>> weights(plan_.pools.size());
  for (const auto& member : plan_.members) {
    if (member.serving() && member.host < to_upgrade_) weights[member.pool].push_back(member.original.setting.weight);
  }
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    const auto& pool = plan_.pools[index];
    auto& lightest = weights[index];
    std::sort(lightest.begin(), lightest.end());
    auto least = std::max(pool.floor, pool.least_flow);
    auto asked = std::min<std::size_t>(plan_.batch, lightest.size());
    auto may_be_out = pool.serving - pool.least_serving;
    if (asked > may_be_out) {
      auto who = pool.threshold.view.empty() ? "its load balancer" : to_string(pool.threshold, pool.margin);
      return Failure{Errc::bad_input, "batch " + std::to_string(plan_.batch) + " does not fit: " + pool.name + ": " + hosts_word(asked) +
                                          " out leaves " + std::to_string(pool.serving - asked) + " of " + std::to_string(pool.serving) +
                                          ", " + who + " needs " + std::to_string(pool.least_serving) + "; at most " +
                                          std::to_string(may_be_out)};
    }
    std::size_t fit = 0;
    auto left = pool.weight;
    while (fit < asked && left - lightest[fit] >= least) left -= lightest[fit++];
    if (fit == asked) continue;
    for (auto more = fit; more < asked; ++more) left -= lightest[more];
    auto sum = pool.name + ": " + hosts_word(asked) + " out leaves weight " + std::to_string(left) + " of " + std::to_string(pool.weight) +
               ", the floor is " + std::to_string(least);
    if (pool.floor < pool.least_flow)
      sum += " (max_load " + times(static_cast<double>(pool.weight) / static_cast<double>(pool.least_flow)) + ")";
    return Failure{Errc::bad_input, "batch " + std::to_string(plan_.batch) + " does not fit: " + sum + "; at most " + std::to_string(fit)};
  }
  if (auto most = std::max(1U, plan_.max_failed); plan_.batch > most) {
    plan_.notes.push_back("batch " + std::to_string(plan_.batch) + " is cut to " + std::to_string(most) + " by max_failed " +
                          std::to_string(plan_.max_failed));
  }
  return {};
}

// Every set that may stand while the stage is reached: the first hosts joined at the stage's weights, one more out.
Result<void> Planning::check_load(const PlannedStage& stage, std::uint32_t upgraded, std::uint32_t upgraded_before) const {
  auto stage_name = "stage " + to_string(stage.asked) + " with " + hosts_word(upgraded) + " upgraded";
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    const auto& pool = plan_.pools[index];
    auto weight = pool.weight * pool.scale;
    auto flow = weight;  // with the hosts looked at so far joined
    for (std::uint32_t host = 0; host < upgraded; ++host) {
      std::int64_t original = 0;
      std::int64_t joins = 0;
      const auto& planned = plan_.hosts[host];
      for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) {
        if (plan_.members[member].pool != index || !plan_.members[member].serving()) continue;
        original += std::int64_t{plan_.members[member].original.setting.weight} * pool.scale;
        joins += stage_weight(plan_, stage, plan_.members[member]);
      }
      // The hosts of the stages before have joined already, and all at once.
      bool goes_out = host >= upgraded_before && original > 0;
      auto least = flow - original + (goes_out ? 0 : joins);
      flow += joins - original;
      if (host + 1 < upgraded_before) continue;
      if (least < pool.least_flow * pool.scale) {
        auto load = static_cast<double>(weight) / static_cast<double>(std::max<std::int64_t>(least, 1));
        return Failure{Errc::bad_input, stage_name + " leaves weight " + std::to_string(least) + " of " + std::to_string(weight) + " in " +
                                            pool.name + ": the other hosts would carry " + times(load) +
                                            " times their normal load, max_load allows " +
                                            times(static_cast<double>(pool.weight) / static_cast<double>(pool.least_flow)) +
                                            "; use fewer canary hosts or a larger share"};
      }
      if (auto left = pool.weight - original / pool.scale; goes_out && left < pool.floor) {
        return Failure{Errc::bad_input, planned.name + " out leaves weight " + std::to_string(left) + " of " + std::to_string(pool.weight) +
                                            " in " + pool.name + ", the floor is " + std::to_string(pool.floor)};
      }
    }
  }
  return {};
}

}  // namespace shiftd
