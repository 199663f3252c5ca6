// What the results of a host's steps, and what the load balancers show of it, mean for the host.

#include <algorithm>

#include "daemon/base/invariant.hpp"
#include "daemon/engine/deciding.hpp"

namespace shiftd {
namespace {

// What runs on a host that the load balancers have not found up since is proven again before it joins: no host boots in less.
constexpr Duration proof_lasts{5'000};

constexpr auto check_fails = "the load balancer's check fails";

// Whether the load balancers that can tell have all taken up what we want of the member. One whose own check fails has: what
// it keeps out then is not ours to ask for. `whole`: no less weight will do, because the shares of others depend on it.
bool shows(const MemberState& member, const Shown& view, bool whole) {
  if (view.traffic == Traffic::cannot_tell) return true;  // nobody says otherwise
  if (member.wanted.pooled != Pooled::yes || member.wanted.weight == 0) return view.traffic != Traffic::flowing;
  if (whole && view.health != Health::down && view.weight_least < member.wanted.weight) return false;
  return (view.flows_everywhere || view.health == Health::down) && view.weight <= member.wanted.weight;
}

// Why a host failed is told to the end, with what came after it.
std::string with_failure(const std::string& failure, const std::string& text) {
  if (failure.empty()) return text;
  return failure.find(text) == std::string::npos ? failure + "; " + text : failure;
}

}  // namespace

// `begin`: waits for its connections; else for its load balancers, or for its pool to be open.
void Deciding::await_idle(HostIndex host, bool begin, const std::string& trouble) {
  HostMoved moved;
  moved.host = host;
  moved.phase = state(host).phase;
  moved.why = state(host).why;
  if (!trouble.empty()) moved.why = state(host).failed ? with_failure(state(host).why, trouble) : trouble;
  moved.effect = begin ? next_effect_++ : 0;
  say(std::move(moved));
}

// It is idle, or (`trouble`) its connections have not ended in time.
void Deciding::idle_or_not(HostIndex host, const std::string& trouble) {
  if (turned_round(host) || !may_leave(host)) return await_idle(host, false);
  bool forward = state(host).phase == HostPhase::quiescing;
  bool down = false;
  each_member(rollout_, host, [&](MemberIndex index) { down = down || rollout_.members[index].down; });
  // One that has lost its power would come back with it, on its former release, if it were left in its pools.
  if (forward && !trouble.empty() && !down && rollout_.plan.strategy.on_drain_limit == DrainDeadline::give_back)
    return give_back(host, trouble, true);
  // Others may have been lost while it was waited for; who is not swapped yet is given back then.
  if (auto why = forward ? why_not_out(rollout_, host, false) : std::string(); !why.empty()) return give_back(host, why);
  depool(host, forward ? HostPhase::depooling : HostPhase::withdrawing, state(host).why.empty() ? trouble : state(host).why);
}

void Deciding::seen_quiescing(HostIndex host, const std::vector<Shown>& shown) {
  confirm_shown(host, shown);
  note_health(host, shown);
  if (state(host).effect != 0 || turned_round(host) || !may_leave(host)) return;
  bool lowered = true;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    const auto& view = shown[at++];
    if (takes_part(member)) lowered = lowered && member.effect == 0 && !view.blind() && shows(member, view, false);
  });
  if (lowered) await_idle(host, true);
}

void Deciding::fail(HostIndex host, const std::string& why) {
  switch (state(host).phase) {
    case HostPhase::preparing: return move(host, HostPhase::straggler, why, true);
    case HostPhase::draining: return give_back(host, why, true);
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::awaiting_health: return undo(host, why, true);
    case HostPhase::joining:  // it may serve in some of its pools already
    case HostPhase::serving_new:
      if (why_not_out(rollout_, host, false).empty()) return depool(host, HostPhase::withdrawing, why, true);
      return move(host, HostPhase::serving_new, why, true);  // it leaves as soon as the others can do without it
    case HostPhase::reverting:
    case HostPhase::reverifying: return move(host, HostPhase::out, why, true);
    default: return;
  }
}

void Deciding::operator()(const StepDone& event) {
  auto host = event.host;
  if (host >= rollout_.hosts.size() || rollout_.phase == Phase::ended) return;
  if (!current(host, event.effect) || !rollout_.active()) return say(LateResult{host, event.effect, "done"});
  switch (state(host).phase) {
    case HostPhase::preparing:
      if (!planned(host).asked) say(ReleaseFound{host, event.note});
      return move_on(event, HostPhase::ready);
    case HostPhase::quiescing:
    case HostPhase::requiescing: return idle_or_not(host, {});
    case HostPhase::withdrawing:
    case HostPhase::emptying: return proven_idle(host, event.members, {});
    case HostPhase::upgrading: return rollout_.phase == Phase::rolling_back ? undo(host) : move_on(event, HostPhase::verifying);
    case HostPhase::verifying: return healthy(host, event.members) && open(host) ? join(host) : move(host, HostPhase::awaiting_health);
    case HostPhase::reverting: return move_on(event, HostPhase::reverifying, state(host).why);
    case HostPhase::reverifying: {
      auto why = event.note.empty() ? state(host).why : with_failure(state(host).why, event.note);
      if (healthy(host, event.members) && open(host)) return give_back(host, why);
      // Its own checks have passed; the load balancers' have not yet, or its pool is closed.
      HostMoved waits;
      waits.host = host;
      waits.phase = HostPhase::reverifying;
      waits.why = why;
      return say(std::move(waits));
    }
    default: INVARIANT(false, "host " + planned(host).name + " has a step in phase " + std::string(to_string(state(host).phase)));
  }
}

void Deciding::operator()(const StepFailed& event) {
  auto host = event.host;
  if (host >= rollout_.hosts.size() || rollout_.phase == Phase::ended) return;
  if (!current(host, event.effect) || !rollout_.active()) return say(LateResult{host, event.effect, event.why});
  bool waited = state(host).phase == HostPhase::quiescing || state(host).phase == HostPhase::requiescing;
  if (waited) return idle_or_not(host, event.why);
  bool asked = state(host).phase == HostPhase::withdrawing || state(host).phase == HostPhase::emptying;
  if (asked) return proven_idle(host, {}, event.why + " (`rollback --force` goes on all the same)");
  // Whatever the swap has done: a roll back wants the former release.
  if (rollout_.phase == Phase::rolling_back && state(host).phase == HostPhase::upgrading) return undo(host, event.why);
  if (!event.found.empty()) say(ReleaseFound{host, event.found});
  fail(host, event.why);
}

void Deciding::operator()(const CheckFailed& event) {
  auto host = event.host;
  if (!rollout_.active() || rollout_.phase == Phase::rolling_back || host >= rollout_.hosts.size()) return;
  if (state(host).phase != HostPhase::serving_new || rollout_.failing.contains(host)) return;
  fail(host, event.why);
}

void Deciding::operator()(const HostSeen& event) {
  auto host = event.host;
  if (host >= rollout_.hosts.size() || event.members.size() != planned(host).members || !rollout_.active()) return;
  switch (state(host).phase) {
    case HostPhase::quiescing:
    case HostPhase::requiescing: return seen_quiescing(host, event.members);
    case HostPhase::depooling:
    case HostPhase::draining:
    case HostPhase::withdrawing:
    case HostPhase::emptying: return seen_leaving(host, event.members);
    case HostPhase::joining:
    case HostPhase::rejoining: return seen_entering(host, event.members);
    case HostPhase::awaiting_health:
      confirm_shown(host, event.members);
      if (!healthy(host, event.members) || !open(host)) return;
      // It may have lost its power since, and have come back on something else.
      return waited(host) < proof_lasts ? join(host) : move(host, HostPhase::verifying);
    case HostPhase::reverifying:
      confirm_shown(host, event.members);
      if (state(host).effect == 0 && healthy(host, event.members) && open(host)) give_back(host, state(host).why);
      return;
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::reverting:
    case HostPhase::out: return confirm_shown(host, event.members);
    case HostPhase::left:  // theirs, and lost capacity all the same when it is down
    case HostPhase::pooled_old:
    case HostPhase::preparing:
    case HostPhase::ready:
    case HostPhase::restored:
    case HostPhase::straggler: confirm_shown(host, event.members); return note_health(host, event.members);
    case HostPhase::serving_new: break;
  }
  confirm_shown(host, event.members);
  note_health(host, event.members);
  auto fell = [](const Record& record) {
    const auto* health = std::get_if<MemberHealth>(&record.fact);
    return health != nullptr && health->down;
  };
  bool down = std::any_of(records_.begin(), records_.end(), fell);
  if (down && rollout_.phase != Phase::rolling_back && !rollout_.failing.contains(host)) fail(host, check_fails);
}

bool Deciding::healthy(HostIndex host, const std::vector<Shown>& shown) const {
  bool all = true;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    auto health = at < shown.size() ? shown[at].health : Health::unknown;
    ++at;
    // Members found out of their pool may not even be checked.
    if (takes_part(rollout_.members[index])) all = all && (health == Health::up || health == Health::unchecked);
  });
  return all;
}

// One view that says down is enough; that a member is up again takes the word of all of its pool's.
void Deciding::note_health(HostIndex host, const std::vector<Shown>& shown) {
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    auto health = shown[at++].health;
    // What somebody else has put into a pool in which it was not found is capacity as well, while it is up.
    bool counts = serves(member) || present(member).pooled == Pooled::yes;
    if (counts && !member.down && health == Health::down) say(MemberHealth{index, true, check_fails});
    if (member.down && (!counts || health == Health::up || health == Health::unchecked)) say(MemberHealth{index, false, {}});
  });
}

// In a scaled pool a small canary is small only beside the scaled weights of those that are not on the release.
bool Deciding::whole(MemberIndex index) const {
  const auto& member = rollout_.plan.members[index];
  return rollout_.plan.pools[member.pool].scale > 1 && !state(member.host).swapped;
}

// A member is confirmed when it was written and every view shows it so.
void Deciding::confirm_shown(HostIndex host, const std::vector<Shown>& shown) {
  if (state(host).unconfirmed == 0) return;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& view = shown[at++];
    if (!rollout_.members[index].confirmed && taken_up(index, view)) say(MemberConfirmed{index, view.blind()});
  });
}

// Written, and shown by everybody. When everything goes back, a view that stays dead is not waited for where nothing is to
// be done to the host any more: what was written stays written, and the host is named.
bool Deciding::taken_up(MemberIndex index, const Shown& view) const {
  const auto& member = rollout_.members[index];
  if (member.effect != 0 || !shows(member, view, whole(index))) return false;
  if (!view.blind()) return true;
  auto host = rollout_.plan.members[index].host;
  bool last = state(host).phase == HostPhase::rejoining || !is_moving(state(host).phase);
  if (rollout_.phase != Phase::rolling_back || !last || state(host).phase == HostPhase::serving_new) return false;
  return std::min(now_ - rollout_.scaled, waited_patiently(host)) >= 2 * confirm_limit(host);
}

// Traffic may come to it after all: it leaves its pools again before anything is done to it.
void Deciding::wait_again(HostIndex host) {
  bool forward = state(host).phase == HostPhase::draining;
  move(host, forward ? HostPhase::depooling : HostPhase::withdrawing, state(host).why);
}

Duration Deciding::emptying_limit() const {
  const auto& strategy = rollout_.plan.strategy;
  return rollout_.condemned ? std::min(strategy.rollback_drain_limit, strategy.drain_limit) : strategy.drain_limit;
}

void Deciding::seen_leaving(HostIndex host, const std::vector<Shown>& shown) {
  confirm_shown(host, shown);
  bool written = true;
  bool flows = false;
  bool blind = false;
  bool empty = true;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& view = shown[at++];
    written = written && rollout_.members[index].effect == 0;
    // Members found out of their pool say nothing, unless traffic flows there all the same.
    flows = flows || view.traffic == Traffic::flowing;
    blind = blind || view.blind();
    empty = empty && view.traffic == Traffic::none;
  });
  if (!written) note_health(host, shown);  // it is in its pools yet, and whether it carries anything there counts
  const auto& host_state = state(host);
  bool leaving = host_state.phase == HostPhase::depooling || host_state.phase == HostPhase::withdrawing;
  bool forward = host_state.phase == HostPhase::depooling || host_state.phase == HostPhase::draining;
  // On its way out when the rollout turned round: it is given back as soon as its pool is open.
  if (turned_round(host)) return;
  if (!leaving && (flows || !written)) return wait_again(host);
  if (host_state.effect != 0 && (flows || !written)) return await_idle(host, false);
  if (!written || flows) return;
  if (blind) return seen_by_some(host);

  const auto& strategy = rollout_.plan.strategy;
  auto here = forward ? HostPhase::draining : HostPhase::emptying;
  auto next = forward ? HostPhase::upgrading : HostPhase::reverting;
  auto grace = strategy.drain_grace;
  if (leaving) {
    move(host, here, host_state.why, false, empty && grace > Duration(0));
    if (empty && grace == Duration(0)) move(host, next, host_state.why);
    return;
  }
  if (empty && (grace == Duration(0) || (host_state.empty && waited(host) >= grace))) return move(host, next, host_state.why);
  if (empty != host_state.empty) return move(host, here, host_state.why, false, empty);
  if (empty) return;
  // What is still there is taken away under it, by order of the service or because the release does harm.
  if (forward && strategy.on_drain_limit == DrainDeadline::go_on && waited(host) >= strategy.drain_limit)
    return move(host, next, "not drained within " + to_string(strategy.drain_limit) + ", going on");
  if (!forward && waited(host) >= emptying_limit())
    return move(host, next, host_state.why.empty() ? "not drained within " + to_string(emptying_limit()) : host_state.why);
}

// Nobody shows it in traffic, and somebody cannot tell. Forward that is waited for. When everything goes back, the host
// itself is asked whether anybody is still connected, or a person has said to go on without.
void Deciding::seen_by_some(HostIndex host) {
  const auto& strategy = rollout_.plan.strategy;
  if (rollout_.phase != Phase::rolling_back) return;
  if (rollout_.forced && waited(host) >= std::min(strategy.rollback_drain_limit, strategy.drain_limit))
    return leave_unseen(host, "it goes on by force");
  if (state(host).effect == 0 && waited_patiently(host) >= confirm_limit(host)) await_idle(host, true);
}

// Out of its pools by what was written, and not by what every load balancer shows.
void Deciding::leave_unseen(HostIndex host, const std::string& proof) {
  auto blind = waits_for(rollout_);
  auto why = (blind.empty() ? "a load balancer cannot tell" : blind) + "; " + proof;
  if (state(host).failed) why = with_failure(state(host).why, why);
  if (state(host).phase == HostPhase::withdrawing) move(host, HostPhase::emptying, why, false, true);
  move(host, HostPhase::reverting, why);
}

// What came of asking the host. What the load balancers show at that moment counts all the same.
void Deciding::proven_idle(HostIndex host, const std::vector<Shown>& shown, const std::string& trouble) {
  bool written = true;
  each_member(rollout_, host, [&](MemberIndex index) { written = written && rollout_.members[index].effect == 0; });
  bool flows = std::any_of(shown.begin(), shown.end(), [](const Shown& view) { return view.traffic == Traffic::flowing; });
  if (trouble.empty() && written && !flows) return leave_unseen(host, "the host itself has no connections");
  await_idle(host, false, trouble);
}

void Deciding::seen_entering(HostIndex host, const std::vector<Shown>& shown) {
  confirm_shown(host, shown);
  bool entered = true;
  bool down = false;
  std::size_t at = 0;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    const auto& view = shown[at++];
    if (!takes_part(member)) return;
    down = down || view.health == Health::down;
    entered = entered && taken_up(index, view);
  });
  bool forward = state(host).phase == HostPhase::joining;
  if (forward && down) {
    if (waited_patiently(host) < confirm_limit(host) || !open(host)) return;
    note_health(host, shown);
    return fail(host, "the load balancer's check fails as soon as it is back");
  }
  if (entered || state(host).down > 0) note_health(host, shown);  // what was down before it left may carry again
  if (!entered) return;
  if (forward) return move(host, HostPhase::serving_new);
  move(host, after_return(host, false), state(host).why);
}

// What of the host is not written yet, because the others have come to need it: empty, nothing.
std::string Deciding::why_missed(HostIndex host) const {
  std::string missed;
  each_member(rollout_, host, [&](MemberIndex index) {
    if (missed.empty() && rollout_.members[index].effect != 0) missed = why_not_write(rollout_, index, {});
  });
  return missed;
}

// The others could have carried what it takes away when that was decided, and can no more, and it has not been written yet: it goes on
// serving, as it does, until they can.
void Deciding::stay_when_missed(HostIndex host) {
  if (why_missed(host).empty()) return;
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    // What is given to it in another pool meanwhile is not taken away again.
    bool takes_away = carried(rollout_, index, member.wanted).flow < carried(rollout_, index, member.known.setting).flow;
    if (member.effect != 0 && takes_away) want(index, member.known.setting);
  });
  if (state(host).phase == HostPhase::withdrawing)
    move(host, HostPhase::serving_new, state(host).why, rollout_.phase != Phase::rolling_back);
  else if (rollout_.rolling() && rollout_.upgraded.contains(host) && !rollout_.weights_due)
    say(WeightsDue{true});
}

namespace {

// A store or a load balancer that says nothing holds the rollout by itself, and lets it go on when it answers again.
bool is_silent(const Rollout& rollout) {
  return std::any_of(rollout.lost.begin(), rollout.lost.end(), [](const auto& source) { return source.first != "front end"; });
}

}  // namespace

void Deciding::check_deadline(HostIndex host) {
  const auto& strategy = rollout_.plan.strategy;
  auto after = waited(host);
  const auto& name = planned(host).name;
  // Whatever comes of a limit writes to the host's pools.
  if (!may_leave(host)) return;
  switch (state(host).phase) {
    case HostPhase::requiescing:
      // Its weight may stay as it is where a load balancer does not show it: it leaves all the same.
      if (state(host).effect == 0 && waited_patiently(host) >= confirm_limit(host)) depool(host, HostPhase::withdrawing, state(host).why);
      return;
    case HostPhase::withdrawing:
      if (waited_patiently(host) >= confirm_limit(host)) stay_when_missed(host);
      return;
    case HostPhase::quiescing:
    case HostPhase::depooling: {
      if (state(host).effect != 0) return;
      if (waited_patiently(host) < confirm_limit(host)) return;
      auto missed = why_missed(host);
      auto trouble = name + " was to leave its pools, and ";
      trouble += missed.empty() ? "not every load balancer showed it within " + to_string(confirm_limit(host)) : missed;
      if (state(host).swapped) {
        if (!is_silent(rollout_)) pause_ourselves(trouble);
        return;
      }
      give_back(host);
      if (!is_silent(rollout_)) pause_ourselves(trouble + "; it was put back");
      return;
    }
    case HostPhase::draining:
      // Going on without an empty host is decided when a load balancer last shows that nothing new comes to it.
      if (after < strategy.drain_limit || strategy.on_drain_limit == DrainDeadline::go_on || state(host).empty) return;
      return give_back(host, "not drained within " + to_string(strategy.drain_limit), true);
    case HostPhase::awaiting_health:
      // What cannot be told is waited for, and no fault of the host.
      if (waited_patiently(host) < strategy.health_limit || is_silent(rollout_)) return;
      return fail(host, "the load balancer's checks did not pass within " + to_string(strategy.health_limit));
    case HostPhase::reverifying:
      if (state(host).effect != 0 || after < strategy.health_limit) return;
      return give_back(host, state(host).why);
    case HostPhase::joining:
      if (waited_patiently(host) < 2 * confirm_limit(host) || is_silent(rollout_)) return;
      return pause_ourselves(name + " was put into its pools, and not every load balancer shows it");
    default: return;
  }
}

}  // namespace shiftd
