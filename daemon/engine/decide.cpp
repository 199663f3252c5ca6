#include "daemon/engine/decide.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/base/invariant.hpp"
#include "daemon/engine/deciding.hpp"

namespace shiftd {

namespace {

// How long after its bake a stage may wait for its verdict before people hear of it.
constexpr Duration verdict_patience{std::chrono::seconds(5)};
constexpr const char* not_enough = "the bake is over, and the evidence is not enough to go on";

}  // namespace

void Deciding::operator()(const PlanMade& event) {
  if (rollout_.phase != Phase::queued) return;
  say(Planned{event.plan});
  if (!event.plan.stages.empty()) say(StageBegun{0});
}

void Deciding::operator()(const PlanRefused& event) {
  if (rollout_.phase == Phase::queued) end(Outcome::failed, event.why);
}

void Deciding::operator()(const TimeJumped& event) {
  if (!rollout_.active()) return;
  say(ClockJumped{event.by});
  if (rollout_.phase == Phase::baking) say(StageBaking{rollout_.stage, now_ + rollout_.current_stage().bake});
}

Duration Deciding::confirm_limit(HostIndex host) const {
  Duration queue(0);
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& pool = rollout_.plan.pools[rollout_.plan.members[index].pool];
    queue = std::max(queue, time_for_writes(pool.capabilities, rollout_.members[index].queued));
  });
  return rollout_.plan.strategy.confirm_limit + queue;
}

// Until every view shows one pass of multiplied weights: a write for each member.
Duration Deciding::scale_limit() const {
  Duration writes(0);
  for (const auto& pool : rollout_.plan.pools) writes = std::max(writes, time_for_writes(pool.capabilities, pool.serving));
  return rollout_.plan.strategy.confirm_limit + writes;
}

void Deciding::operator()(const Tick&) {
  if (!rollout_.active()) return;
  for (auto host : rollout_.moving) check_deadline(host);
  for (HostIndex host = 0; rollout_.settling > 0 && host < rollout_.hosts.size(); ++host) {
    bool settles = state(host).unconfirmed > 0 && !is_moving(state(host).phase);
    auto waits_long = [&](MemberIndex index) {
      const auto& member = rollout_.members[index];
      return member.effect != 0 && now_ - member.wanted_at >= confirm_limit(host);
    };
    if (settles && open(host) && any_member(rollout_, host, waits_long)) stay_when_missed(host);
  }
  if (!records_.empty()) return;  // what follows is decided on what was said

  const auto& strategy = rollout_.plan.strategy;
  bool scaling = rollout_.scale > 1 && rollout_.phase == Phase::shifting && rollout_.unconfirmed > 0 && rollout_.upgraded.empty();
  if (scaling && rollout_.in_flight() == 0 && now_ - std::max(rollout_.scaled, rollout_.resumed) >= scale_limit())
    return pause_ourselves("the weights were multiplied by " + std::to_string(rollout_.scale) + ", and not every load balancer shows it");
  if (rollout_.rolling() && !rollout_.shrunk && !rollout_.overridden && rollout_.current_stage().lowered() &&
      rollout_.lost.contains("front end") && now_ - rollout_.blind_since >= strategy.blind_limit) {
    say(Shrunk{true});
    return set_weights(rollout_.current_stage(), true);
  }
  if (rollout_.phase != Phase::baking || rollout_.paused) return;
  if (now_ < rollout_.bake_until) return;
  if (auto missing = why_not_pass(); !missing.empty()) return hold(missing);
  if (!rollout_.current_stage().judged) return pass_stage("its checks passed for " + to_string(rollout_.current_stage().bake));
  // A judged stage passes by its verdict; until one comes, people should know what is missing.
  if (now_ - rollout_.bake_until >= verdict_patience && rollout_.held.rfind(not_enough, 0) != 0) hold(not_enough);
}

void Deciding::operator()(const Judged& event) {
  if (!rollout_.rolling() || event.stage != rollout_.stage) return;
  if (event.call == Judgement::roll_back) return roll_back("shiftd", event.evidence, true);
  if (rollout_.phase != Phase::baking || rollout_.paused || !rollout_.current_stage().judged) return;
  if (now_ < rollout_.bake_until || !why_not_pass().empty()) return;
  if (event.call == Judgement::keep_watching) {
    if (now_ - rollout_.bake_until >= verdict_patience) hold(std::string(not_enough) + ": " + event.evidence);
    return;
  }
  hold("");
  pass_stage(event.evidence);
}

void Deciding::operator()(const Served& event) {
  if (!rollout_.rolling() || event.pool >= rollout_.flows.size()) return;
  auto known = rollout_.share_off.find(event.pool);
  bool off = known != rollout_.share_off.end();
  auto why = why_share_off(rollout_, event, off);
  if (why.empty() != off) return;
  say(ShareOff{event.pool, why});
  if (off) hold("");  // what still holds it is found anew
}

void Deciding::operator()(const Answered& event) {
  if (!rollout_.active() || event.host >= rollout_.hosts.size() || !in_traffic(state(event.host).phase)) return;
  bool known = state(event.host).erring;
  if (errs(event.requests, event.failures, known) == known) return;
  auto count = [](double requests) { return std::to_string(std::llround(requests)); };
  say(HostErring{event.host, !known, count(event.failures) + " of " + count(event.requests) + " requests failed"});
}

void Deciding::operator()(const HistoryGrew& event) {
  if (!rollout_.rolling() || rollout_.watched || rollout_.plan.watch == Duration(0) || event.known < rollout_.plan.watch) return;
  say(Watched{event.known});
}

std::vector<Record> decide(const Rollout& rollout, const Event& event, Instant now) {
  Deciding deciding(rollout, now);
  std::visit(deciding, event);
  return deciding.take();
}

std::vector<Record> proceed(const Rollout& rollout, Instant now) {
  Deciding deciding(rollout, now);
  deciding.proceed();
  return deciding.take();
}

namespace {

void take(Rollout& scratch, std::vector<Record> records, Decision& decision) {
  for (auto& record : records) {
    apply(scratch, record);
    decision.records.push_back(std::move(record));
  }
}

}  // namespace

bool judges(const Event& event) {
  return std::holds_alternative<Tick>(event) || std::holds_alternative<Judged>(event) || std::holds_alternative<Command>(event);
}

void take_in(Rollout& scratch, const Event& event, Instant now, Decision& decision) {
  take(scratch, decide(scratch, event, std::max(now, scratch.now)), decision);
}

void follow(Rollout& scratch, Instant now, Decision& decision) {
  now = std::max(now, scratch.now);
  // Every round moves a host or the rollout; what needs more rounds than this turns in a circle.
  auto rounds_most = 1'000 + 16 * scratch.hosts.size();
  for (std::size_t round = 0;; ++round) {
    auto more = proceed(scratch, now);
    if (more.empty()) break;
    INVARIANT(round < rounds_most, "deciding on " + scratch.request.rollout + " does not come to an end");
    take(scratch, std::move(more), decision);
  }
  for (const auto& record : decision.records) {
    for (auto& effect : effects_of(scratch, record)) decision.effects.push_back(std::move(effect));
  }
}

Decision take_in(Rollout& scratch, const Event& event, Instant now) {
  Decision decision;
  take_in(scratch, event, now, decision);
  follow(scratch, now, decision);
  return decision;
}

std::string_view to_string(Step step) {
  switch (step) {
    case Step::prepare: return "prepare";
    case Step::await_idle: return "await_idle";
    case Step::prove_idle: return "prove_idle";
    case Step::upgrade: return "upgrade";
    case Step::verify_new: return "verify_new";
    case Step::revert: return "revert";
    case Step::verify_old: return "verify_old";
  }
  return "?";
}

namespace {

void add_step(const Rollout& rollout, HostIndex host, std::vector<Effect>& effects) {
  const auto& state = rollout.hosts[host];
  if (state.effect == 0) return;
  auto step = [&] {
    switch (state.phase) {
      case HostPhase::preparing: return Step::prepare;
      case HostPhase::quiescing:
      case HostPhase::requiescing: return Step::await_idle;
      case HostPhase::withdrawing:
      case HostPhase::emptying: return Step::prove_idle;
      case HostPhase::upgrading: return Step::upgrade;
      case HostPhase::verifying: return Step::verify_new;
      case HostPhase::reverting: return Step::revert;
      case HostPhase::reverifying: return Step::verify_old;
      default: break;
    }
    broken_invariant("phase has a step",
                     "host " + rollout.plan.hosts[host].name + " has an effect in phase " + std::string(to_string(state.phase)), __FILE__,
                     __LINE__);
  }();
  effects.push_back({state.effect, HostStep{host, step}});
}

void add_write(const Rollout& rollout, MemberIndex member, std::vector<Effect>& effects) {
  if (auto effect = rollout.members[member].effect; effect != 0) effects.push_back({effect, WriteMember{member}});
}

}  // namespace

std::vector<Effect> effects_of(const Rollout& after, const Record& record) {
  std::vector<Effect> effects;
  if (!after.active()) return effects;
  if (const auto* moved = std::get_if<HostMoved>(&record.fact);
      moved != nullptr && moved->effect != 0 && after.hosts[moved->host].effect == moved->effect) {
    add_step(after, moved->host, effects);
  }
  if (const auto* wanted = std::get_if<MemberWanted>(&record.fact);
      wanted != nullptr && after.members[wanted->member].effect == wanted->effect) {
    add_write(after, wanted->member, effects);
  }
  return effects;
}

std::vector<Effect> outstanding(const Rollout& rollout) {
  std::vector<Effect> effects;
  if (!rollout.active()) return effects;
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) add_step(rollout, host, effects);
  for (MemberIndex member = 0; member < rollout.members.size(); ++member) add_write(rollout, member, effects);
  return effects;
}

}  // namespace shiftd
