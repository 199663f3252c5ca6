// What the pool stores say of members: written, changed by somebody else, forgotten.

#include <algorithm>
#include <cmath>
#include <set>

#include "daemon/engine/deciding.hpp"

namespace shiftd {

void Deciding::want(MemberIndex index, Setting setting) { want(index, setting, rollout_.members[index].original); }

// `original`: what the member goes back to; where that is being changed by the same decision, what it will be.
void Deciding::want(MemberIndex index, Setting setting, const Observed& original) {
  MemberWanted wanted;
  wanted.member = index;
  wanted.setting = setting;
  wanted.verbatim = setting == original.setting;
  wanted.effect = next_effect_++;
  say(wanted);
}

// In a pool whose weights are scaled, its original weight means what it meant when it is scaled with the others.
void Deciding::want_original(MemberIndex index) {
  const auto& member = rollout_.members[index];
  auto setting = member.original.setting;
  if (serves(member)) setting.weight = home_weight(rollout_, index, rollout_.scale);
  want(index, setting);
}

void Deciding::reassert(MemberIndex index) { want(index, rollout_.members[index].wanted); }

// Of a member that serves the release. `least`: as small as it can be made.
int Deciding::canary_weight(MemberIndex index, const PlannedStage& stage, bool least) const {
  auto original = home_weight(rollout_, index, rollout_.scale);
  if (rollout_.phase == Phase::aborting) return original;  // an aborted rollout ends with everybody at full weight
  const auto& planned_member = rollout_.plan.members[index];
  const auto& capabilities = rollout_.plan.pools[planned_member.pool].capabilities;
  auto weight = stage_weight(rollout_.plan, stage, planned_member);
  if (!capabilities.weights_steer) return std::min(weight, original);
  auto smallest = capabilities.smallest_weight();
  if (least) weight = std::min(weight, smallest);
  if (!rollout_.lost_canaries.empty())
    weight = std::min(weight, std::max(smallest, room_beside_lost_canaries(planned_member.pool, planned_member.host, stage)));
  return std::min(weight, original);
}

// What the stage's share leaves to the host when all others that serve the release have what the stage gives them, and those that
// were taken keep what we gave them.
int Deciding::room_beside_lost_canaries(PoolIndex pool, HostIndex host, const PlannedStage& stage) const {
  const auto& plan = rollout_.plan;
  auto share = std::max(stage.asked.fraction(), stage.achievable);
  auto room = static_cast<std::int64_t>(std::floor(share * static_cast<double>(plan.pools[pool].weight * scale_of(rollout_, pool)) + 1e-9));
  for (MemberIndex index = 0; index < rollout_.members.size(); ++index) {
    const auto& planned_member = plan.members[index];
    const auto& member = rollout_.members[index];
    if (planned_member.pool != pool || planned_member.host == host || !takes_part(member) || member.wanted.pooled != Pooled::yes) continue;
    auto phase = state(planned_member.host).phase;
    if (planned(planned_member.host).role == Role::already_there || rollout_.lost_canaries.contains(planned_member.host)) {
      room -= member.wanted.weight;
    } else if (phase == HostPhase::serving_new || phase == HostPhase::joining) {
      room -= stage_weight(plan, stage, planned_member);
    }
  }
  return static_cast<int>(std::clamp<std::int64_t>(room, 0, plan.pools[pool].weight));
}

// The canary weights of a stage, for every host that serves the release. What is lowered goes to the others, so it is
// lowered only as far as they can carry it.
void Deciding::set_weights(const PlannedStage& stage, bool least) {
  std::vector<std::int64_t> spare;
  for (PoolIndex pool = 0; pool < rollout_.flows.size(); ++pool) {
    auto least_flow = scale_of(rollout_, pool) * rollout_.plan.pools[pool].least_flow;
    spare.push_back(std::max<std::int64_t>(0, rollout_.flows[pool].well() - least_flow));
  }
  bool waits = false;
  for (auto host : rollout_.upgraded) {
    each_member(rollout_, host, [&](MemberIndex index) {
      const auto& member = rollout_.members[index];
      if (!takes_part(member) || member.wanted.pooled != Pooled::yes) return;
      auto weight = canary_weight(index, stage, least);
      if (weight < member.wanted.weight && !member.down && !state(host).erring) {
        auto& left = spare[rollout_.plan.members[index].pool];
        auto lower = std::min<std::int64_t>(member.wanted.weight - weight, left);
        left -= lower;
        weight = member.wanted.weight - static_cast<int>(lower);
      }
      if (weight == member.wanted.weight) return;
      if (rollout_.closed.contains(rollout_.plan.members[index].pool)) return void(waits = true);
      want(index, Setting{Pooled::yes, weight});
    });
  }
  if (waits != rollout_.weights_due) say(WeightsDue{waits});
}

// What could not be written while a pool was closed. The stage is not reached before.
void Deciding::write_due_weights() {
  if (rollout_.rolling()) return set_weights(rollout_.current_stage(), rollout_.shrunk);
  if (rollout_.phase == Phase::aborting) return full_weights();
  say(WeightsDue{false});
}

// Another hand has set it, and with that left its host to people where that is the rollout's.
void Deciding::taken(MemberIndex index, const Observed& observed, const std::string& how) {
  auto host = rollout_.plan.members[index].host;
  const auto& member = rollout_.members[index];
  bool enters = present(member).pooled != Pooled::yes && observed.setting.pooled == Pooled::yes;
  say(MemberTaken{index, observed});
  if (planned(host).role == Role::upgrade && state(host).phase != HostPhase::left) leave_alone(index, observed, how);
  // Its service may not even run: who is put into traffic so is no capacity before the load balancers find it up.
  if (enters && serves(member) && !member.down) say(MemberHealth{index, true, "put into traffic by someone else, and not seen up yet"});
}

void Deciding::leave_alone(MemberIndex index, const Observed& observed, const std::string& how) {
  auto host = rollout_.plan.members[index].host;
  // On its former release it may serve in its other pools as it was found.
  each_member(rollout_, host, [&](MemberIndex other) {
    const auto& held = rollout_.members[other];
    if (other != index && !state(host).swapped && held.holder == Holder::ours && (!held.verbatim || !held.confirmed)) want_original(other);
  });
  move(host, HostPhase::left,
       how + " in " + rollout_.plan.pools[rollout_.plan.members[index].pool].name + ": " + to_string(observed.setting) + ", we knew " +
           to_string(rollout_.members[index].known.setting) + (state(host).swapped ? "; the release is on it" : ""));
}

void Deciding::operator()(const MemberWritten& event) {
  if (event.member >= rollout_.members.size() || rollout_.phase == Phase::ended) return;
  const auto& member = rollout_.members[event.member];
  if (member.holder == Holder::theirs) {
    // A write of ours that came before, or landed after, the other hand's: what the store holds is kept in mind.
    if (event.observed != member.known) taken(event.member, event.observed, "changed again by someone else");
    return;
  }
  bool as_asked = event.effect != member.effect || event.observed.setting == member.wanted;
  if (!as_asked && rollout_.active()) return taken(event.member, event.observed, "changed by someone else as it was written");
  say(MemberSet{event.member, event.effect, event.observed});
}

void Deciding::operator()(const MemberChanged& event) {
  if (event.member >= rollout_.members.size() || !rollout_.active()) return;
  const auto& member = rollout_.members[event.member];
  const auto& observed = event.observed;
  bool refused = event.effect != 0;
  if (refused && event.effect != member.effect) return;  // an older intent was refused; the newer one looks for itself
  if (!refused && member.effect != 0) return;            // our own write is under way, and will find what is there
  if (member.holder == Holder::theirs) {
    if (observed != member.known) taken(event.member, observed, "changed again by someone else");
    return;
  }
  // Somebody takes out what we hold out already (decision 0005): as it is, and theirs from now on.
  bool conditional = rollout_.plan.pools[rollout_.plan.members[event.member].pool].capabilities.conditional_writes;
  bool same_again = observed.bytes == member.known.bytes && observed.revision != member.known.revision;
  bool out = member.holder == Holder::ours && member.wanted.pooled != Pooled::yes && observed.setting == member.wanted;
  if (out && conditional && same_again && !refused) return taken(event.member, observed, "taken out by someone else, too,");
  if (member.holder == Holder::ours && observed.setting == member.wanted) {
    // As we want it: an earlier attempt of ours that was thought lost, or the same by another's hand.
    bool exact = !refused || !member.verbatim || member.original.bytes.empty() || observed.bytes == member.original.bytes;
    if (observed != member.known || refused) say(MemberSet{event.member, exact ? event.effect : 0, observed});
    if (!exact) reassert(event.member);
    return;
  }
  bool ours_landed_late = std::find(member.unsettled.begin(), member.unsettled.end(), observed.setting) != member.unsettled.end();
  if (ours_landed_late) {
    say(MemberSet{event.member, 0, observed});
    return reassert(event.member);
  }
  if (observed.setting == member.known.setting) {
    if (observed == member.known && !refused) return;
    if (member.holder == Holder::untouched) {
      // Something else about it was changed: that is how it is now, and what is written back.
      say(MemberTaken{event.member, observed});
      return say(MemberReturned{event.member, true, rollout_.plan.pools[rollout_.plan.members[event.member].pool].name, "same setting"});
    }
    // The same setting under a new revision: what we knew was stale, nothing was changed.
    say(MemberSet{event.member, 0, observed});
    if (refused) reassert(event.member);
    return;
  }
  taken(event.member, observed, "changed by someone else");
}

// A restart is not a person: what we hold is asserted again before anything else. Where we hold nothing, what the store
// says now is how the member is.
void Deciding::operator()(const StoreForgot& event) {
  if (!rollout_.active()) return;
  std::set<HostIndex> back_in_traffic;
  for (const auto& [index, observed] : event.members) {
    if (index >= rollout_.members.size()) continue;
    const auto& member = rollout_.members[index];
    if (member.holder == Holder::theirs) {
      if (observed != member.known) taken(index, observed, "changed again by someone else");
    } else if (member.holder == Holder::ours) {
      if (observed.setting != member.wanted) {
        say(MemberSet{index, 0, observed});  // the write is based on what the store holds now
        reassert(index);
        back_in_traffic.insert(rollout_.plan.members[index].host);
      } else if (member.effect == 0) {
        say(MemberSet{index, 0, observed});
      }
    } else if (observed.setting != member.known.setting) {
      say(MemberTaken{index, observed});
      say(MemberReturned{index, true, rollout_.plan.pools[rollout_.plan.members[index].pool].name, "restarted with this setting"});
      auto host = rollout_.plan.members[index].host;
      auto phase = state(host).phase;
      bool coming_back = phase == HostPhase::joining || phase == HostPhase::rejoining;
      if (in_traffic(phase) || coming_back || observed.setting.pooled != Pooled::yes) continue;
      // Found out of its pool, and in it now, in the middle of the host's swap.
      want(index, Setting{Pooled::no, std::max(observed.setting.weight, 1)}, observed);
      back_in_traffic.insert(host);
    }
  }
  for (auto host : back_in_traffic) {
    auto phase = state(host).phase;
    if (phase == HostPhase::draining || phase == HostPhase::emptying) wait_again(host);
  }
}

void Deciding::operator()(const SourceSilent& event) {
  if (!rollout_.active()) return;
  auto known = rollout_.lost.find(event.source);
  if (known == rollout_.lost.end()) say(SourceLost{event.source, event.why});
}

void Deciding::operator()(const PoolCloses& event) {
  if (!rollout_.active() || event.pool >= rollout_.plan.pools.size()) return;
  auto known = rollout_.closed.find(event.pool);
  if (known == rollout_.closed.end() || known->second != event.why) say(PoolClosed{event.pool, event.why});
}

void Deciding::operator()(const PoolOpens& event) {
  if (!rollout_.active() || !rollout_.closed.contains(event.pool)) return;
  say(PoolOpened{event.pool});
  hold("");  // what still holds it is found anew
}

void Deciding::operator()(const ThresholdSeen& event) {
  if (!rollout_.active() || event.pool >= rollout_.plan.pools.size() || rollout_.thresholds[event.pool] == event.threshold) return;
  say(ThresholdChanged{event.pool, event.threshold});
  hold("");  // what still holds it is found anew
}

void Deciding::operator()(const SourceAnswers& event) {
  if (!rollout_.active() || !rollout_.lost.contains(event.source)) return;
  say(SourceBack{event.source});
  hold("");  // what still holds it is found anew
  if (event.source == "front end" && rollout_.shrunk && rollout_.rolling()) {
    say(Shrunk{false});
    // The stage begins again with its own weights; what was watched before the loss does not count.
    begin_stage(rollout_.stage, false);
  }
}

}  // namespace shiftd
