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
  auto smallest = capabilities.smallest_weight();
  bool all = stage.asked.fraction() >= 1;  // also what a person has made of one and handed back, be it more than was planned
  auto weight = all ? original : stage_weight(rollout_.plan, stage, planned_member);
  if (!capabilities.weights_steer) return std::min(weight, original);
  if (least) weight = std::min(weight, smallest);
  bool too_many = rollout_.serving_new() + rollout_.in_flight() > stage.hosts;  // who was taken and comes back, beside its substitute
  if (!all && (too_many || !rollout_.lost_canaries.empty()))
    weight = static_cast<int>(std::clamp<std::int64_t>(room(index, stage), smallest, std::max(smallest, weight)));
  return std::min(weight, original);
}

// What the stage's share leaves to the member when all others that serve the release have what the stage gives them, and those that
// were taken keep what we gave them.
std::int64_t Deciding::room(MemberIndex index, const PlannedStage& stage) const {
  auto pool = rollout_.plan.members[index].pool;
  auto share = std::max(stage.asked.fraction(), stage.achievable);
  auto allowed = share * static_cast<double>(rollout_.plan.pools[pool].weight * scale_of(rollout_, pool));
  return static_cast<std::int64_t>(std::floor(allowed + 1e-9)) - claims(pool, stage) + claim(index, stage);
}

// What the member has of the stage's share, or gets of it.
std::int64_t Deciding::claim(MemberIndex index, const PlannedStage& stage) const {
  const auto& planned_member = rollout_.plan.members[index];
  const auto& member = rollout_.members[index];
  if (!takes_part(member)) return 0;
  auto phase = state(planned_member.host).phase;
  if (is_leaving_canary(planned_member.host)) return member.wanted.weight;
  if (member.wanted.pooled != Pooled::yes) return 0;
  bool as_it_is = planned(planned_member.host).role == Role::already_there || rollout_.lost_canaries.contains(planned_member.host);
  if (as_it_is) return member.wanted.weight;
  bool serves_it = phase == HostPhase::serving_new || phase == HostPhase::joining;
  return serves_it ? stage_weight(rollout_.plan, stage, planned_member) : 0;
}

std::int64_t Deciding::claims(PoolIndex pool, const PlannedStage& stage) const {
  std::int64_t all = 0;
  for (MemberIndex index = 0; index < rollout_.members.size(); ++index) {
    if (rollout_.plan.members[index].pool == pool) all += claim(index, stage);
  }
  return all;
}

// Handed back with the release on it, and still in its pools.
bool Deciding::is_leaving_canary(HostIndex host) const {
  return state(host).phase == HostPhase::depooling && rollout_.lost_canaries.contains(host);
}

bool Deciding::canary_leaves() const {
  return std::any_of(rollout_.lost_canaries.begin(), rollout_.lost_canaries.end(), [&](HostIndex host) { return is_leaving_canary(host); });
}

// Whether others that serve the release have less than their stage gives them, to leave room for those who were taken.
bool Deciding::below_their_stage() const {
  return std::any_of(rollout_.upgraded.begin(), rollout_.upgraded.end(), [&](HostIndex host) {
    return any_member(rollout_, host, [&](MemberIndex index) {
      const auto& member = rollout_.members[index];
      bool serves = takes_part(member) && member.wanted.pooled == Pooled::yes;
      return serves && member.wanted.weight < stage_weight(rollout_.plan, rollout_.current_stage(), rollout_.plan.members[index]);
    });
  });
}

// The canary weights of a stage, for every host that serves the release. What is lowered goes to the others, so it is
// lowered only as far as they can carry it; the rest is due when they can.
void Deciding::set_weights(const PlannedStage& stage, bool least) {
  std::vector<std::int64_t> spare;
  for (PoolIndex pool = 0; pool < rollout_.flows.size(); ++pool) {
    auto least_flow = scale_of(rollout_, pool) * rollout_.plan.pools[pool].least_flow;
    spare.push_back(std::max<std::int64_t>(0, rollout_.flows[pool].well() - least_flow));
  }
  bool waits = false;
  bool frees_some = canary_leaves();
  for (auto host : rollout_.upgraded) {
    each_member(rollout_, host, [&](MemberIndex index) {
      const auto& member = rollout_.members[index];
      if (!takes_part(member) || member.wanted.pooled != Pooled::yes) return;
      auto weight = canary_weight(index, stage, least);
      // Nobody makes room for one that is about to be gone.
      if (frees_some && !least) weight = std::max(weight, std::min(member.wanted.weight, home_weight(rollout_, index, rollout_.scale)));
      auto pool = rollout_.plan.members[index].pool;
      bool missed = !member.down && !(state(host).erring && spared(rollout_, pool, rollout_.flows[pool]));
      if (weight < member.wanted.weight && missed) {
        auto& left = spare[pool];
        auto lower = std::min<std::int64_t>(member.wanted.weight - weight, left);
        left -= lower;
        weight = member.wanted.weight - static_cast<int>(lower);
        waits = waits || weight > stage_weight(rollout_.plan, stage, rollout_.plan.members[index]);
      }
      waits = waits || (frees_some && weight < stage_weight(rollout_.plan, stage, rollout_.plan.members[index]));
      if (weight == member.wanted.weight) return;
      if (rollout_.closed.contains(pool)) return void(waits = true);
      want(index, Setting{Pooled::yes, weight});
    });
  }
  if (waits != rollout_.weights_due) say(WeightsDue{waits});
}

// What could not be written while a pool was closed, a canary on its way out, or the others could not carry it. The stage is not
// reached before.
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
  if (enters && !member.down) say(MemberHealth{index, true, "put into traffic by someone else, and not seen up yet"});
}

void Deciding::leave_alone(MemberIndex index, const Observed& observed, const std::string& how) {
  auto host = rollout_.plan.members[index].host;
  // On its former release it may serve in its other pools as it was found.
  each_member(rollout_, host, [&](MemberIndex other) {
    const auto& held = rollout_.members[other];
    if (planned(host).returning) return;
    if (other != index && !state(host).swapped && held.holder == Holder::ours && (!held.verbatim || !held.confirmed)) want_original(other);
  });
  move(host, HostPhase::left,
       how + " in " + rollout_.plan.pools[rollout_.plan.members[index].pool].name + ": " + to_string(observed.setting) + ", we knew " +
           to_string(rollout_.members[index].known.setting) + (state(host).swapped ? "; the release is on it" : ""));
}

namespace {

// Whether a write of which nothing was heard may have made it so.
bool ours_landed_late(const MemberState& member, const Observed& observed) {
  return std::find(member.unsettled.begin(), member.unsettled.end(), observed.setting) != member.unsettled.end();
}

}  // namespace

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
  // Somebody was faster, and wanted it out as well (decision 0005).
  bool out = member.wanted.pooled != Pooled::yes && member.known.setting != member.wanted;
  if (event.by_another && event.effect == member.effect && out && !ours_landed_late(member, event.observed) && rollout_.active())
    return taken(event.member, event.observed, "taken out by someone else, too,");
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
    if (observed != member.known || refused) say(MemberSet{event.member, event.effect, observed});
    return;
  }
  if (ours_landed_late(member, observed)) {
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
        // What a person had raised and handed back is not raised again.
        auto setting = member.wanted;
        if (setting.pooled == Pooled::yes) setting.weight = std::min(setting.weight, home_weight(rollout_, index, rollout_.scale));
        want(index, setting);
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
