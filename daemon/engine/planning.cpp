// The stages: how many hosts each has, the weights that give its share, and the host that is kept to compare with.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "daemon/engine/planning.hpp"

namespace shiftd {

std::string hosts_word(std::size_t count) { return std::to_string(count) + (count == 1 ? " host" : " hosts"); }

Result<std::uint32_t> Planning::canary_count() const {
  if (const auto* names = std::get_if<std::vector<std::string>>(&plan_.strategy.canary)) {
    std::uint32_t count = 0;
    for (HostIndex host = 0; host < serving_to_upgrade_; ++host) {
      if (std::find(names->begin(), names->end(), plan_.hosts[host].name) != names->end()) ++count;
    }
    return std::max(count, 1U);
  }
  const auto& quota = std::get<HostQuota>(plan_.strategy.canary);
  auto count = quota.of(static_cast<int>(plan_.hosts.size()));
  if (count < 1 && !quota.percent) return Failure{Errc::bad_input, "canary must be at least one host"};
  return static_cast<std::uint32_t>(std::max(count, 1));
}

// The most hosts that give no more than the share at their full weight, but `least` at any rate.
std::uint32_t Planning::hosts_within(BasisPoints share, std::uint32_t least) const {
  if (share == all_traffic) return to_upgrade_;
  auto fits = [&](std::uint32_t count) {
    for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
      auto allowed = share.fraction() * static_cast<double>(plan_.pools[index].weight) + 1e-9;
      if (static_cast<double>(upgraded_weight(index, count) + already_weight_[index]) > allowed) return false;
    }
    return true;
  };
  auto upgraded = std::min(least, to_upgrade_);
  while (upgraded < to_upgrade_ && fits(upgraded + 1)) ++upgraded;
  return upgraded;
}

// What part of their originals the weights of the first `upgraded` hosts have to be, to give no more than the share.
double Planning::factor_for(double share, PoolIndex index, std::uint32_t upgraded) const {
  const auto& pool = plan_.pools[index];
  auto touched = static_cast<double>(upgraded_weight(index, upgraded));
  auto already = static_cast<double>(already_weight_[index]);
  auto old = static_cast<double>(pool.weight) - touched - already;
  auto natural = pool.weight == 0 ? 0 : (touched + already) / static_cast<double>(pool.weight);
  if (natural <= share || touched == 0 || !pool.capabilities.weights_steer) return 1;
  return std::clamp((share / (1 - share) * old - already) / touched, 0.0, 1.0);
}

// The share of the release in each pool, by the integer weights that the stage gives its first `upgraded` hosts.
std::vector<double> Planning::shares_of(const PlannedStage& stage, std::uint32_t upgraded) const {
  std::vector<double> shares;
  std::vector<double> canary(plan_.pools.size(), 0.0);
  for (const auto& member : plan_.members) {
    if (member.host >= upgraded) break;
    if (member.serving()) canary[member.pool] += stage_weight(plan_, stage, member);
  }
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index) {
    const auto& pool = plan_.pools[index];
    auto already = static_cast<double>(already_weight_[index] * pool.scale);
    auto flow = canary[index] + static_cast<double>((pool.weight - upgraded_weight(index, upgraded)) * pool.scale);
    shares.push_back(flow > 0 ? (canary[index] + already) / flow : 0);
  }
  return shares;
}

// The stage with the first `upgraded` hosts on the release.
PlannedStage Planning::stage_with(const StageSpec& spec, std::uint32_t upgraded) const {
  PlannedStage stage{spec.share, 0, upgraded + already_, {}, spec.bake, spec.gate, true};
  for (PoolIndex index = 0; index < plan_.pools.size(); ++index)
    stage.factors.push_back(factor_for(spec.share.fraction(), index, upgraded));
  for (auto share : shares_of(stage, upgraded)) stage.achievable = std::max(stage.achievable, share);
  stage.judged = upgraded < serving_to_upgrade_ || serving_outside_ > 0;
  return stage;
}

// The same hosts at the same integer weights.
bool Planning::comes_out_equal(const PlannedStage& a, const PlannedStage& b) const {
  if (a.hosts != b.hosts) return false;
  return std::all_of(plan_.members.begin(), plan_.members.end(), [&](const PlannedMember& member) {
    return member.host >= a.hosts - already_ || stage_weight(plan_, a, member) == stage_weight(plan_, b, member);
  });
}

void Planning::add_stage(PlannedStage stage) {
  if (plan_.stages.empty() || !comes_out_equal(plan_.stages.back(), stage)) return plan_.stages.push_back(std::move(stage));
  auto& last = plan_.stages.back();
  plan_.notes.push_back("stages " + to_string(last.asked) + " and " + to_string(stage.asked) + " come out equal (" +
                        hosts_word(stage.hosts) + "): merged");
  stage.bake = std::max(last.bake, stage.bake);
  stage.gate = std::max(last.gate, stage.gate);
  last = std::move(stage);
}

// The stages as asked for; their shares are in order.
Result<std::vector<StageSpec>> Planning::asked_stages() const {
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
  return specs;
}

Result<void> Planning::set_stages() {
  auto specs = asked_stages();
  if (!specs) return specs.error();
  auto canaries = canary_count();
  if (!canaries) return canaries.error();
  if (to_upgrade_ == 0) {
    plan_.notes.push_back("nothing to do: every host is on " + plan_.request.release.version);
    return {};
  }
  set_scale(specs->front(), hosts_within(specs->front().share, *canaries));
  std::uint32_t before = 0;
  for (const auto& spec : *specs) {
    auto upgraded = hosts_within(spec.share, *canaries);
    auto stage = stage_with(spec, upgraded);
    if (auto allowed = check_load(stage, upgraded, before); !allowed) return allowed;
    add_stage(std::move(stage));
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
void Planning::keep_a_baseline() {
  auto& last = plan_.stages.back();
  if (last.judged || last.bake == Duration(0) || serving_to_upgrade_ < 2 || serving_to_upgrade_ + already_ < 3) return;
  auto kept = stage_with({last.asked, last.bake, Gate::open}, serving_to_upgrade_ - 1);
  auto* previous = plan_.stages.size() >= 2 ? &plan_.stages[plan_.stages.size() - 2] : nullptr;
  if (previous != nullptr && previous->hosts > kept.hosts) return;
  last.bake = Duration(0);
  plan_.notes.push_back("the last bake keeps one host on the old release to compare with");
  if (previous != nullptr && comes_out_equal(*previous, kept)) {
    previous->bake = std::max(previous->bake, kept.bake);
  } else {
    plan_.stages.insert(plan_.stages.end() - 1, std::move(kept));
  }
}

namespace {

// "10", "0.5"
std::string plain(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", number);
  return text.data();
}

}  // namespace

// A host that is waited for until it is idle has to lose its traffic first. From small weights there is no way down.
void Planning::note_drains() {
  for (PoolIndex pool = 0; pool < plan_.pools.size(); ++pool) {
    const PlannedMember* worst = nullptr;
    double most = 0;
    std::uint32_t bad = 0;
    for (const auto& member : plan_.members) {
      if (member.pool != pool || plan_.hosts[member.host].role != Role::upgrade) continue;
      auto kept = kept_while_leaving(plan_, member);
      if (kept < drains_badly) continue;
      ++bad;
      if (kept <= most) continue;
      most = kept;
      worst = &member;
    }
    if (worst == nullptr) continue;
    const auto& strategy = plan_.strategy;
    auto late = strategy.on_drain_limit == DrainDeadline::give_back ? "given back and counts as failed" : "taken out all the same";
    plan_.notes.push_back(plan_.pools[pool].name + ": " + hosts_word(bad) + " cannot be drained by weight: at the least weight " +
                          plan_.hosts[worst->host].name + " (weight " + std::to_string(worst->original.setting.weight) + ") still gets " +
                          percent(most) + " of its usual new connections, and when it is not idle within " + "drain_limit (" +
                          to_string(strategy.drain_limit) + ") it is " + late +
                          "; ten times the weights, or more, for the whole pool would let it drain");
  }
}

// Where load balancers take up changes slowly, people should know how much of the rollout is that.
void Planning::note_writes() {
  for (PoolIndex pool = 0; pool < plan_.pools.size(); ++pool) {
    auto rate = plan_.pools[pool].capabilities.writes_per_second;
    auto writes = planned_writes(plan_, pool);
    if (rate <= 0 || writes == 0) continue;
    plan_.notes.push_back(plan_.pools[pool].name + ": its load balancers take up " + plain(rate) + " changes a second: the " +
                          std::to_string(writes) + " of this rollout take at least " + to_string(planned_write_time(plan_, pool)));
  }
}

Result<Plan> Planning::make() {
  auto activity = "plan " + plan_.request.service;
  for (auto part : {&Planning::take_fleet, &Planning::order_hosts, &Planning::set_bounds, &Planning::set_batch, &Planning::set_stages}) {
    if (auto done = (this->*part)(); !done) return std::move(done).error().during(activity);
  }
  if (auto few = check_members(); !few) return std::move(few).error().during(activity);
  if (plan_.request.release.irreversible && to_upgrade_ > 0)
    plan_.notes.insert(plan_.notes.begin(),
                       "IRREVERSIBLE: a roll back takes the hosts that have this release out of traffic and stops there; "
                       "nothing brings their former release back");
  note_drains();
  note_writes();
  return std::move(plan_);
}

Result<Plan> make_plan(Request request, Strategy strategy, const Fleet& fleet) {
  return Planning(std::move(request), std::move(strategy), fleet).make();
}

}  // namespace shiftd
