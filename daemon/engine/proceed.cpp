// What follows from the state itself. Each call says a little; follow() applies it and asks again, until nothing follows.

#include <algorithm>
#include <numeric>

#include "daemon/engine/deciding.hpp"

namespace shiftd {
namespace {

// How many hosts may be prepared or being prepared ahead of their turn. Those that are near it, unless the service wants
// more: enough that a batch never waits for a connection.
std::uint32_t prepare_ahead_most(const Rollout& rollout) {
  const auto& asked = rollout.plan.strategy.prepare_ahead;
  if (!asked) return rollout.plan.near_turn();
  return static_cast<std::uint32_t>(asked->of(static_cast<int>(rollout.plan.hosts.size())));
}

// How many are prepared at once. They share our link and whatever else they have in common, so that with more of them the
// first would be ready later: two to begin with, and one more with every two that are ready.
std::uint32_t prepare_at_once(const Rollout& rollout) {
  auto all = std::accumulate(rollout.count.begin(), rollout.count.end(), std::uint32_t{0});
  auto prepared = all - rollout.in(HostPhase::pooled_old)-rollout.in(HostPhase::preparing);
  auto usual = std::clamp<std::uint32_t>(rollout.plan.batch, 3, prepare_at_once_most);
  const auto& asked = rollout.plan.strategy.prepare_at_once;
  return std::min(2 + prepared / 2, asked ? static_cast<std::uint32_t>(*asked) : usual);
}

// How many serving hosts are looked at for one that may be withdrawn: with unequal weights a later one may fit.
constexpr int withdraw_looks = 64;

}  // namespace

void Deciding::roll_back(std::string by, std::string reason, bool condemned) {
  say(RollingBack{std::move(by), std::move(reason), condemned});
  for (auto host : rollout_.moving) {
    switch (state(host).phase) {
      case HostPhase::preparing: move(host, HostPhase::pooled_old); break;
      case HostPhase::quiescing:
      case HostPhase::depooling:
      case HostPhase::draining: give_back_when_open(host); break;
      case HostPhase::verifying:
      case HostPhase::awaiting_health: undo(host); break;
      case HostPhase::joining:
        // Where the others have come to need it, it serves until they can do without it.
        if (!why_not_out(rollout_, host, true).empty())
          move(host, HostPhase::serving_new);
        else if (condemned)
          depool(host, HostPhase::withdrawing);
        else
          leave_again(host, {});
        break;
      default: break;  // a swap under way is awaited; what goes back already goes on
    }
  }
  give_back_stragglers();
}

// Hosts that were on their way out when the rollout turned round, and could not be given back at once.
void Deciding::give_back_waiting() {
  if (rollout_.in(HostPhase::quiescing) + rollout_.in(HostPhase::depooling) + rollout_.in(HostPhase::draining) == 0) return;
  for (auto host : rollout_.moving) {
    if (turned_round(host) && open(host)) give_back(host);
  }
}

// Stragglers that were taken out at the end are on their former release: they serve again.
void Deciding::give_back_stragglers() {
  for (HostIndex host = 0; rollout_.in(HostPhase::out) > 0 && host < rollout_.hosts.size(); ++host) {
    bool former = state(host).phase == HostPhase::out && !state(host).swapped && !planned(host).returning;
    if (former && open(host)) give_back(host, state(host).why);
  }
}

void Deciding::pause_ourselves(std::string reason) {
  if (!rollout_.rolling() || rollout_.paused || pausing_) return;
  pausing_ = true;
  say(Paused{"shiftd", std::move(reason)});
}

void Deciding::begin_stage(StageIndex stage, bool least) {
  say(StageBegun{stage});
  set_weights(rollout_.plan.stages[stage], least);
}

void Deciding::pass_stage(const std::string& evidence) { pass_stage(evidence, rollout_.shrunk); }

// `least`: of the next stage's weights.
void Deciding::pass_stage(const std::string& evidence, bool least) {
  say(StagePassed{rollout_.stage, evidence});
  if (rollout_.current_stage().gate == Gate::manual) return say(GateReached{rollout_.stage});
  if (rollout_.stage + 1 < rollout_.plan.stages.size()) return begin_stage(rollout_.stage + 1, least);
  say(Finishing{});
}

void Deciding::hold(const std::string& why) {
  if (rollout_.held != why) say(Held{why});
}

void Deciding::end(Outcome outcome, std::string reason) {
  // What somebody may have changed there meanwhile nobody can tell.
  for (const auto& [source, why] : rollout_.lost) reason += "; " + source + " did not answer at the end (" + why + ")";
  say(Ended{outcome, std::move(reason)});
}

void Deciding::proceed() {
  if (rollout_.weights_due && rollout_.closed.empty() && rollout_.active() && !canary_leaves()) {
    write_due_weights();
    if (!records_.empty()) return;
  }
  switch (rollout_.phase) {
    case Phase::shifting: return proceed_shifting();
    case Phase::finishing: return proceed_finishing();
    case Phase::rolling_back: return proceed_rolling_back();
    case Phase::aborting: return proceed_aborting();
    case Phase::baking:
    case Phase::gated: return proceed_watching();
    case Phase::queued:
    case Phase::ended:
    case Phase::quarantined: return;
  }
}

// While the stage bakes or waits at its gate, a host may fail: another takes its place, and the bake begins again.
void Deciding::proceed_watching() {
  if (too_many_failed() || withdraw_failing()) return;
  if (wants_another() || rollout_.in_flight() > 0 || rollout_.in(HostPhase::serving_new) == 0)
    return begin_stage(rollout_.stage, rollout_.shrunk);
  // What is watched needs nothing of the others: it is the best time to prepare them.
  if (!rollout_.paused) prepare_ahead();
}

// Whether the stage is short of hosts, and has one to take. When others have dropped out of a stage that is to be judged,
// the last host on the old release is kept to compare with all the same.
bool Deciding::wants_another() const {
  const auto& stage = rollout_.current_stage();
  auto next = rollout_.next_start;
  auto ours = rollout_.serving_new() + rollout_.in_flight();
  // A host that was taken serves the release all the same: another in its place would be too many. One is needed to be judged.
  auto all = ours + static_cast<std::uint32_t>(std::count_if(rollout_.lost_canaries.begin(), rollout_.lost_canaries.end(),
                                                             [&](HostIndex host) { return in_its_pools(host); }));
  if (next >= rollout_.hosts.size() || (all >= stage.hosts && ours > 0)) return false;
  return !stage.judged || ours == 0 || !serves(rollout_, next) || rollout_.baseline() > 1;
}

bool Deciding::in_its_pools(HostIndex host) const {
  return any_member(rollout_, host, [&](MemberIndex index) { return present(rollout_.members[index]).pooled == Pooled::yes; });
}

// What keeps the stage from passing, though its bake is over: empty, nothing.
std::string Deciding::why_not_pass() const {
  auto missing = no_evidence(rollout_);
  return missing.empty() ? why_unfinished(rollout_) : missing;
}

bool Deciding::too_many_failed() {
  if (rollout_.failed <= rollout_.plan.max_failed) return false;
  std::string which;
  for (const auto* hosts : {&rollout_.moving, &rollout_.failing}) {
    for (auto host : *hosts) {
      if (state(host).failed && which.empty()) which = planned(host).name + ": " + state(host).why;
    }
  }
  if (which.empty()) which = named_hosts(rollout_);
  roll_back("shiftd",
            std::to_string(rollout_.failed) + (rollout_.failed == 1 ? " host" : " hosts") + " failed, max_failed is " +
                std::to_string(rollout_.plan.max_failed) + ": " + which,
            false);
  return true;
}

void Deciding::prepare_ahead() {
  if (rollout_.in(HostPhase::preparing) >= prepare_at_once(rollout_)) return;
  // Whoever is next, even when enough others are ready: they wait for it.
  auto next = rollout_.next_start;
  if (next < rollout_.hosts.size() && state(next).phase == HostPhase::pooled_old) return move(next, HostPhase::preparing);
  auto ahead = rollout_.in(HostPhase::preparing) + rollout_.in(HostPhase::ready);
  if (ahead >= prepare_ahead_most(rollout_) || rollout_.next_prepare >= rollout_.hosts.size()) return;
  move(rollout_.next_prepare, HostPhase::preparing);
}

// Brings the weights of the scaled pools to `to` times their originals. One pass at most doubles or halves them, and every
// view has to show it before the next: between the first and the last write of a pass a host has up to twice the weight of
// its fellows, and so less than twice its load. True: there is something to do or to wait for.
bool Deciding::rescale(int to) {
  bool waits = rollout_.unconfirmed > 0 && rollout_.upgraded.empty() && rollout_.in_flight() == 0;
  if (rollout_.scale == to) {
    if (to == 1 || !waits) return false;
    hold(waits_for(rollout_));
    return true;
  }
  if (rollout_.unconfirmed > 0 || !rollout_.closed.empty()) return hold(waits_for(rollout_)), true;
  auto next = to > rollout_.scale ? std::min(to, 2 * rollout_.scale) : std::max(to, (rollout_.scale + 1) / 2);
  if (auto why = next < rollout_.scale ? towering(next) : std::string(); !why.empty()) return hold(why), true;
  hold("");
  say(Scaled{next});
  for (MemberIndex index = 0; index < rollout_.members.size(); ++index) {
    const auto& member = rollout_.members[index];
    if (rollout_.plan.pools[rollout_.plan.members[index].pool].scale == 1 || !takes_part(member)) continue;
    // On its way out at the least weight, and so it stays.
    auto phase = state(rollout_.plan.members[index].host).phase;
    if (phase == HostPhase::quiescing || phase == HostPhase::requiescing) continue;
    Setting setting{member.wanted.pooled, home_weight(rollout_, index, next)};
    if (rollout_.condemned && phase == HostPhase::serving_new) setting.weight = std::min(setting.weight, member.wanted.weight);
    if (setting != member.wanted) want(index, setting);
  }
  return true;
}

// Who would get more than the scaled weights allow, because somebody else holds it at a weight of its own: empty, nobody.
std::string Deciding::towering(int scale) const {
  for (MemberIndex index = 0; index < rollout_.members.size(); ++index) {
    const auto& member = rollout_.members[index];
    const auto& planned_member = rollout_.plan.members[index];
    const auto& pool = rollout_.plan.pools[planned_member.pool];
    if (pool.scale == 1 || member.holder != Holder::theirs || present(member).pooled != Pooled::yes) continue;
    if (auto weight = present(member).weight; weight > home_weight(rollout_, index, scale)) {
      const auto& name = planned(planned_member.host).name;
      return "the weights of " + pool.name + " cannot go back: " + name + " is held by somebody else at " + std::to_string(weight) +
             ", and would tower over the others; lower it, or take " + name;
    }
  }
  return {};
}

void Deciding::proceed_shifting() {
  if (rollout_.plan.stages.empty()) return say(Finishing{});
  if (too_many_failed() || withdraw_failing() || rollout_.paused) return;
  prepare_ahead();
  if (!records_.empty()) return;

  const auto& stage = rollout_.current_stage();
  if (stage.lowered() && rescale(rollout_.plan.scale())) return;
  if (wants_another()) {
    auto next = rollout_.next_start;
    if (state(next).phase != HostPhase::ready) return;  // still being prepared
    // What the stage gives to those that serve is theirs first, and every load balancer shows it: until then the others carry it.
    if (rollout_.settling > 0) return hold(waits_for(rollout_));
    auto why_not = why_not_start(rollout_, next);
    if (!why_not.empty())
      return hold(rollout_.in_flight() > 0 && (rollout_.overridden || no_evidence(rollout_).empty()) && rollout_.closed.empty() ? ""
                                                                                                                                : why_not);
    if (!rollout_.held.empty()) return hold("");
    return leave(next);
  }
  if (rollout_.in_flight() > 0 || rollout_.unconfirmed > 0) return hold(waits_for(rollout_));
  if (rollout_.weights_due) return hold(why_due(rollout_));
  if (rollout_.in(HostPhase::serving_new) == 0) {
    if (!rollout_.moving.empty()) return hold(waits_for(rollout_));
    // Nobody is left to carry the stage.
    return roll_back("shiftd", "no host could be upgraded: " + named_hosts(rollout_), false);
  }
  if (!rollout_.held.empty()) return hold("");
  if (stage.bake == Duration(0) && !stage.judged && why_not_pass().empty()) return pass_stage("no bake");
  say(StageBaking{rollout_.stage, now_ + stage.bake});
}

void Deciding::proceed_finishing() {
  if (withdraw_failing()) return;
  // A host that came back at the last moment is brought along as the last stage would have.
  if (rollout_.next_start < rollout_.hosts.size() && !rollout_.plan.stages.empty())
    return begin_stage(static_cast<StageIndex>(rollout_.plan.stages.size() - 1), false);
  for (HostIndex host = 0; rollout_.in(HostPhase::straggler) > 0 && host < rollout_.hosts.size(); ++host) {
    if (state(host).phase != HostPhase::straggler || !serves(rollout_, host)) continue;
    if (!open(host)) return hold(waits_for(rollout_));
    if (!why_not_out(rollout_, host, false).empty()) continue;
    // It may not serve the former release beside a fleet that has left it.
    return depool(host, HostPhase::out, state(host).why);
  }
  if (!rollout_.moving.empty() || rollout_.unconfirmed > 0) return hold(waits_for(rollout_));
  if (rescale(1)) return;
  auto named = named_hosts(rollout_);
  const auto& version = rollout_.request.release.version;
  if (rollout_.plan.stages.empty()) return end(Outcome::succeeded, "nothing to do: every host is on " + version);
  auto upgraded = rollout_.serving_new();
  end(Outcome::succeeded, std::to_string(upgraded) + " of " + std::to_string(rollout_.plan.hosts_to_upgrade() + rollout_.already_serving) +
                              " hosts serve " + version + (named.empty() ? "" : "; " + named));
}

// Takes one serving host out of traffic, if any may be.
bool Deciding::withdraw_next() {
  int looks = 0;
  for (auto host : rollout_.upgraded) {
    if (looks++ >= withdraw_looks) break;
    if (!why_not_out(rollout_, host, true).empty()) continue;
    leave_again(host, state(host).why);
    return true;
  }
  return false;
}

// Takes one out that has failed and could not leave before.
bool Deciding::withdraw_failing() {
  for (auto host : rollout_.failing) {
    if (!why_not_out(rollout_, host, false).empty()) continue;
    depool(host, HostPhase::withdrawing, state(host).why);
    return true;
  }
  return false;
}

void Deciding::proceed_rolling_back() {
  if (withdraw_next()) return;
  give_back_waiting();
  if (!records_.empty()) return;
  // What leaves and is reverted does not wait for a pool to be open; it counts as held when all the rest is done.
  bool going_back = rollout_.in(HostPhase::requiescing) + rollout_.in(HostPhase::withdrawing) + rollout_.in(HostPhase::emptying) +
                        rollout_.in(HostPhase::reverting) >
                    0;
  if (!rollout_.moving.empty()) return hold(going_back && rollout_.lost.empty() ? "" : waits_for(rollout_));
  if (!rollout_.upgraded.empty()) return hold("no host can be taken out: " + why_not_out(rollout_, *rollout_.upgraded.begin(), true));
  if (rollout_.unconfirmed > 0) return hold(waits_for(rollout_));
  give_back_stragglers();
  if (!records_.empty()) return;
  if (rescale(1)) return;
  auto named = named_hosts(rollout_);
  bool needs_person = false;
  for (HostIndex host = 0; host < rollout_.hosts.size() && rollout_.in(HostPhase::out) + rollout_.in(HostPhase::left) > 0; ++host) {
    auto phase = state(host).phase;
    bool as_found = planned(host).returning && !state(host).swapped;
    needs_person = needs_person || (phase == HostPhase::out && !as_found) || (phase == HostPhase::left && state(host).swapped);
  }
  end(needs_person ? Outcome::failed : Outcome::rolled_back,
      rollout_.reason + (named.empty() || rollout_.reason.find(named) != std::string::npos ? "" : "; " + named));
}

void Deciding::proceed_aborting() {
  if (withdraw_failing()) return;
  give_back_waiting();
  if (!records_.empty()) return;
  if (rollout_.weights_due) return hold(waits_for(rollout_));
  if (!rollout_.moving.empty() || rollout_.unconfirmed > 0) return hold(waits_for(rollout_));
  if (rescale(1)) return;
  auto named = named_hosts(rollout_);
  auto serving = rollout_.serving_new();
  // A release that was condemned, and serves on: somebody has to see to it.
  bool needs_person = rollout_.condemned && serving > 0;
  end(needs_person ? Outcome::failed : Outcome::aborted, rollout_.reason + "; " + std::to_string(serving) +
                                                             (serving == 1 ? " host serves " : " hosts serve ") +
                                                             rollout_.request.release.version + (named.empty() ? "" : "; " + named));
}

}  // namespace shiftd
