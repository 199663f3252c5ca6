// What the pool stores say of members: written, changed by somebody else, forgotten.

#include "daemon/engine/deciding.hpp"

namespace shiftd {

void Deciding::want(MemberIndex index, Setting setting) {
  const auto& original = rollout_.members[index].original;
  MemberWanted wanted;
  wanted.member = index;
  wanted.setting = setting;
  wanted.verbatim = setting == original.setting;
  wanted.effect = next_effect_++;
  say(wanted);
}

void Deciding::want_original(MemberIndex index) { want(index, rollout_.members[index].original.setting); }

void Deciding::reassert(MemberIndex index) { want(index, rollout_.members[index].wanted); }

// The canary weights of a stage, for every host that serves the release.
void Deciding::set_weights(const PlannedStage& stage, bool least) {
  for (auto host : rollout_.upgraded) {
    each_member(rollout_, host, [&](MemberIndex index) {
      const auto& member = rollout_.members[index];
      if (!serves(member) || member.holder == Holder::theirs || member.wanted.pooled != Pooled::yes) return;
      const auto& planned_member = rollout_.plan.members[index];
      auto least_weight = std::min(rollout_.plan.pools[planned_member.pool].capabilities.weight_least, member.original.setting.weight);
      auto weight = least ? least_weight : std::min(stage_weight(rollout_.plan, stage, planned_member), member.original.setting.weight);
      if (weight != member.wanted.weight) want(index, Setting{Pooled::yes, weight});
    });
  }
}

void Deciding::taken(MemberIndex index, const Observed& observed, const std::string& how) {
  auto host = rollout_.plan.members[index].host;
  const auto& member = rollout_.members[index];
  say(MemberTaken{index, observed});
  if (planned(host).role != Role::upgrade || state(host).phase == HostPhase::left) return;
  move(host, HostPhase::left,
       how + " in " + rollout_.plan.pools[rollout_.plan.members[index].pool].name + ": " + to_string(observed.setting) + ", we knew " +
           to_string(member.known.setting) + (state(host).swapped ? "; the release is on it" : ""));
}

void Deciding::operator()(const MemberWritten& event) {
  if (event.member >= rollout_.members.size() || rollout_.phase == Phase::ended) return;
  if (rollout_.members[event.member].holder == Holder::theirs) return;
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
    if (observed != member.known) say(MemberTaken{event.member, observed});
    return;
  }
  if (member.holder == Holder::ours && observed.setting == member.wanted) {
    // As we want it: an earlier attempt of ours that was thought lost, or the same by another's hand.
    if (observed != member.known || refused) say(MemberSet{event.member, event.effect, observed});
    return;
  }
  if (observed.setting == member.known.setting) {
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
  for (const auto& [index, observed] : event.members) {
    if (index >= rollout_.members.size()) continue;
    const auto& member = rollout_.members[index];
    if (member.holder == Holder::theirs) {
      if (observed != member.known) say(MemberTaken{index, observed});
    } else if (member.holder == Holder::ours) {
      if (observed.setting != member.wanted) {
        reassert(index);
      } else if (member.effect == 0) {
        say(MemberSet{index, 0, observed});
      }
    } else if (observed.setting != member.known.setting) {
      say(MemberTaken{index, observed});
      say(MemberReturned{index, true, rollout_.plan.pools.at(event.pool).name, "restarted with this setting"});
    }
  }
}

void Deciding::operator()(const SourceSilent& event) {
  if (!rollout_.active()) return;
  auto known = rollout_.lost.find(event.source);
  if (known == rollout_.lost.end()) say(SourceLost{event.source, event.why});
}

void Deciding::operator()(const SourceAnswers& event) {
  if (!rollout_.lost.contains(event.source)) return;
  say(SourceBack{event.source});
  if (event.source == "front end" && rollout_.shrunk && rollout_.rolling()) {
    say(Shrunk{false});
    // The stage begins again with its own weights; what was watched before the loss does not count.
    begin_stage(rollout_.stage);
  }
}

}  // namespace shiftd
