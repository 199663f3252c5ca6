#pragma once

// Private to the engine: what one decision is made with. Each subject of judgement has a file of its own
// (decide_host.cpp, decide_member.cpp, decide_command.cpp, proceed.cpp); they share these few moves.

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "daemon/engine/decide.hpp"
#include "daemon/engine/readable.hpp"

namespace shiftd {

// Why nothing may be written to a pool of the host now: "lb1/app is closed: be3 is down but pooled"; empty: they are open.
std::string why_closed(const Rollout& rollout, HostIndex host);

// Whether the pool can do without an erring host whatever its weight: the others can carry all that there is; or the release
// is condemned, and others do better. When neither is so, all err together (a database is down), and one more host gone
// would be missed when that has passed.
bool spared(const Rollout& rollout, PoolIndex pool, const PoolFlow& flow);

class Deciding {
 public:
  Deciding(const Rollout& rollout, Instant now) : rollout_(rollout), now_(now), next_effect_(rollout.next_effect) {}

  void operator()(const PlanMade& event);
  void operator()(const PlanRefused& event);
  void operator()(const Tick&);
  void operator()(const TimeJumped& event);
  void operator()(const StepDone& event);
  void operator()(const StepFailed& event);
  void operator()(const CheckFailed& event);
  void operator()(const HostSeen& event);
  void operator()(const MemberWritten& event);
  void operator()(const MemberChanged& event);
  void operator()(const StoreForgot& event);
  void operator()(const SourceSilent& event);
  void operator()(const SourceAnswers& event);
  void operator()(const PoolCloses& event);
  void operator()(const PoolOpens& event);
  void operator()(const ThresholdSeen& event);
  void operator()(const Served& event);
  void operator()(const Answered& event);
  void operator()(const HistoryGrew& event);
  void operator()(const Judged& event);
  void operator()(const Command& event);

  void proceed();

  [[nodiscard]] std::vector<Record> take() { return std::move(records_); }

 private:
  template <class F>
  void say(F fact) {
    // What the world said may be any bytes; what is decided must be what the journal can keep.
    if constexpr (requires { fact.why; }) fact.why = readable(fact.why);
    if constexpr (requires { fact.what; }) fact.what = readable(fact.what);
    if constexpr (requires { fact.reason; }) fact.reason = readable(fact.reason, 10'000);
    if constexpr (requires { fact.evidence; }) fact.evidence = readable(fact.evidence);
    if constexpr (requires { fact.by; }) {
      if constexpr (std::is_same_v<decltype(fact.by), std::string>) fact.by = readable(fact.by);
    }
    records_.push_back(Record{now_, Fact(std::move(fact))});
  }

  // Moves of one host (decide_host.cpp).
  void move(HostIndex host, HostPhase phase, std::string why = {}, bool failed = false, bool empty = false);
  void move_on(const StepDone& done, HostPhase phase, const std::string& why = {});
  void depool(HostIndex host, HostPhase phase, std::string why = {}, bool failed = false);
  void leave(HostIndex host);
  void leave_again(HostIndex host, const std::string& why);
  void quiesce(HostIndex host, HostPhase phase, const std::string& why);
  void await_idle(HostIndex host, bool begin, const std::string& trouble = {});
  void idle_or_not(HostIndex host, const std::string& trouble);
  void join(HostIndex host);
  void give_back(HostIndex host, std::string why = {}, bool failed = false);
  void give_back_when_open(HostIndex host);
  void leave_out(HostIndex host, const std::string& why, bool failed);
  void undo(HostIndex host, std::string why = {}, bool failed = false);
  void fail(HostIndex host, const std::string& why);
  void wait_again(HostIndex host);
  void note_health(HostIndex host, const std::vector<Shown>& shown);
  void check_deadline(HostIndex host);
  void seen_quiescing(HostIndex host, const std::vector<Shown>& shown);
  void seen_leaving(HostIndex host, const std::vector<Shown>& shown);
  [[nodiscard]] std::string why_missed(HostIndex host) const;
  void stay_when_missed(HostIndex host);
  void seen_by_some(HostIndex host);
  void leave_unseen(HostIndex host, const std::string& proof);
  void proven_idle(HostIndex host, const std::vector<Shown>& shown, const std::string& trouble);
  [[nodiscard]] bool taken_up(MemberIndex member, const Shown& view) const;
  void seen_entering(HostIndex host, const std::vector<Shown>& shown);
  void confirm_shown(HostIndex host, const std::vector<Shown>& shown);
  [[nodiscard]] bool healthy(HostIndex host, const std::vector<Shown>& shown) const;
  [[nodiscard]] bool whole(MemberIndex member) const;
  [[nodiscard]] static bool put_in_and_taken(const MemberState& member);
  [[nodiscard]] bool cuts_connections(MemberIndex index) const;
  [[nodiscard]] bool cuts_any(HostIndex host) const;
  // The host is on its way out, and the rollout goes that way no more.
  [[nodiscard]] bool turned_round(HostIndex host) const;
  [[nodiscard]] bool may_leave(HostIndex host) const;
  [[nodiscard]] HostPhase after_return(HostIndex host, bool failed) const;
  [[nodiscard]] Duration emptying_limit() const;
  // Until every view shows what was written to the host's members, the time in which others were written before them included.
  [[nodiscard]] Duration confirm_limit(HostIndex host) const;
  [[nodiscard]] Duration scale_limit() const;

  // Moves of members (decide_member.cpp).
  void want(MemberIndex member, Setting setting);
  void want(MemberIndex member, Setting setting, const Observed& original);
  void want_original(MemberIndex member);
  void leave_alone(MemberIndex index, const Observed& observed, const std::string& how);
  void taken(MemberIndex member, const Observed& observed, const std::string& how);
  void reassert(MemberIndex member);
  void set_weights(const PlannedStage& stage, bool least);
  [[nodiscard]] std::int64_t room(MemberIndex member, const PlannedStage& stage) const;
  [[nodiscard]] std::int64_t claim(MemberIndex member, const PlannedStage& stage) const;
  [[nodiscard]] std::int64_t claims(PoolIndex pool, const PlannedStage& stage) const;
  [[nodiscard]] bool is_leaving_canary(HostIndex host) const;
  [[nodiscard]] bool canary_leaves() const;
  [[nodiscard]] bool below_their_stage() const;
  [[nodiscard]] int canary_weight(MemberIndex member, const PlannedStage& stage, bool least) const;

  void write_due_weights();

  // What people say (decide_command.cpp).
  void full_weights();
  void override_verdict(const Command& event);
  void hand_back(const Command& event);

  // Moves of the rollout (proceed.cpp).
  void roll_back(std::string by, std::string reason, bool condemned);
  void pause_ourselves(std::string reason);
  void begin_stage(StageIndex stage, bool least);
  void pass_stage(const std::string& evidence);
  void pass_stage(const std::string& evidence, bool least);
  void hold(const std::string& why);
  void proceed_shifting();
  void proceed_watching();
  void proceed_finishing();
  void proceed_rolling_back();
  void proceed_aborting();
  void prepare_ahead();
  void give_back_waiting();
  void give_back_stragglers();
  bool rescale(int to);
  [[nodiscard]] std::string towering(int scale) const;
  bool withdraw_next();
  bool withdraw_failing();
  [[nodiscard]] std::string why_not_pass() const;
  [[nodiscard]] bool wants_another() const;
  [[nodiscard]] bool in_its_pools(HostIndex host) const;
  bool too_many_failed();
  void end(Outcome outcome, std::string reason);

  [[nodiscard]] const PlannedHost& planned(HostIndex host) const { return rollout_.plan.hosts[host]; }
  [[nodiscard]] const HostState& state(HostIndex host) const { return rollout_.hosts[host]; }
  [[nodiscard]] Duration waited(HostIndex host) const { return now_ - state(host).since; }
  // Patience begins again when people resume the rollout, and when its pools may be written to again.
  [[nodiscard]] Duration waited_patiently(HostIndex host) const {
    return now_ - std::max({state(host).since, rollout_.resumed, rollout_.opened});
  }
  // Whether the host's pools may be written to now, for anything but the traffic movement of a roll back.
  [[nodiscard]] bool open(HostIndex host) const { return why_closed(rollout_, host).empty(); }
  [[nodiscard]] bool current(HostIndex host, EffectId effect) const {
    return host < rollout_.hosts.size() && effect != 0 && state(host).effect == effect;
  }

  const Rollout& rollout_;
  Instant now_;
  EffectId next_effect_;
  std::vector<Record> records_;
  bool pausing_ = false;
};

// Questions about the state (capacity.cpp).

// Whether the member takes traffic by right: found in its pool, or left there by a person who returned it.
bool serves(const MemberState& member);
bool serves(const Rollout& rollout, HostIndex host);
// Whether we move the member: it serves, and nobody else holds it.
bool takes_part(const MemberState& member);
// What the pool's weights are multiplied by now.
std::int64_t scale_of(const Rollout& rollout, PoolIndex pool);
// The weight that a serving member has when nothing is asked of it and weights are multiplied by `scale`.
int home_weight(const Rollout& rollout, MemberIndex index, int scale);
// How many of the pool's serving members its load balancers need, so that they can take out a failing one.
std::uint32_t least_serving(const Rollout& rollout, PoolIndex pool, bool rolling_back);
// Whether the host may leave its pools without undercutting the floor or overloading another: empty, or the sum that
// forbids it.
std::string why_not_out(const Rollout& rollout, HostIndex host, bool rolling_back);
// The same of giving a host that somebody else holds its originals back: they may carry less than what it has now.
std::string why_not_as_found(const Rollout& rollout, HostIndex host);
// Whether one more host may be started now: empty, or why not.
std::string why_not_start(const Rollout& rollout, HostIndex host);
// "lb1/app cannot tell: no answer within 2s"; empty: every source answers.
std::string lost_sources(const Rollout& rollout);
// Whether the served share is what the pool's weights give (served_share.cpp): empty, or the figures. `known`: it was off
// already, and is so until the deviation itself is small enough, noise or not.
std::string why_share_off(const Rollout& rollout, const Served& served, bool known);
// Why the release cannot be judged now: a source is lost, or the served share is not what the weights give; empty: it can.
std::string no_evidence(const Rollout& rollout);
// What of the stage itself is not in place, whatever the evidence says: empty, nothing.
std::string why_unfinished(const Rollout& rollout);
// What the stage's weights wait for, which could not all be written: empty, a canary on its way out.
std::string why_due(const Rollout& rollout);
// What a host under way may be waiting for: a source other than the front end's counters, or a pool to be open.
std::string waits_for(const Rollout& rollout);
// The hosts that need a person, and why, as a sentence; empty: none.
std::string named_hosts(const Rollout& rollout);

template <class F>
void each_member(const Rollout& rollout, HostIndex host, F&& do_with) {
  const auto& planned = rollout.plan.hosts[host];
  for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) do_with(member);
}

template <class F>
bool any_member(const Rollout& rollout, HostIndex host, F&& is_so) {
  bool any = false;
  each_member(rollout, host, [&](MemberIndex member) { any = any || is_so(member); });
  return any;
}

}  // namespace shiftd
