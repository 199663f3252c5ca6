// What the results of a host's steps, and what the load balancers show of it, mean for the host.

#include <algorithm>

#include "daemon/base/invariant.hpp"
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

bool healthy(const std::vector<Shown>& shown) {
  return std::all_of(shown.begin(), shown.end(),
                     [](const Shown& member) { return member.health == Health::up || member.health == Health::unchecked; });
}

}  // namespace

void Deciding::move(HostIndex host, HostPhase phase, std::string why, bool failed) {
  HostMoved moved;
  moved.host = host;
  moved.phase = phase;
  moved.effect = has_step(phase) ? next_effect_++ : 0;
  moved.failed = failed;
  moved.why = std::move(why);
  say(std::move(moved));
}

// Out of every pool that it serves in; `phase` is depooling or withdrawing.
void Deciding::depool(HostIndex host, HostPhase phase, std::string why, bool failed) {
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    if (!serves(member) || member.holder == Holder::theirs) return;
    want(index, Setting{Pooled::no, std::max(member.wanted.weight, 1)});
  });
  move(host, phase, std::move(why), failed);
}

void Deciding::join(HostIndex host) {
  bool serving = false;
  const auto& stage = rollout_.current_stage();
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    if (!serves(member) || member.holder == Holder::theirs) return;
    serving = true;
    auto weight = std::min(stage_weight(rollout_.plan, stage, rollout_.plan.members[index]), member.original.setting.weight);
    // A rollout that is being aborted ends with everybody at full weight.
    if (rollout_.phase == Phase::aborting || weight == member.original.setting.weight) {
      want_original(index);
    } else {
      want(index, Setting{Pooled::yes, weight});
    }
  });
  move(host, serving ? HostPhase::joining : HostPhase::serving_new);
}

// Its originals are written back; it is on the release that it was found on.
void Deciding::give_back(HostIndex host, std::string why, bool failed) {
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    if (member.holder == Holder::ours && (!member.verbatim || !member.confirmed)) want_original(index);
  });
  move(host, HostPhase::rejoining, std::move(why), failed);
}

void Deciding::fail(HostIndex host, const std::string& why) {
  switch (state(host).phase) {
    case HostPhase::preparing: return move(host, HostPhase::straggler, why, true);
    case HostPhase::depooling:
    case HostPhase::draining: return give_back(host, why, true);
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::awaiting_health: return move(host, HostPhase::reverting, why, true);
    case HostPhase::joining: return depool(host, HostPhase::withdrawing, why, true);
    case HostPhase::serving_new:
      if (why_not_out(rollout_, host, false).empty()) return depool(host, HostPhase::withdrawing, why, true);
      return move(host, HostPhase::serving_new, why, true);
    case HostPhase::reverting:
    case HostPhase::reverifying: return move(host, HostPhase::out, why, true);
    default: return;
  }
}

void Deciding::operator()(const StepDone& event) {
  auto host = event.host;
  if (!current(host, event.effect)) {
    if (host < rollout_.hosts.size()) say(LateResult{host, event.effect, "done"});
    return;
  }
  switch (state(host).phase) {
    case HostPhase::preparing: return move(host, HostPhase::ready);
    case HostPhase::upgrading: return move(host, rollout_.phase == Phase::rolling_back ? HostPhase::reverting : HostPhase::verifying);
    case HostPhase::verifying:
      if (healthy(event.members)) return join(host);
      return move(host, HostPhase::awaiting_health);
    case HostPhase::reverting: return move(host, HostPhase::reverifying);
    case HostPhase::reverifying: {
      if (healthy(event.members)) return give_back(host, state(host).why);
      // Its own checks have passed; the load balancers' have not yet.
      HostMoved waits;
      waits.host = host;
      waits.phase = HostPhase::reverifying;
      waits.why = state(host).why;
      return say(std::move(waits));
    }
    default: INVARIANT(false, "host " + planned(host).name + " has a step in phase " + std::string(to_string(state(host).phase)));
  }
}

void Deciding::operator()(const StepFailed& event) {
  if (!current(event.host, event.effect)) {
    if (event.host < rollout_.hosts.size()) say(LateResult{event.host, event.effect, event.why});
    return;
  }
  // Whatever the swap has done: a roll back wants the former release.
  if (rollout_.phase == Phase::rolling_back && state(event.host).phase == HostPhase::upgrading)
    return move(event.host, HostPhase::reverting, event.why);
  fail(event.host, event.why);
}

void Deciding::operator()(const CheckFailed& event) {
  if (event.host >= rollout_.hosts.size() || state(event.host).phase != HostPhase::serving_new || state(event.host).failed) return;
  if (rollout_.phase == Phase::rolling_back) return;
  fail(event.host, event.why);
}

void Deciding::operator()(const HostSeen& event) {
  auto host = event.host;
  if (host >= rollout_.hosts.size() || event.members.size() != planned(host).members || !rollout_.active()) return;
  switch (state(host).phase) {
    case HostPhase::depooling:
    case HostPhase::draining:
    case HostPhase::withdrawing:
    case HostPhase::emptying: return seen_leaving(host, event.members);
    case HostPhase::joining:
    case HostPhase::rejoining: return seen_entering(host, event.members);
    case HostPhase::awaiting_health:
      if (healthy(event.members)) return join(host);
      return;
    case HostPhase::reverifying:
      if (state(host).effect == 0 && healthy(event.members)) return give_back(host, state(host).why);
      return;
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::reverting:
    case HostPhase::out:
    case HostPhase::left: return confirm_shown(host, event.members);
    case HostPhase::pooled_old:
    case HostPhase::preparing:
    case HostPhase::ready:
    case HostPhase::serving_new:
    case HostPhase::restored:
    case HostPhase::straggler: break;
  }
  confirm_shown(host, event.members);
  auto down = std::any_of(event.members.begin(), event.members.end(), [](const Shown& member) { return member.health == Health::down; });
  if (down == state(host).down) return;
  std::string why = down ? "the load balancer's check fails" : "";
  say(HostHealth{host, down, why});
  if (down && state(host).phase == HostPhase::serving_new && !state(host).failed && rollout_.phase != Phase::rolling_back) {
    depool(host, HostPhase::withdrawing, why, true);
  }
}

// A member is confirmed when it was written and every view shows it so.
void Deciding::confirm_shown(HostIndex host, const std::vector<Shown>& shown) {
  if (state(host).unconfirmed == 0) return;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    const auto& view = shown[at++];
    if (member.confirmed || member.effect != 0) return;
    bool as_wanted = member.wanted.pooled == Pooled::yes ? view.flows_everywhere && view.weight <= member.wanted.weight
                                                         : view.traffic == Traffic::none || view.traffic == Traffic::draining;
    if (as_wanted) say(MemberConfirmed{index});
  });
}

void Deciding::seen_leaving(HostIndex host, const std::vector<Shown>& shown) {
  confirm_shown(host, shown);
  bool written = true;
  bool none_flows = true;
  bool empty = true;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& view = shown[at++];
    written = written && rollout_.members[index].effect == 0;
    // Members found out of their pool say nothing, unless traffic flows there all the same.
    none_flows = none_flows && (view.traffic == Traffic::none || view.traffic == Traffic::draining);
    empty = empty && view.traffic == Traffic::none;
  });
  if (!written || !none_flows) return;
  auto phase = state(host).phase;
  bool leaving = phase == HostPhase::depooling || phase == HostPhase::withdrawing;
  bool forward = phase == HostPhase::depooling || phase == HostPhase::draining;
  auto grace = rollout_.plan.strategy.drain_grace;
  if (leaving) move(host, forward ? HostPhase::draining : HostPhase::emptying, state(host).why);
  if (!empty || (leaving ? grace > Duration(0) : waited(host) < grace)) return;
  move(host, forward ? HostPhase::upgrading : HostPhase::reverting, state(host).why);
}

void Deciding::seen_entering(HostIndex host, const std::vector<Shown>& shown) {
  confirm_shown(host, shown);
  bool entered = true;
  bool down = false;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    const auto& view = shown[at++];
    if (!serves(member) || member.holder == Holder::theirs) return;
    down = down || view.health == Health::down;
    entered = entered && member.effect == 0 && view.flows_everywhere && view.weight <= member.wanted.weight;
  });
  bool forward = state(host).phase == HostPhase::joining;
  if (!entered || (forward && down)) {
    if (forward && down && waited(host) >= rollout_.plan.strategy.confirm_limit)
      fail(host, "the load balancer's check fails as soon as it is back");
    return;
  }
  if (forward) return move(host, HostPhase::serving_new);
  // Given back. It is tried again only when it was not its own fault and the rollout still goes forward.
  bool again = rollout_.rolling() && !state(host).failed;
  move(host, !again ? HostPhase::restored : state(host).prepared ? HostPhase::ready : HostPhase::pooled_old, state(host).why);
}

void Deciding::check_deadline(HostIndex host) {
  const auto& strategy = rollout_.plan.strategy;
  auto after = waited(host);
  const auto& name = planned(host).name;
  switch (state(host).phase) {
    case HostPhase::depooling:
      if (after < strategy.confirm_limit || rollout_.paused) return;
      give_back(host);
      return pause_ourselves(name + " was to leave its pools, and not every load balancer showed it within " +
                             to_string(strategy.confirm_limit) + "; it was put back");
    case HostPhase::draining:
      if (after < strategy.drain_limit) return;
      if (strategy.on_drain_limit == DrainDeadline::go_on)
        return move(host, HostPhase::upgrading, "not drained within " + to_string(strategy.drain_limit) + ", going on");
      return give_back(host, "not drained within " + to_string(strategy.drain_limit), true);
    case HostPhase::emptying: {
      auto limit = rollout_.condemned ? std::min(strategy.rollback_drain_limit, strategy.drain_limit) : strategy.drain_limit;
      if (after < limit) return;
      return move(host, HostPhase::reverting, state(host).why.empty() ? "not drained within " + to_string(limit) : state(host).why);
    }
    case HostPhase::awaiting_health:
      if (after < strategy.health_limit) return;
      return fail(host, "the load balancer's checks did not pass within " + to_string(strategy.health_limit));
    case HostPhase::reverifying:
      if (state(host).effect != 0 || after < strategy.health_limit) return;
      return give_back(host, state(host).why);
    case HostPhase::joining:
      if (after < 2 * strategy.confirm_limit || rollout_.paused || !rollout_.rolling()) return;
      return pause_ourselves(name + " was put into its pools, and not every load balancer shows it");
    default: return;
  }
}

}  // namespace shiftd
