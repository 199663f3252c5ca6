// How a host goes from one phase to the next: out of its pools, back into them, and back to its former release.

#include <algorithm>

#include "daemon/engine/deciding.hpp"

namespace shiftd {
namespace {

bool has_step(HostPhase phase) {
  switch (phase) {
    case HostPhase::preparing:
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::reverting:
    case HostPhase::reverifying: return true;
    default: return false;
  }
}

}  // namespace

void Deciding::move(HostIndex host, HostPhase phase, std::string why, bool failed, bool empty) {
  if (phase == HostPhase::reverting) {
    // Brought up again on the release that it has, it has no other to go back to.
    bool same = planned(host).digest == rollout_.request.release.digest;
    if (same || rollout_.request.release.irreversible) {
      phase = HostPhase::out;
      why += (why.empty() ? "" : "; ") + std::string(same ? "it had this release before" : "its release is irreversible");
    }
  }
  HostMoved moved;
  moved.host = host;
  moved.phase = phase;
  moved.effect = has_step(phase) ? next_effect_++ : 0;
  moved.failed = failed;
  moved.why = std::move(why);
  moved.empty = empty;
  say(std::move(moved));
}

// What is kept of a step that ended well is said by the move that it leads to.
void Deciding::move_on(const StepDone& done, HostPhase phase, const std::string& why) {
  HostMoved moved;
  moved.host = done.host;
  moved.phase = phase;
  moved.effect = has_step(phase) ? next_effect_++ : 0;
  moved.why = why;
  if (done.key != state(done.host).key) moved.key = done.key;
  moved.rendered = done.rendered;
  say(std::move(moved));
}

// Out of every pool that it serves in; `phase` is depooling, withdrawing or out.
void Deciding::depool(HostIndex host, HostPhase phase, std::string why, bool failed) {
  if (planned(host).members == 0 && phase != HostPhase::out) {
    // In no pool at all: nothing will ever be shown of it.
    return move(host, phase == HostPhase::depooling ? HostPhase::upgrading : HostPhase::reverting, std::move(why), failed);
  }
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    bool is_out = planned(host).returning && member.wanted.pooled == Pooled::no;
    if (takes_part(member) && !is_out) want(index, Setting{Pooled::no, std::max(member.wanted.weight, 1)});
    if (put_in_and_taken(member)) want(index, member.original.setting);
  });
  move(host, phase, std::move(why), failed);
}

// Found out of its pool, put in by a person, and ours again.
bool Deciding::put_in_and_taken(const MemberState& member) {
  return member.holder == Holder::ours && member.wanted.pooled == Pooled::yes && member.original.setting.pooled != Pooled::yes;
}

// Whether leaving its pool ends the member's established connections, and a lower weight keeps new ones away before.
bool Deciding::cuts_connections(MemberIndex index) const {
  const auto& member = rollout_.members[index];
  const auto& can = rollout_.plan.pools[rollout_.plan.members[index].pool].capabilities;
  bool in = (takes_part(member) && member.wanted.pooled == Pooled::yes) || put_in_and_taken(member);
  return can.cuts_connections && can.weights_steer && in;
}

bool Deciding::cuts_any(HostIndex host) const {
  return any_member(rollout_, host, [&](MemberIndex index) { return cuts_connections(index); });
}

bool Deciding::turned_round(HostIndex host) const {
  bool back = rollout_.phase == Phase::rolling_back || rollout_.phase == Phase::aborting;
  auto phase = state(host).phase;
  bool leaving = phase == HostPhase::quiescing || phase == HostPhase::depooling || phase == HostPhase::draining;
  return back && leaving && !state(host).swapped;
}

bool Deciding::may_leave(HostIndex host) const {
  return open(host) || (rollout_.phase == Phase::rolling_back && state(host).phase == HostPhase::requiescing);
}

// Forward, out of its pools: where that cuts connections, they are waited for first.
void Deciding::leave(HostIndex host) { cuts_any(host) ? quiesce(host, HostPhase::quiescing, {}) : depool(host, HostPhase::depooling); }

// The same on the way back. What harms or does not answer is not waited for.
void Deciding::leave_again(HostIndex host, const std::string& why) {
  bool waits = cuts_any(host) && !rollout_.condemned && !state(host).failed && !state(host).down;
  waits ? quiesce(host, HostPhase::requiescing, why) : depool(host, HostPhase::withdrawing, why);
}

// Down to the least weight: few new connections come, and those that are there may finish.
void Deciding::quiesce(HostIndex host, HostPhase phase, const std::string& why) {
  each_member(rollout_, host, [&](MemberIndex index) {
    auto least = rollout_.plan.pools[rollout_.plan.members[index].pool].capabilities.smallest_weight();
    if (cuts_connections(index) && rollout_.members[index].wanted.weight > least) want(index, Setting{Pooled::yes, least});
  });
  HostMoved moved;
  moved.host = host;
  moved.phase = phase;
  moved.why = why;
  say(std::move(moved));
}

void Deciding::join(HostIndex host) {
  bool serving = false;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    // Found out of its pool, and handed back to us as something else: as it was found.
    if (!serves(member) && member.holder == Holder::ours && !member.verbatim) want_original(index);
    if (!takes_part(member)) return;
    serving = true;
    want(index, Setting{Pooled::yes, canary_weight(index, rollout_.current_stage(), rollout_.shrunk)});
  });
  move(host, serving ? HostPhase::joining : HostPhase::serving_new);
}

// Its originals are written back; it is on the release that it was found on.
void Deciding::give_back(HostIndex host, std::string why, bool failed) {
  if (planned(host).returning) return leave_out(host, why, failed);
  auto phase = state(host).phase;
  if (state(host).swapped && (phase == HostPhase::depooling || phase == HostPhase::draining)) {
    // A person handed it back with the release on it: there is no way back into its pools but over its former release.
    return move(host, phase == HostPhase::depooling ? HostPhase::withdrawing : HostPhase::emptying, std::move(why), failed);
  }
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    if (member.holder == Holder::ours && (!member.verbatim || !member.confirmed)) want_original(index);
  });
  move(host, HostPhase::rejoining, why, failed);
  if (planned(host).members == 0) move(host, after_return(host, failed), std::move(why));
}

// It was found out of its pools, where an earlier rollout left it, and stays there with its former release.
void Deciding::leave_out(HostIndex host, const std::string& why, bool failed) {
  move(host, HostPhase::rejoining, why, failed);
  move(host, HostPhase::out, why.empty() ? "as it was found" : why);
}

// What was on its way out when the rollout turned round. Nothing more is done to it than to give it back.
void Deciding::give_back_when_open(HostIndex host) {
  if (open(host) || state(host).swapped) give_back(host);
}

// Given back, it is tried again only when it was not its own fault and the rollout still goes forward.
HostPhase Deciding::after_return(HostIndex host, bool failed) const {
  bool again = (rollout_.rolling() || rollout_.phase == Phase::finishing) && !failed && !state(host).failed;
  if (!again) return HostPhase::restored;
  return state(host).prepared ? HostPhase::ready : HostPhase::pooled_old;
}

// Back to the former release of a host that is out of its pools. When a store forgot that it is, it leaves them first, and is
// waited for.
void Deciding::undo(HostIndex host, std::string why, bool failed) {
  bool idle = state(host).unconfirmed == 0 && !state(host).put_back;
  move(host, idle ? HostPhase::reverting : HostPhase::withdrawing, std::move(why), failed);
}

}  // namespace shiftd
