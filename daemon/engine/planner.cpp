// The arithmetic of shares, stages and capacity: from the fleet as it was found to a plan, or to the sum that forbids it.
//
// Weights steer requests under round robin: a member of weight w in a pool whose weights sum to W serves w/W of its
// requests. Relative to normal (original weight b of sum B), a host at full weight carries B/W of its load. So "no host
// above max_load" is the one condition W >= B / max_load, for every set of hosts that may be out.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <unordered_map>

#include "daemon/engine/plan.hpp"

namespace shiftd {
namespace {

std::string times(double load) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", load);
  return text.data();
}

std::string hosts_word(std::size_t count) { return std::to_string(count) + (count == 1 ? " host" : " hosts"); }

class Planner {
 public:
  Planner(Request request, Strategy strategy, const Fleet& fleet) : fleet_(fleet) {
    plan_.request = std::move(request);
    plan_.strategy = std::move(strategy);
  }

  Result<Plan> make() {
    for (auto step : {&Planner::take_fleet, &Planner::order_hosts, &Planner::set_bounds, &Planner::set_batch, &Planner::set_stages}) {
      if (auto done = (this->*step)(); !done) return std::move(done).error().during("plan " + plan_.request.service);
    }
    return std::move(plan_);
  }

 private:
  Result<void> take_fleet();
  Result<void> order_hosts();
  Result<void> set_bounds();
  Result<void> set_batch();
  Result<void> set_stages();

  Result<std::uint32_t> canary_count() const;
  PlannedStage stage_with(const StageSpec& spec, std::uint32_t upgraded) const;
  Result<void> check_load(const PlannedStage& stage, std::uint32_t upgraded, std::uint32_t upgraded_before) const;
  void keep_a_baseline();
  std::int64_t upgraded_weight(PoolIndex pool, std::uint32_t upgraded) const { return prefix_[pool][upgraded]; }
  std::int64_t full_hosts() const { return to_upgrade_ + already_; }

  const Fleet& fleet_;
  Plan plan_;
  std::uint32_t to_upgrade_ = 0;
  std::uint32_t already_ = 0;                      // serve the release already
  std::vector<std::vector<std::int64_t>> prefix_;  // by pool: weight of the first n hosts to upgrade
  std::vector<std::int64_t> already_weight_;       // by pool
  std::vector<std::uint32_t> serving_members_;     // by pool
};

Result<void> Planner::take_fleet() {
  if (fleet_.hosts.empty()) return Failure{Errc::bad_input, "the service has no hosts"};
  std::unordered_map<std::string, std::vector<const MemberFound*>> members_of;
  std::unordered_map<std::string, PoolIndex> pool_index;
  for (const auto& pool : fleet_.pools) {
    pool_index.emplace(pool.name, static_cast<PoolIndex>(plan_.pools.size()));
    plan_.pools.push_back({pool.name, pool.capabilities, 0, 0, 0, 0});
  }
  for (const auto& member : fleet_.members) members_of[member.host].push_back(&member);
  std::set<std::string> limit(plan_.request.limit.begin(), plan_.request.limit.end());
  std::set<std::string> seen;
  for (const auto& found : fleet_.hosts) {
    if (!seen.insert(found.name).second) return Failure{Errc::bad_input, "host " + found.name + " is named twice"};
    PlannedHost host{found.name, found.address, found.digest, Role::upgrade, 0, 0};
    if (!limit.empty() && !limit.erase(found.name)) {
      host.role = Role::outside;
    } else if (found.digest == plan_.request.release.digest) {
      host.role = Role::already_there;
    }
    plan_.hosts.push_back(std::move(host));
  }
  if (!limit.empty()) return Failure{Errc::bad_input, "the service has no host " + *limit.begin()};
  // Members are attached after the hosts have their order.
  for (auto& [host, members] : members_of) {
    if (!seen.contains(host))
      return Failure{Errc::bad_input, "pool member " + members.front()->name + " belongs to no host of the service"};
    for (const auto* member : members) {
      if (!pool_index.contains(member->pool)) return Failure{Errc::bad_input, "no pool " + member->pool + " for " + member->name};
    }
  }
  return {};
}

// Canaries first, then the fleet as configured. Hosts that take no traffic come last among those to upgrade: they add
// nothing to any share.
Result<void> Planner::order_hosts() {
  std::unordered_map<std::string, std::vector<const MemberFound*>> members_of;
  for (const auto& member : fleet_.members) members_of[member.host].push_back(&member);
  auto serves = [&](const PlannedHost& host) {
    for (const auto* member : members_of[host.name]) {
      if (member->observed.setting.pooled == Pooled::yes && member->observed.setting.weight > 0) return true;
    }
    return false;
  };
  std::map<std::string, int> canary_rank;
  if (const auto* names = std::get_if<std::vector<std::string>>(&plan_.strategy.canary)) {
    for (const auto& name : *names) canary_rank.emplace(name, static_cast<int>(canary_rank.size()));
    for (const auto& [name, rank] : canary_rank) {
      auto same = [&name = name](const PlannedHost& host) { return host.name == name; };
      if (std::none_of(plan_.hosts.begin(), plan_.hosts.end(), same))
        return Failure{Errc::bad_input, "the canary host " + name + " is not a host of the service"};
    }
  }
  auto rank = [&](const PlannedHost& host) {
    if (host.role == Role::outside) return std::pair(4, 0);
    if (host.role == Role::already_there) return std::pair(3, 0);
    if (!serves(host)) return std::pair(2, 0);
    auto found = canary_rank.find(host.name);
    return found == canary_rank.end() ? std::pair(1, 0) : std::pair(0, found->second);
  };
  std::vector<std::pair<std::pair<int, int>, PlannedHost>> ranked;
  ranked.reserve(plan_.hosts.size());
  for (auto& host : plan_.hosts) {
    auto place = rank(host);
    ranked.emplace_back(place, std::move(host));
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  plan_.hosts.clear();
  std::uint32_t silent = 0;
  std::unordered_map<std::string, PoolIndex> pool_index;
  for (PoolIndex pool = 0; pool < plan_.pools.size(); ++pool) pool_index.emplace(plan_.pools[pool].name, pool);
  for (auto& [place, host] : ranked) {
    if (place.first == 2) ++silent;
    if (host.role == Role::upgrade) ++to_upgrade_;
    auto index = static_cast<HostIndex>(plan_.hosts.size());
    host.first_member = static_cast<MemberIndex>(plan_.members.size());
    for (const auto* member : members_of[host.name]) {
      plan_.members.push_back({pool_index.at(member->pool), index, member->name, member->observed, member->restore});
    }
    host.members = static_cast<std::uint32_t>(plan_.members.size()) - host.first_member;
    plan_.hosts.push_back(std::move(host));
  }
  if (silent > 0) plan_.notes.push_back(hosts_word(silent) + " out of their pools: upgraded last, and left out");
  return {};
}

Result<void> Planner::set_bounds() {
  auto pools = plan_.pools.size();
  prefix_.assign(pools, std::vector<std::int64_t>(to_upgrade_ + 1, 0));
  already_weight_.assign(pools, 0);
  serving_members_.assign(pools, 0);
  for (HostIndex index = 0; index < plan_.hosts.size(); ++index) {
    const auto& host = plan_.hosts[index];
    if (index < to_upgrade_) {
      for (auto& sums : prefix_) sums[index + 1] = sums[index];
    }
    bool serves = false;
    for (auto member = host.first_member; member < host.first_member + host.members; ++member) {
      const auto& planned = plan_.members[member];
      if (!planned.serving()) continue;
      serves = true;
      auto weight = planned.original.setting.weight;
      plan_.pools[planned.pool].weight += weight;
      ++serving_members_[planned.pool];
      if (index < to_upgrade_) prefix_[planned.pool][index + 1] += weight;
      if (host.role == Role::already_there) already_weight_[planned.pool] += weight;
    }
    if (host.role == Role::already_there && serves) ++already_;
  }
  if (already_ > 0)
    plan_.notes.push_back(hosts_word(already_) + " already on " + plan_.request.release.version + ": not touched, counted as upgraded");

  const auto& strategy = plan_.strategy;
  for (PoolIndex index = 0; index < pools; ++index) {
    auto& pool = plan_.pools[index];
    auto members = serving_members_[index];
    auto weight = static_cast<double>(pool.weight);
    if (members == 1 && !strategy.allow_downtime && prefix_[index][to_upgrade_] > 0) {
      return Failure{
          Errc::bad_input,
          pool.name + " has a single serving host: taking it out stops the service; say `allow_downtime: true` if that is meant"};
    }
    auto max_load = strategy.max_load.value_or(members >= 2 ? std::max(1.25, members / (members - 1.0)) : 1.25);
    if (members == 1 && strategy.allow_downtime) {
      pool.floor = pool.least_flow = pool.least_flow_rollback = 0;
      continue;
    }
    if (max_load <= 1) return Failure{Errc::bad_input, "max_load " + times(max_load) + " allows no host to be out; it must be above 1"};
    // Rounded down by a hair, so that one of N hosts may be out when max_load is N/(N-1) exactly.
    pool.least_flow = static_cast<std::int64_t>(std::ceil(weight / max_load - 1e-6));
    pool.least_flow_rollback = static_cast<std::int64_t>(std::ceil(weight / std::max(strategy.max_load_rollback, max_load) - 1e-6));
    if (strategy.floor) pool.floor = static_cast<std::int64_t>(std::ceil(weight * strategy.floor->fraction() - 1e-6));
    if (auto threshold = pool.capabilities.depool_threshold; threshold > 0) {
      // The load balancer must be able to lose one more host than we hold out, or it cannot depool a failing one.
      auto may_be_out = std::floor(members * (1 - threshold) + 1e-9) - 1;
      auto heaviest = weight / members;
      pool.floor = std::max(pool.floor, static_cast<std::int64_t>(std::ceil(weight - std::max(may_be_out, 0.0) * heaviest - 1e-6)));
    }
  }
  return {};
}

Result<void> Planner::set_batch() {
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
  // A batch is refused only when not even its lightest hosts could be out together.
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    const auto& pool = plan_.pools[index];
    std::vector<int> weights;
    for (const auto& member : plan_.members) {
      if (member.pool == index && member.serving() && plan_.hosts[member.host].role == Role::upgrade)
        weights.push_back(member.original.setting.weight);
    }
    std::sort(weights.begin(), weights.end());
    std::int64_t out = 0;
    std::size_t fits = 0;
    auto least = std::max(pool.floor, pool.least_flow);
    while (fits < weights.size() && pool.weight - out - weights[fits] >= least) out += weights[fits++];
    auto asked = std::min<std::size_t>(plan_.batch, weights.size());
    if (fits >= asked) continue;
    auto out_when_asked = std::int64_t{0};
    for (std::size_t i = 0; i < asked; ++i) out_when_asked += weights[i];
    auto sum = pool.name + ": " + hosts_word(asked) + " out leaves weight " + std::to_string(pool.weight - out_when_asked) + " of " +
               std::to_string(pool.weight) + ", the floor is " + std::to_string(least) +
               (pool.floor >= pool.least_flow
                    ? ""
                    : " (max_load " + times(static_cast<double>(pool.weight) / static_cast<double>(pool.least_flow)) + ")");
    return Failure{Errc::bad_input, "batch " + std::to_string(plan_.batch) + " does not fit: " + sum + "; at most " + std::to_string(fits)};
  }
  if (plan_.batch > std::max(1U, plan_.max_failed)) {
    plan_.notes.push_back("batch " + std::to_string(plan_.batch) + " is cut to " + std::to_string(std::max(1U, plan_.max_failed)) +
                          " by max_failed " + std::to_string(plan_.max_failed));
  }
  return {};
}

Result<std::uint32_t> Planner::canary_count() const {
  if (const auto* names = std::get_if<std::vector<std::string>>(&plan_.strategy.canary)) {
    std::uint32_t count = 0;
    for (const auto& host : plan_.hosts) {
      if (host.role == Role::upgrade && std::find(names->begin(), names->end(), host.name) != names->end()) ++count;
    }
    return std::max(count, 1U);
  }
  const auto& quota = std::get<HostQuota>(plan_.strategy.canary);
  auto count = quota.of(static_cast<int>(plan_.hosts.size()));
  if (count < 1 && !quota.percent) return Failure{Errc::bad_input, "canary must be at least one host"};
  return static_cast<std::uint32_t>(std::max(count, 1));
}

// The stage with the first `upgraded` hosts on the release.
PlannedStage Planner::stage_with(const StageSpec& spec, std::uint32_t upgraded) const {
  PlannedStage stage{spec.share, 0, upgraded + already_, {}, spec.bake, spec.gate, true};
  auto share = spec.share.fraction();
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    const auto& pool = plan_.pools[index];
    auto touched = static_cast<double>(upgraded_weight(index, upgraded));
    auto already = static_cast<double>(already_weight_[index]);
    auto old = static_cast<double>(pool.weight) - touched - already;
    auto natural = pool.weight == 0 ? 0 : (touched + already) / static_cast<double>(pool.weight);
    double factor = 1;
    if (natural > share && touched > 0 && pool.capabilities.weights_steer) {
      factor = std::max(0.0, (share / (1 - share) * old - already) / touched);
      factor = std::min(factor, 1.0);
    }
    stage.factors.push_back(factor);
  }
  std::vector<double> upgraded_flow(already_weight_.begin(), already_weight_.end());
  for (const auto& member : plan_.members) {
    if (member.host < upgraded && member.serving()) upgraded_flow[member.pool] += stage_weight(plan_, stage, member);
  }
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    auto old = static_cast<double>(plan_.pools[index].weight - upgraded_weight(index, upgraded) - already_weight_[index]);
    auto flow = upgraded_flow[index] + old;
    if (flow > 0) stage.achievable = std::max(stage.achievable, upgraded_flow[index] / flow);
  }
  auto left = plan_.hosts.size() - already_ - upgraded;
  stage.judged = left > 0;
  return stage;
}

// Every set that may stand while the stage is reached: `i` hosts joined at the stage's weights, one more out.
Result<void> Planner::check_load(const PlannedStage& stage, std::uint32_t upgraded, std::uint32_t upgraded_before) const {
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    const auto& pool = plan_.pools[index];
    if (pool.weight == 0 || pool.least_flow == 0) continue;
    std::int64_t joined = 0;
    for (std::uint32_t host = 0; host < upgraded; ++host) {
      std::int64_t out = 0;
      std::int64_t joins = 0;
      const auto& planned = plan_.hosts[host];
      for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) {
        if (plan_.members[member].pool != index || !plan_.members[member].serving()) continue;
        out += plan_.members[member].original.setting.weight;
        joins += stage_weight(plan_, stage, plan_.members[member]);
      }
      auto rest = pool.weight - upgraded_weight(index, host) - out;
      auto during = host >= upgraded_before ? joined + rest : joined + joins + rest;
      auto after = joined + joins + rest;
      auto least = std::min(during, after);
      if (least < pool.least_flow) {
        auto load = static_cast<double>(pool.weight) / static_cast<double>(std::max<std::int64_t>(least, 1));
        return Failure{Errc::bad_input, "stage " + to_string(stage.asked) + " with " + hosts_word(upgraded) + " upgraded leaves weight " +
                                            std::to_string(least) + " of " + std::to_string(pool.weight) + " in " + pool.name +
                                            ": the other hosts would carry " + times(load) + " times their normal load, max_load allows " +
                                            times(static_cast<double>(pool.weight) / static_cast<double>(pool.least_flow)) +
                                            "; use fewer canary hosts or a larger share"};
      }
      joined += joins;
    }
  }
  return {};
}

Result<void> Planner::set_stages() {
  auto specs = plan_.strategy.stages;
  if (specs.empty()) specs.push_back({all_traffic, Duration(0), Gate::open});
  for (std::size_t i = 1; i < specs.size(); ++i) {
    if (specs[i].share < specs[i - 1].share)
      return Failure{Errc::bad_input,
                     "the stages' shares must rise: " + to_string(specs[i].share) + " comes after " + to_string(specs[i - 1].share)};
  }
  if (specs.front().share.value <= 0) return Failure{Errc::bad_input, "a stage of 0% gives the release no traffic to be judged by"};
  if (specs.back().share != all_traffic)
    return Failure{Errc::bad_input, "the last stage must be 100%, not " + to_string(specs.back().share)};
  if (to_upgrade_ == 0) {
    plan_.notes.push_back("nothing to do: every host is on " + plan_.request.release.version);
    return {};
  }
  auto canaries = canary_count();
  if (!canaries) return canaries.error();
  auto before = std::uint32_t{0};
  for (const auto& spec : specs) {
    auto upgraded = std::min(*canaries, to_upgrade_);
    auto fits = [&](std::uint32_t count) {
      for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
        auto allowed = spec.share.fraction() * static_cast<double>(plan_.pools[index].weight) + 1e-9;
        if (static_cast<double>(upgraded_weight(index, count) + already_weight_[index]) > allowed) return false;
      }
      return true;
    };
    if (spec.share == all_traffic) upgraded = to_upgrade_;
    while (upgraded < to_upgrade_ && fits(upgraded + 1)) ++upgraded;
    auto stage = stage_with(spec, upgraded);
    if (auto allowed = check_load(stage, upgraded, before); !allowed) return allowed;
    if (!plan_.stages.empty() && plan_.stages.back().hosts == stage.hosts && plan_.stages.back().factors == stage.factors) {
      auto& last = plan_.stages.back();
      plan_.notes.push_back("stages " + to_string(last.asked) + " and " + to_string(spec.share) + " come out equal (" +
                            hosts_word(stage.hosts) + "): merged");
      last.asked = stage.asked;
      last.bake = std::max(last.bake, stage.bake);
      last.gate = std::max(last.gate, stage.gate);
    } else {
      plan_.stages.push_back(std::move(stage));
    }
    before = upgraded;
  }
  keep_a_baseline();
  for (const auto& stage : plan_.stages) {
    if (std::abs(stage.achievable - stage.asked.fraction()) >= 0.0005) {
      plan_.notes.push_back("stage " + to_string(stage.asked) + ": asked " + to_string(stage.asked) + ", can give " +
                            percent(stage.achievable));
    }
  }
  for (const auto& pool : plan_.pools) {
    if (!pool.capabilities.weights_steer)
      plan_.notes.push_back(pool.name + ": its scheduler ignores weights; shares are those of whole hosts");
  }
  return {};
}

// The last bake compares with one host that is still on the old release; that host follows after it, without a bake.
void Planner::keep_a_baseline() {
  auto& last = plan_.stages.back();
  if (last.judged || full_hosts() < 3 || last.bake == Duration(0) || to_upgrade_ < 2) return;
  if (plan_.stages.size() >= 2 && plan_.stages[plan_.stages.size() - 2].hosts + 1 == last.hosts) {
    // The stage before already bakes with one old host.
    auto& previous = plan_.stages[plan_.stages.size() - 2];
    if (!previous.lowered()) {
      previous.bake = std::max(previous.bake, last.bake);
      last.bake = Duration(0);
      return;
    }
  }
  auto baked = stage_with({last.asked, last.bake, Gate::open}, to_upgrade_ - 1);
  last.bake = Duration(0);
  plan_.stages.insert(plan_.stages.end() - 1, std::move(baked));
  plan_.notes.push_back("the last bake keeps one host on the old release to compare with");
}

}  // namespace

Result<Plan> make_plan(Request request, Strategy strategy, const Fleet& fleet) {
  return Planner(std::move(request), std::move(strategy), fleet).make();
}

}  // namespace shiftd
