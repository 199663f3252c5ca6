#include "tests/simulator/checkers.hpp"

#include <algorithm>
#include <cmath>

namespace shiftd::simulator {
namespace {

std::string who(const Pool& pool, const Member& member) { return pool.name + "/" + member.name; }

// What its store would make the member carry, to the benefit of the doubt: a loss that cannot be known yet counts as none.
int carried(const World& world, const Member& member) {
  auto now = world.clock.steady();
  bool just_changed = member.others_at != Steady{} && now - member.others_at <= world.view_age();
  return just_changed ? std::max(member.carries(), member.weight_before_others) : member.carries();
}

// Whether a load balancer finds it down: since just now, or for so long that it can be known.
bool found_down(const World& world, const Pool& pool, const Member& member, bool just_now) {
  auto index = static_cast<std::size_t>(&member - pool.members.data());
  return std::any_of(pool.balancers.begin(), pool.balancers.end(), [&](const Balancer& balancer) {
    const auto& applied = balancer.members[index];
    return !applied.up && (world.clock.steady() - applied.checked <= world.view_age()) == just_now;
  });
}

// A loss of just now, of a member that has left since because it carries nothing.
bool just_lost(const World& world, const Pool& pool, const Member& member) {
  return member.carries() == 0 && found_down(world, pool, member, true);
}

// A host that answers nothing carries nothing, once that can be known.
bool lost(const World& world, const Pool& pool, const Member& member) { return found_down(world, pool, member, false); }

// A host that truly fails this often may be seen to answer mostly with failures, for as long as that is remembered.
constexpr double may_err = 0.3;
// One that fails this often is seen to.
constexpr double surely_errs = 0.7;

// Until when its view says nothing that can be used.
Steady blind_until(const Balancer& balancer) {
  return std::max({balancer.silent_until, balancer.not_found_until, balancer.nonsense_until});
}

// A counter that dips counts as one that began anew (its present value is what came since), as one that jumps does.
bool may_have_lied(const World& world) { return world.faults.ever_hit(Fault::counters_jump) || world.faults.ever_hit(Fault::counters_dip); }

std::int64_t at_least(double weight) { return static_cast<std::int64_t>(std::ceil(weight - 1e-6)); }

}  // namespace

void Checkers::wrote(std::size_t pool, std::size_t member, const Setting& before, bool late) {
  // What a frozen HAProxy does when it thaws was sent before anything could be known.
  if (late) return;
  never_overwrites_what_others_changed(pool, member, before);
  never_repools_what_was_found_out(pool, member);
  never_exceeds_the_original_weight(pool, member);
  if (auto* kept = acting()) {
    never_puts_back_a_former_release(*kept, pool, member);
    never_exceeds_the_share_of_its_stage(*kept, pool, member, before);
    never_writes_to_a_closed_pool(*kept, pool, member, before);
    never_undercuts_the_bounds(*kept, pool, member, before);
  }
}

std::optional<MemberIndex> Checkers::Kept::planned_as(std::size_t pool, std::size_t member) const {
  auto found = std::find_if(places.begin(), places.end(), [&](const Place& place) { return place.pool == pool && place.member == member; });
  return found == places.end() ? std::nullopt : std::optional(static_cast<MemberIndex>(found - places.begin()));
}

// HAProxy keeps no revision: who sets back a write of ours of which we have not heard makes it look as if it had never been made.
bool Checkers::leaves_no_trace(std::size_t pool, std::size_t index, const Setting& before) {
  const auto& member = world_.pools[pool].members[index];
  auto* kept = acting();
  if (world_.pools[pool].conditional || kept == nullptr || member.before_us != before) return false;
  auto planned = kept->planned_as(pool, index);
  if (!planned) return false;
  const auto& state = kept->rollout.members[*planned];
  return state.holder == Holder::ours && state.known.setting == before && state.wanted == member.setting;
}

void Checkers::never_overwrites_what_others_changed(std::size_t pool, std::size_t index, const Setting& before) {
  const auto& member = world_.pools[pool].members[index];
  if (!member.theirs || member.setting == before) return;
  if (leaves_no_trace(pool, index, before)) return;
  world_.violate("never_overwrites_what_others_changed", who(world_.pools[pool], member) + " was " + to_string(before) +
                                                             " by another's hand, and we made it " + to_string(member.setting));
}

void Checkers::never_repools_what_was_found_out(std::size_t pool, std::size_t index) {
  const auto& member = world_.pools[pool].members[index];
  if (member.setting.pooled != Pooled::yes || member.base.pooled == Pooled::yes) return;
  world_.violate("never_repools_what_was_found_out",
                 who(world_.pools[pool], member) + " was " + to_string(member.base) + ", and we made it " + to_string(member.setting));
}

// A host that missed a release serves no other before it has been brought to it.
void Checkers::never_puts_back_a_former_release(const Kept& kept, std::size_t pool, std::size_t index) {
  const auto& member = world_.pools[pool].members[index];
  const auto& rollout = kept.rollout;
  if (member.carries() == 0) return;
  auto planned = kept.planned_as(pool, index);
  if (!planned || !rollout.plan.members[*planned].found) return;
  const auto& current = world_.hosts[member.host].current;
  if (current == rollout.request.release.digest || world_.hosts[member.host].lost_power) return;
  world_.violate("never_puts_back_a_former_release", who(world_.pools[pool], member) + " missed a release, and is put back on " + current);
}

std::map<std::size_t, const Checkers::Kept*> Checkers::stragglers() const {
  std::map<std::size_t, const Kept*> newest;
  for (const auto& [id, kept] : rollouts) {
    for (HostIndex host = 0; host < kept.rollout.hosts.size(); ++host) {
      if (kept.rollout.plan.hosts[host].role != Role::upgrade) continue;
      auto& known = newest[kept.hosts[host]];
      if (known == nullptr || known->rollout.created <= kept.rollout.created) known = &kept;
    }
  }
  std::erase_if(newest, [&](const auto& each) {
    const auto& [index, kept] = each;
    const auto& members = world_.hosts[index].members;
    bool theirs = std::any_of(members.begin(), members.end(),
                              [&](const auto& place) { return world_.pools[place.first].members[place.second].theirs; });
    bool is_out = std::all_of(members.begin(), members.end(),
                              [&](const auto& place) { return world_.pools[place.first].members[place.second].carries() == 0; });
    bool served = std::any_of(members.begin(), members.end(), [&](const auto& place) {
      return world_.pools[place.first].members[place.second].base.pooled == Pooled::yes;
    });
    return theirs || !is_out || !served || kept->rollout.outcome != Outcome::succeeded;
  });
  return newest;
}

void Checkers::stragglers_come_back() {
  for (const auto& [host, kept] : stragglers()) {
    if (world_.releases.at(kept->rollout.request.release.digest).kind != ReleaseKind::good) continue;
    world_.violate("stragglers_come_back",
                   world_.hosts[host].name + " is out since " + kept->rollout.request.rollout + " has succeeded: " + kept->rollout.reason);
  }
}

void Checkers::never_exceeds_the_original_weight(std::size_t pool, std::size_t index) {
  const auto& member = world_.pools[pool].members[index];
  if (member.carries() <= member.base.weight * scale_of(acting(), world_.pools[pool])) return;
  world_.violate("never_exceeds_the_original_weight",
                 who(world_.pools[pool], member) + " was " + to_string(member.base) + ", and we made it " + to_string(member.setting));
}

int Checkers::scale_of(const Kept* kept, const Pool& pool) const {
  if (kept == nullptr) return 1;
  const auto& planned = kept->rollout.plan.pools;
  auto found = std::find_if(planned.begin(), planned.end(), [&](const PlannedPool& each) { return each.name == pool.name; });
  return found == planned.end() ? 1 : std::min(found->scale, kept->rollout.scale);
}

namespace {

// Whether the hosts on the release are the first of the plan, in their order, and none had to be replaced.
bool as_planned(const Rollout& rollout) {
  if (rollout.failed > 0) return false;
  bool gap = false;
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
    if (rollout.plan.hosts[host].role != Role::upgrade) continue;
    if (gap && rollout.hosts[host].swapped) return false;
    gap = gap || !rollout.hosts[host].swapped;
  }
  return true;
}

}  // namespace

// By weight, beside what the pool carried before the rollout: what others take away is not held against us, and neither is
// what another host weighs that takes the place of a planned one.
void Checkers::never_exceeds_the_share_of_its_stage(const Kept& kept, std::size_t pool_index, std::size_t index, const Setting& before) {
  const auto& rollout = kept.rollout;
  const auto& pool = world_.pools[pool_index];
  const auto& changed = pool.members[index];
  auto carried_before = before.pooled == Pooled::yes ? before.weight : 0;
  const auto& release = rollout.request.release.digest;
  auto share = std::max(rollout.current_stage().asked.fraction(), rollout.current_stage().achievable);
  if (!rollout.rolling() || !pool.capabilities.weights_steer) return;
  if (share >= 1) return;  // that nobody gets more than it had is seen elsewhere
  if (changed.carries() <= carried_before || world_.hosts[changed.host].current != release) return;
  // Where others hold all of the share, one canary is given the least that there is, to be judged at all.
  if (changed.carries() <= pool.capabilities.smallest_weight() || !as_planned(rollout)) return;
  if (kept.weights_adopted) return;
  std::int64_t canary = 0;
  std::int64_t least = 0;
  bool unasked = false;
  auto add = [&](HostIndex its) {
    const auto& host = rollout.plan.hosts[its];
    if (host.role != Role::upgrade) return;
    for (auto each = host.first_member; each < host.first_member + host.members; ++each) {
      const auto& planned = rollout.plan.members[each];
      if (!planned.serving() || kept.places[each].pool != pool_index || rollout.members[each].holder == Holder::theirs) continue;
      const auto& member = pool.members[kept.places[each].member];
      if (member.carries() == 0 || world_.hosts[member.host].current != release) continue;
      // One that could not be asked what it runs counts as one on its former release, whatever it is.
      unasked = unasked || (!host.asked && &member == &changed);
      if (!host.asked) continue;
      // What somebody else, or a restart, has just made it carry is not ours, known or not.
      const auto& wanted = rollout.members[each].wanted;
      auto given = wanted.pooled == Pooled::yes ? wanted.weight : 0;
      canary += &member == &changed ? member.carries() : std::min(member.carries(), given);
      ++least;
    }
  };
  for (auto host : rollout.moving) add(host);
  for (auto host : rollout.upgraded) {
    if (!is_moving(rollout.hosts[host].phase)) add(host);
  }
  if (unasked) return;
  auto all = kept.usual[pool_index].weight * scale_of(&kept, pool);
  if (canary <= std::max(least, at_least(share * static_cast<double>(all)))) return;
  world_.violate("never_exceeds_the_share_of_its_stage",
                 who(pool, changed) + " at " + to_string(changed.setting) + " brings the canary to " + std::to_string(canary) + " of " +
                     std::to_string(all) + " in stage " + std::to_string(rollout.stage + 1) + ", of " + std::to_string(100 * share) + "%");
}

bool Checkers::seen_to_err(const Kept& kept, std::size_t host) {
  auto found = std::find(kept.hosts.begin(), kept.hosts.end(), host);
  return found != kept.hosts.end() && kept.rollout.hosts[static_cast<std::size_t>(found - kept.hosts.begin())].erring;
}

void Checkers::never_writes_to_a_closed_pool(const Kept& kept, std::size_t pool_index, std::size_t index, const Setting& before) {
  const auto& pool = world_.pools[pool_index];
  const auto& changed = pool.members[index];
  auto carried_before = before.pooled == Pooled::yes ? before.weight : 0;
  if (kept.rollout.phase == Phase::rolling_back && changed.carries() <= carried_before) return;
  auto now = world_.clock.steady();
  for (const auto& balancer : pool.balancers) {
    // One that could not tell has not been seen to be closed meanwhile.
    auto shown_since = std::max(balancer.closed_since, blind_until(balancer));
    bool known = !balancer.dead && now < balancer.closed_until && now - shown_since > world_.view_age();
    if (known)
      world_.violate("never_writes_to_a_closed_pool", who(pool, changed) + " from " + to_string(before) + " to " +
                                                          to_string(changed.setting) + ", and " + balancer.name + " is closed since " +
                                                          to_string(now - balancer.closed_since));
  }
}

// What can be known of how its host answers.
bool Checkers::seems_well(const Kept& kept, const Pool& pool, const Member& member) const {
  const auto& host = world_.hosts[member.host];
  // That it fails is known when it was counted for a while.
  auto unseen_until = std::max(host.running_since, pool.counters_stall_until) + world_.view_age() + 20s;
  if (world_.clock.steady() < unseen_until) return true;
  auto rate = world_.failure_rate(host);
  // Who flaps fails on and off: what is remembered of it says whether it errs.
  auto its_release = world_.releases.find(host.running);
  bool flaps = its_release != world_.releases.end() && its_release->second.kind == ReleaseKind::flapping;
  return rate <= may_err || ((rate < surely_errs || flaps) && !seen_to_err(kept, member.host));
}

void Checkers::never_undercuts_the_bounds(const Kept& kept, std::size_t pool_index, std::size_t index, const Setting& before) {
  const auto& pool = world_.pools[pool_index];
  const auto& changed = pool.members[index];
  auto carried_before = before.pooled == Pooled::yes ? before.weight : 0;
  // Who adds, or takes away what carries nothing, undercuts nothing.
  if (changed.carries() >= carried_before || !world_.hosts[changed.host].serves()) return;
  // Nor does who comes down from a scaled weight to what it was found with.
  if (changed.carries() >= changed.base.weight * scale_of(&kept, pool)) return;
  // Nor what only a restart has brought back: the others did without it before.
  if (changed.forgotten && changed.carries() >= (changed.forgotten->pooled == Pooled::yes ? changed.forgotten->weight : 0)) return;
  const auto& rollout = kept.rollout;
  const auto& strategy = rollout.plan.strategy;
  // What no load balancer told is not known, and a roll back does not wait for it.
  for (const auto& balancer : pool.balancers) {
    auto unseen_until = std::max(blind_until(balancer), balancer.slow_until);
    if (balancer.dead || world_.clock.steady() - unseen_until < world_.view_age()) return;
  }

  // What was down at the last look carries nothing as far as can be known, and may leave.
  for (const auto& balancer : pool.balancers) {
    const auto& applied = balancer.members[index];
    if (!applied.up || world_.clock.steady() - applied.checked <= world_.view_age()) return;
  }

  const auto& host = world_.hosts[changed.host];
  const auto& running = world_.releases.at(host.running);
  // What its counters say is all that can be known of it.
  bool erred = (may_have_lied(world_) && seen_to_err(kept, changed.host)) || world_.failure_rate(host) > may_err ||
               (running.kind == ReleaseKind::flapping && running.failure_rate > may_err);

  auto [normal, heaviest, serving] = kept.usual[pool_index];
  if (serving <= 1 && strategy.allow_downtime) return;
  auto scale = scale_of(&kept, pool);
  std::int64_t left = 0;
  std::int64_t left_well = 0;
  std::int64_t left_capacity = 0;
  std::int64_t left_serving = 0;
  for (const auto& member : pool.members) {
    auto weight = just_lost(world_, pool, member) ? member.setting.weight : carried(world_, member);
    if (weight == 0 || lost(world_, pool, member)) continue;
    left += weight;
    if (erred && seems_well(kept, pool, member)) left_well += weight;
    left_capacity += scale > 1 ? std::max(member.base.weight, member.configured.weight)
                               : std::max({weight, member.base.weight, member.configured.weight});
    ++left_serving;
  }
  auto usual = heaviest >= normal ? 2.0 : std::clamp(static_cast<double>(normal) / static_cast<double>(normal - heaviest), 1.25, 2.0);
  auto max_load = strategy.max_load.value_or(usual);
  bool back = rollout.phase == Phase::rolling_back;
  if (back) max_load = std::max(max_load, strategy.max_load_rollback);
  auto least = scale * at_least(static_cast<double>(normal) / max_load);
  auto floor = strategy.floor && !back ? at_least(static_cast<double>(normal) * strategy.floor->fraction()) : 0;
  auto threshold = static_cast<std::int64_t>(std::ceil(static_cast<double>(serving) * pool.capabilities.depool_threshold - 1e-9));
  // Who answers mostly with failures may leave while the others can carry it all, or do better than a condemned release.
  auto least_without = scale * at_least(static_cast<double>(normal) / std::max(max_load, strategy.max_load_rollback));
  bool spared = back && rollout.condemned ? left_well > 0 : left_well >= least_without;
  if (erred && spared) return;
  bool undercut = left < least || (changed.carries() == 0 && (left_capacity < floor || left_serving < threshold));
  if (!undercut) return;
  world_.violate("never_undercuts_the_bounds", who(pool, changed) + " from " + to_string(before) + " to " + to_string(changed.setting) +
                                                   " leaves weight " + std::to_string(left) + " (least " + std::to_string(least) +
                                                   "), capacity " + std::to_string(left_capacity) + " (floor " + std::to_string(floor) +
                                                   ") of " + std::to_string(normal) + " and " + std::to_string(left_serving) + " of " +
                                                   std::to_string(serving) + " hosts (threshold " + std::to_string(threshold) + ")");
}

void Checkers::swaps(std::size_t host, const std::string& digest, const std::string& job) {
  auto rollout = rollouts.find(job.substr(0, job.rfind('-')));
  if (rollout == rollouts.end()) return world_.violate("never_acts_before_it_has_saved", "job " + job + " belongs to no saved rollout");
  if (world_.first_swap == Steady{} && digest == world_.wanted) {
    world_.serve_traffic();
    world_.first_swap = world_.clock.steady();
    world_.failed_before_us = world_.failed_by_release;
  }
  never_swaps_a_host_in_traffic(rollout->second, host);
  never_swaps_an_undrained_host(rollout->second, host);
  never_swaps_twice(rollout->second, host, digest, job);
}

void Checkers::never_swaps_a_host_in_traffic(const Kept& kept, std::size_t host) {
  for (auto [pool_index, member] : world_.hosts[host].members) {
    const auto& pool = world_.pools[pool_index];
    for (const auto& balancer : pool.balancers) {
      auto flowed_for = world_.clock.steady() - balancer.members[member].since;
      // On the way back the host itself is asked where a load balancer cannot tell; one that has no connections just now is proof enough.
      bool cannot_tell = world_.clock.steady() < blind_until(balancer) && kept.rollout.phase == Phase::rolling_back;
      if (!pool.flows(balancer, member) || flowed_for <= world_.view_age() || cannot_tell) continue;
      world_.violate("never_swaps_a_host_in_traffic",
                     world_.hosts[host].name + " takes traffic from " + balancer.name + " since " + to_string(flowed_for));
    }
  }
}

void Checkers::never_swaps_an_undrained_host(const Kept& kept, std::size_t host) {
  const auto& rollout = kept.rollout;
  if (rollout.plan.strategy.on_drain_limit == DrainDeadline::go_on || rollout.phase == Phase::rolling_back) return;
  for (auto [pool, member] : world_.hosts[host].members) {
    for (const auto& balancer : world_.pools[pool].balancers) {
      const auto& applied = balancer.members[member];
      // Where others gave it traffic a moment ago, what it still answers is theirs.
      auto meddled_at = std::max(world_.pools[pool].members[member].others_at, balancer.restarted_at);
      // How long it was waited for is known by a clock that may have jumped while nobody ran.
      if (world_.faults.ever_hit(Fault::clock_jumps)) continue;
      bool by_others = meddled_at != Steady{} && world_.clock.steady() - meddled_at <= world_.view_age();
      if (balancer.dead || by_others || applied.drains_at <= world_.clock.steady()) continue;
      world_.violate("never_swaps_an_undrained_host", world_.hosts[host].name + " still answers requests of " + balancer.name);
    }
  }
}

void Checkers::never_swaps_twice(Kept& kept, std::size_t host, const std::string& digest, const std::string& job) {
  auto last = kept.swapped.find(host);
  bool again = last != kept.swapped.end() && last->second == digest && !kept.handed_back.contains(host);
  kept.swapped[host] = digest;
  kept.handed_back.erase(host);
  if (again) world_.violate("never_swaps_twice", world_.hosts[host].name + " is swapped to " + digest + " again, by " + job);
}

void Checkers::saved(const std::string& id, const std::vector<std::string>& texts) {
  auto& kept = rollouts[id];
  for (const auto& text : texts) {
    ++records;
    record_bytes += text.size();
    if (world_.tracing) world_.say("record", text.substr(0, 300));
    auto record = kept.codec.decode(text);
    if (!record) return world_.violate("every_record_can_be_read_back", text + ": " + record.error().what);
    apply_fact(kept, *record);
  }
}

void Checkers::apply_fact(Kept& kept, const Record& record) {
  auto& rollout = kept.rollout;
  auto phase = rollout.phase;
  auto stage = rollout.stage;
  if (const auto* moved = std::get_if<HostMoved>(&record.fact)) {
    ++transitions.hosts[static_cast<std::size_t>(rollout.hosts[moved->host].phase)][static_cast<std::size_t>(moved->phase)];
  }
  if (const auto* passed = std::get_if<StagePassed>(&record.fact); passed != nullptr) {
    never_passes_a_stage_blindly(kept);
    never_passes_a_stage_at_another_share(kept);
    bool watched = rollout.current_stage().judged && rollout.current_stage().bake >= 20s;
    if (watched) kept.judged_served += served_by_its_release(kept) - kept.stage_served;
  }
  if (std::holds_alternative<RollingBack>(record.fact)) kept.doubted = rollout.held.find("speaks against the release") != std::string::npos;
  shiftd::apply(rollout, record);
  kept.rolled_back = kept.rolled_back || rollout.phase == Phase::rolling_back;
  if (std::holds_alternative<Planned>(record.fact)) note_plan(kept);
  if (phase != rollout.phase) ++transitions.rollouts[static_cast<std::size_t>(phase)][static_cast<std::size_t>(rollout.phase)];
  if (const auto* returned = std::get_if<MemberReturned>(&record.fact)) {
    auto [pool, index] = kept.places[returned->member];
    auto& member = world_.pools[pool].members[index];
    kept.handed_back.insert(member.host);
    kept.some_handed_back = true;
    kept.weights_adopted = kept.weights_adopted || rollout.members[returned->member].original.setting.weight !=
                                                       rollout.plan.members[returned->member].original.setting.weight;
    // What was adopted is how it is; but what somebody has changed since, and nobody has seen yet, is theirs as before.
    const auto& adopted = rollout.members[returned->member].known.setting;
    if (returned->adopted && member.setting != adopted) {
      if (member.before) member.before = adopted;
      return;
    }
    member.theirs = false;
    // Taken back: as it was, all of it.
    if (!returned->adopted && member.before) member.base = *member.before;
    member.before.reset();
  }
  // A stage that is begun again goes on counting.
  if (rollout.stage != stage) kept.stage_served = world_.releases.at(rollout.request.release.digest).counted;
  if (!std::holds_alternative<Ended>(record.fact)) return;
  every_end_says_why(kept);
  every_member_is_accounted_for(kept);
  leaves_nobody_at_a_lowered_weight(kept);
  every_host_is_on_a_known_release(kept);
  a_good_release_in_a_calm_world_succeeds(kept);
  a_bad_release_does_not_succeed(kept);
  a_bad_release_in_a_calm_world_is_condemned(kept);
  a_bad_release_harms_fewer_users_than_without_us(kept);
}

void Checkers::note_plan(Kept& kept) {
  const auto& plan = kept.rollout.plan;
  auto has_it = [&](const Host& host) { return host.current == kept.rollout.request.release.digest; };
  kept.some_had_it = std::any_of(world_.hosts.begin(), world_.hosts.end(), has_it);
  kept.usual.resize(world_.pools.size());
  for (const auto& planned : plan.hosts) kept.hosts.push_back(world_.find_host(planned.name));
  for (const auto& planned : plan.members) {
    std::size_t pool = 0;
    while (world_.pools[pool].name != plan.pools[planned.pool].name) ++pool;
    kept.places.push_back({pool, world_.pools[pool].find(planned.name)});
    auto& member = world_.pools[pool].members[kept.places.back().member];
    // What others had made of it before is how it was found.
    if (member.setting == (planned.found ? planned.found->setting : planned.original.setting)) {
      member.theirs = false;
      member.before.reset();
    }
    if (!planned.serving()) continue;
    auto& usual = kept.usual[pool];
    usual.weight += planned.original.setting.weight;
    usual.heaviest = std::max<std::int64_t>(usual.heaviest, planned.original.setting.weight);
    ++usual.serving;
  }
}

double Checkers::served_by_its_release(const Kept& kept) const { return world_.releases.at(kept.rollout.request.release.digest).served; }

void Checkers::never_passes_a_stage_blindly(const Kept& kept) {
  const auto& rollout = kept.rollout;
  if (!rollout.current_stage().judged) return;
  world_.serve_traffic();
  auto served = served_by_its_release(kept) - kept.stage_served;
  // Of each member a part of a request may have been served before.
  auto counted = served + 1 + static_cast<double>(world_.pools.size() * rollout.upgraded.size());
  // A host that has lost its power may have come back on something else in a moment when nobody looked.
  auto came_back = [&](HostIndex host) { return world_.hosts[kept.hosts[host]].lost_power; };
  bool swapped_back = std::any_of(rollout.upgraded.begin(), rollout.upgraded.end(), came_back);
  bool enough = counted >= rollout.plan.strategy.min_requests || may_have_lied(world_) || swapped_back;
  if (!enough)
    world_.violate("never_passes_a_stage_blindly",
                   "stage " + std::to_string(rollout.stage + 1) + " passes on " + std::to_string(served) + " requests of the canary");
  for (const auto& pool : world_.pools) {
    auto now = world_.clock.steady();
    if (pool.counters_stall_until > now && now - pool.counters_stalled_at > world_.pace.counts + world_.view_age())
      world_.violate("never_passes_a_stage_blindly", pool.name + " has not counted since " + to_string(now - pool.counters_stalled_at));
  }
}

// By what was decided: what the load balancers make of it is waited for elsewhere. never_exceeds_the_share_of_its_stage sees our writes;
// this also what a restart or another hand has made of a member, and we have not lowered again.
void Checkers::never_passes_a_stage_at_another_share(const Kept& kept) {
  const auto& rollout = kept.rollout;
  for (MemberIndex index = 0; index < rollout.members.size(); ++index) {
    const auto& planned = rollout.plan.members[index];
    const auto& member = rollout.members[index];
    bool ours = member.holder == Holder::ours && rollout.upgraded.contains(planned.host) && member.wanted.pooled == Pooled::yes;
    if (member.original.setting.weight != planned.original.setting.weight) continue;  // as somebody has left it since
    auto gives = stage_weight(rollout.plan, rollout.current_stage(), planned);
    // Those who were taken with the release on them, or came back with it, have a part of the share.
    bool shares = kept.some_handed_back || !rollout.lost_canaries.empty();
    bool makes_room = member.wanted.weight < gives && shares;
    if (!ours || member.wanted.weight == gives || makes_room) continue;
    world_.violate("never_passes_a_stage_at_another_share", "stage " + std::to_string(rollout.stage + 1) + " gives " +
                                                                rollout.plan.hosts[planned.host].name + " " + std::to_string(gives) +
                                                                " of its " + std::to_string(member.wanted.weight) + ", and passes");
  }
}

bool Checkers::named(const Kept& kept, const std::string& host) const {
  const auto& reason = kept.rollout.reason;
  return reason.find(host) != std::string::npos || reason.find(" more") != std::string::npos;
}

void Checkers::every_end_says_why(const Kept& kept) {
  if (kept.rollout.reason.empty()) world_.violate("every_end_says_why", "it ended without a word");
}

void Checkers::every_member_is_accounted_for(const Kept& kept) {
  const auto& rollout = kept.rollout;
  for (MemberIndex index = 0; index < rollout.members.size(); ++index) {
    const auto& planned = rollout.plan.members[index];
    const auto& state = rollout.members[index];
    const auto& name = rollout.plan.hosts[planned.host].name;
    bool others = state.holder == Holder::theirs && rollout.plan.hosts[planned.host].role != Role::upgrade;
    if (state.holder == Holder::untouched || others) continue;
    const auto& pool = world_.pools[kept.places[index].pool];
    const auto& member = pool.members[kept.places[index].member];
    auto now = world_.clock.steady();
    // While the journal takes nothing, what is known is not decided on.
    bool while_full = member.others_at >= world_.disk_full_since && now - world_.disk_full_until <= world_.view_age();
    bool just_changed = now - member.others_at <= world_.view_age() || while_full;
    bool silent = rollout.reason.find(pool.name + " did not answer") != std::string::npos;
    if (member.setting == state.original.setting || just_changed || silent || named(kept, name)) continue;
    world_.violate("every_member_is_accounted_for", who(pool, member) + " ends as " + to_string(member.setting) + ", was " +
                                                        to_string(state.original.setting) + ", and is not named in: " + rollout.reason);
  }
}

// That the reason names it is no excuse: it can be raised, also when its pool was closed as the rollout was aborted. Only where a roll
// back was aborted, the others keep what they carry.
void Checkers::leaves_nobody_at_a_lowered_weight(const Kept& kept) {
  const auto& rollout = kept.rollout;
  if (kept.rolled_back) return;
  for (MemberIndex index = 0; index < rollout.members.size(); ++index) {
    const auto& member = rollout.members[index];
    const auto& planned = rollout.plan.members[index];
    bool serves = rollout.hosts[planned.host].phase == HostPhase::serving_new && member.wanted.pooled == Pooled::yes;
    if (!serves || member.holder != Holder::ours || member.wanted.weight == member.original.setting.weight) continue;
    world_.violate("leaves_nobody_at_a_lowered_weight", rollout.plan.hosts[planned.host].name + " ends with " +
                                                            std::to_string(member.wanted.weight) + " of its " +
                                                            std::to_string(member.original.setting.weight));
  }
}

void Checkers::every_host_is_on_a_known_release(const Kept& kept) {
  const auto& rollout = kept.rollout;
  if (rollout.outcome == Outcome::aborted) return;
  for (HostIndex index = 0; index < rollout.plan.hosts.size(); ++index) {
    const auto& planned = rollout.plan.hosts[index];
    const auto& host = world_.hosts[kept.hosts[index]];
    auto wanted = rollout.outcome == Outcome::succeeded ? rollout.request.release.digest : planned.digest;
    if (planned.role != Role::upgrade || planned.digest.empty() || host.current == wanted || host.lost_power) continue;
    if (named(kept, planned.name)) continue;
    world_.violate("every_host_is_on_a_known_release",
                   host.name + " is on " + host.current + ", not " + wanted + ", and is not named in: " + rollout.reason);
  }
}

bool Checkers::calm() const {
  return std::all_of(world_.faults.hits.begin(), world_.faults.hits.end(), [](auto hits) { return hits == 0; });
}

void Checkers::a_good_release_in_a_calm_world_succeeds(const Kept& kept) {
  const auto& rollout = kept.rollout;
  bool good = world_.releases.at(rollout.request.release.digest).kind == ReleaseKind::good;
  // The verdict may err: how often is checked over all seeds.
  // Where a missing proof or a doubt holds it, people take it back in the end.
  bool waits = world_.verdict.at_max_bake == AtMaxBake::hold || kept.doubted;
  // Hosts that do not become idle at their least weight are given back: the plan says so.
  auto drains = [&](const PlannedMember& member) { return kept_while_leaving(rollout.plan, member) < drains_badly; };
  bool all_drain = std::all_of(rollout.plan.members.begin(), rollout.plan.members.end(), drains);
  if (!all_drain && rollout.reason.find("await_idle") != std::string::npos) return;
  if (!good || !calm() || waits || rollout.outcome == Outcome::succeeded || rollout.condemned) return;
  world_.violate("a_good_release_in_a_calm_world_succeeds", std::string(to_string(rollout.outcome)) + ": " + rollout.reason);
}

// Blatantly bad, and seen by the users of a judged stage; or such that its own checks say so.
void Checkers::a_bad_release_does_not_succeed(const Kept& kept) {
  const auto& rollout = kept.rollout;
  const auto& release = world_.releases.at(rollout.request.release.digest);
  bool upgraded =
      std::any_of(rollout.plan.hosts.begin(), rollout.plan.hosts.end(), [](const PlannedHost& host) { return host.role == Role::upgrade; });
  if (rollout.outcome != Outcome::succeeded || !upgraded) return;
  bool fails = release.kind == ReleaseKind::does_not_start ||
               (release.kind == ReleaseKind::fails_checks && !world_.faults.ever_hit(Fault::check_lies));
  bool errs = release.kind == ReleaseKind::bad && release.failure_rate >= 0.3 && kept.judged_served >= 1'000 && !may_have_lied(world_);
  if (fails || errs)
    world_.violate("a_bad_release_does_not_succeed", "it " + std::string(to_string(release.kind)) + ", with " +
                                                         std::to_string(100 * release.failure_rate) + "% failures, and judged stages saw " +
                                                         std::to_string(kept.judged_served) + " requests to it");
}

// Where nothing is in its way, the verdict itself takes back what fails so often, long before people lose their patience.
void Checkers::a_bad_release_in_a_calm_world_is_condemned(const Kept& kept) {
  const auto& rollout = kept.rollout;
  const auto& release = world_.releases.at(rollout.request.release.digest);
  if (!calm() || release.kind != ReleaseKind::bad || release.failure_rate < 0.3 || rollout.condemned) return;
  world_.serve_traffic();
  auto served = served_by_its_release(kept) - kept.stage_served;
  if (!rollout.current_stage().judged || rollout.current_stage().bake < 20s || served < 2'000) return;
  world_.violate("a_bad_release_in_a_calm_world_is_condemned", std::to_string(100 * release.failure_rate) + "% of its requests fail, and " +
                                                                   std::to_string(served) + " of them in stage " +
                                                                   std::to_string(rollout.stage + 1) + " did not condemn it");
}

// Without us every host would have had it at the first swap, for as long as it took us to take it back.
void Checkers::a_bad_release_harms_fewer_users_than_without_us(const Kept& kept) {
  const auto& rollout = kept.rollout;
  auto kind = world_.releases.at(rollout.request.release.digest).kind;
  bool errs = kind == ReleaseKind::bad || kind == ReleaseKind::slowly_bad;
  bool first = rollout.request.release.digest == world_.wanted && world_.first_swap != Steady{};
  // Who puts a host of the release into traffic by hand, or takes the others out, has sent the users there; as has a HAProxy that
  // has forgotten its weights.
  auto hit = [&](Fault fault) { return world_.faults.ever_hit(fault); };
  bool by_others = hit(Fault::person_depools) || hit(Fault::person_repools) || hit(Fault::person_changes_weight) ||
                   hit(Fault::balancer_restarts) || hit(Fault::balancer_dies);
  if (!errs || !rollout.condemned || !first || kept.some_had_it || by_others) return;
  world_.serve_traffic();
  double reached = 0;
  for (StageIndex stage = 0; stage <= rollout.stage; ++stage) reached = std::max(reached, rollout.plan.stages[stage].achievable);
  // Who has vanished leaves the canary a greater part, and may leave too few to take it out; who is out a little more of it.
  double all = 0;
  double left = 0;
  for (const auto& planned : rollout.plan.members) {
    if (!planned.serving()) continue;
    all += planned.original.setting.weight;
    if (!world_.hosts[kept.hosts[planned.host]].lost_power) left += planned.original.setting.weight;
  }
  if (left < all && hit(Fault::host_vanishes)) reached = left > 0 ? reached * all / left : 1;
  auto allowed = world_.failed_without_us * std::min(1.0, 0.1 + 2 * reached) + 50;
  // Where a load balancer does not take up its weight, the harm that a service allows is all that bounds it,
  // and what fails until the next count; where it sets no limit, only that we have to be of use.
  auto harm_limit = static_cast<double>(world_.verdict.harm_limit);
  if (hit(Fault::weight_ignored)) allowed = std::max(allowed, harm_limit > 0 ? 2 * harm_limit : world_.failed_without_us);
  auto failed = world_.failed_by_release - world_.failed_before_us;
  if (failed <= allowed) return;
  world_.violate("a_bad_release_harms_fewer_users_than_without_us",
                 std::to_string(failed) + " requests failed on it, which reached " + std::to_string(100 * reached) +
                     "%; without us it would have been " + std::to_string(world_.failed_without_us));
}

void Checkers::a_roll_back_is_always_accepted(const std::string& id, const Result<void>& answer) {
  const auto& rollout = rollouts[id].rollout;
  bool goes_back = rollout.phase == Phase::rolling_back || rollout.phase == Phase::ended || rollout.phase == Phase::quarantined;
  bool may_refuse = !answer && (answer.error().code == Errc::unavailable || rollout.phase == Phase::queued);
  if (goes_back || may_refuse) return;
  world_.violate("a_roll_back_is_always_accepted", id + " is " + std::string(to_string(rollout.phase)) +
                                                       ", and a person was told: " + (answer ? "done" : answer.error().what));
}

Checkers::Kept* Checkers::acting() {
  for (auto& [id, kept] : rollouts) {
    if (kept.rollout.active()) return &kept;
  }
  return nullptr;
}

bool Checkers::all_ended() const {
  return std::all_of(rollouts.begin(), rollouts.end(), [](const auto& kept) { return kept.second.rollout.phase == Phase::ended; });
}

void Checkers::at_most_one_rollout_acts() {
  int acts = 0;
  for (const auto& [id, kept] : rollouts) acts += kept.rollout.active() || kept.rollout.phase == Phase::quarantined ? 1 : 0;
  if (acts > 1) world_.violate("at_most_one_rollout_acts", std::to_string(acts) + " rollouts act on the same pools");
}

void Checkers::the_fold_equals_the_live_state(const Rollout& live) {
  auto found = rollouts.find(live.request.rollout);
  if (found == rollouts.end() || found->second.rollout.records != live.records || found->second.rollout == live) return;
  world_.violate("the_fold_equals_the_live_state", "after record " + std::to_string(live.records) + " of " + live.request.rollout);
}

}  // namespace shiftd::simulator
