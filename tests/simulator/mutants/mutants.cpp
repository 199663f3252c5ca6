#include "tests/simulator/mutants/mutants.hpp"

#include <algorithm>

#include "daemon/engine/decide.hpp"
#include "daemon/engine/deciding.hpp"

namespace shiftd {

// The product's own, under other names.
void true_take_in(Rollout& scratch, const Event& event, Instant now, Decision& decision);
void true_follow(Rollout& scratch, Instant now, Decision& decision);
std::vector<Effect> true_outstanding(const Rollout& rollout);
std::string true_why_not_out(const Rollout& rollout, HostIndex host, bool rolling_back);
std::string true_why_not_start(const Rollout& rollout, HostIndex host);
std::string true_why_not_write(const Rollout& rollout, MemberIndex member, const std::vector<EffectId>& sent);
bool true_takes_part(const MemberState& member);
std::string true_named_hosts(const Rollout& rollout);
Shown true_shown_by(const std::vector<MemberView>& views);

namespace simulator {
namespace {

Mutant active = Mutant::none;

bool is(Mutant mutant) { return active == mutant; }

}  // namespace

void become(Mutant mutant) { active = mutant; }

std::string_view name_of(Mutant mutant) {
  static constexpr std::array<std::string_view, mutants_count> names{
      "none",
      "skips_the_drain",
      "takes_no_answer_for_empty",
      "believes_one_view",
      "ignores_the_bounds",
      "undercuts_by_one_host",
      "bounds_of_a_roll_back",
      "overwrites_people",
      "repools_what_was_out",
      "weight_one_too_many",
      "promotes_on_no_data",
      "forgets_to_name_hosts",
      "ends_without_a_word",
      "swaps_again_when_unknown",
      "restores_without_revert",
      "trusts_late_results",
      "forgets_what_was_outstanding",
      "loses_a_write",
      "believes_its_write_at_once",
      "ends_with_hosts_on_their_way",
      "forgets_that_a_store_forgot",
      "exceeds_the_share",
      "ignores_the_verdict",
      "ignores_people",
      "takes_failures_for_success",
      "leaves_stragglers_out",
      "forgets_due_weights",
  };
  return names[static_cast<std::size_t>(mutant)];
}

namespace {

// What the event becomes before the engine hears of it.
Event mutated(const Rollout& rollout, Event event) {
  if (const auto* failed = std::get_if<StepFailed>(&event); failed != nullptr && is(Mutant::takes_failures_for_success))
    return StepDone{failed->host, failed->effect, {}, {}};
  const auto* judged = std::get_if<Judged>(&event);
  if (judged != nullptr && judged->call == Judgement::roll_back && is(Mutant::ignores_the_verdict)) return Tick{};
  if (std::holds_alternative<Command>(event) && is(Mutant::ignores_people)) return Tick{};
  if (std::holds_alternative<StoreForgot>(event) && is(Mutant::forgets_that_a_store_forgot)) return Tick{};
  if (std::holds_alternative<Tick>(event) && is(Mutant::promotes_on_no_data) && rollout.phase == Phase::baking)
    return Judged{rollout.stage, Judgement::promote, "surely"};
  return event;
}

// What the record becomes before it is applied and saved; `more` follows it.
void mutate(const Rollout& rollout, Record& record, std::vector<Record>& more) {
  auto* moved = std::get_if<HostMoved>(&record.fact);
  if (auto* due = std::get_if<WeightsDue>(&record.fact); due != nullptr && is(Mutant::forgets_due_weights)) due->on = false;
  if (moved != nullptr && moved->phase == HostPhase::draining && is(Mutant::skips_the_drain)) {
    auto effect = rollout.next_effect;
    more.push_back({record.at, HostMoved{moved->host, HostPhase::upgrading, effect, false, "", false}});
  }
  if (moved != nullptr && moved->phase == HostPhase::reverting && is(Mutant::restores_without_revert) &&
      rollout.hosts[moved->host].swapped && rollout.phase == Phase::rolling_back) {
    const auto& planned = rollout.plan.hosts[moved->host];
    auto effect = rollout.next_effect;
    *moved = HostMoved{moved->host, HostPhase::rejoining, 0, false, "", false};
    for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) {
      if (rollout.members[member].holder == Holder::ours)
        more.push_back({record.at, MemberWanted{member, rollout.members[member].original.setting, true, effect++}});
    }
  }
  if (moved != nullptr && moved->phase == HostPhase::reverting && is(Mutant::swaps_again_when_unknown) &&
      rollout.hosts[moved->host].phase == HostPhase::upgrading)
    moved->phase = HostPhase::upgrading;
  auto* wanted = std::get_if<MemberWanted>(&record.fact);
  if (wanted != nullptr && is(Mutant::weight_one_too_many) && wanted->verbatim) {
    ++wanted->setting.weight;
    wanted->verbatim = false;
  }
  if (wanted != nullptr && is(Mutant::exceeds_the_share) && rollout.rolling() && wanted->setting.pooled == Pooled::yes)
    wanted->setting.weight = rollout.members[wanted->member].original.setting.weight;
  if (wanted != nullptr && is(Mutant::believes_its_write_at_once)) {
    auto observed = rollout.members[wanted->member].known;
    observed.setting = wanted->setting;
    more.push_back({record.at, MemberSet{wanted->member, wanted->effect, observed}});
    more.push_back({record.at, MemberConfirmed{wanted->member}});
  }
  if (auto* planned = std::get_if<Planned>(&record.fact); planned != nullptr && is(Mutant::leaves_stragglers_out)) {
    for (auto& host : planned->plan.hosts)
      if (host.returning) host.role = Role::outside;
  }
  auto* taken = std::get_if<MemberTaken>(&record.fact);
  if (taken != nullptr && is(Mutant::overwrites_people) && rollout.members[taken->member].holder == Holder::ours) {
    auto member = taken->member;
    auto observed = taken->observed;
    record.fact = MemberSet{member, 0, observed};
    more.push_back({record.at, MemberWanted{member, rollout.members[member].wanted, false, rollout.next_effect}});
  }
  if (auto* ended = std::get_if<Ended>(&record.fact); ended != nullptr && is(Mutant::ends_without_a_word)) ended->reason.clear();
  if (std::holds_alternative<RollingBack>(record.fact) && is(Mutant::ends_with_hosts_on_their_way))
    more.push_back({record.at, Ended{shiftd::Outcome::rolled_back, "as good as"}});
}

bool has_other_bounds() { return is(Mutant::ignores_the_bounds) || is(Mutant::bounds_of_a_roll_back) || is(Mutant::undercuts_by_one_host); }

// The rollout as one who may take more than is right sees it.
Rollout with_other_bounds(Rollout rollout) {
  for (PoolIndex index = 0; index < rollout.flows.size(); ++index) {
    auto& pool = rollout.plan.pools[index];
    auto& flow = rollout.flows[index];
    if (pool.serving == 0) continue;
    if (is(Mutant::ignores_the_bounds)) pool.least_flow = pool.least_flow_rollback = pool.floor = pool.least_serving = 0;
    if (is(Mutant::bounds_of_a_roll_back)) pool.least_flow = pool.least_flow_rollback, pool.floor = 0;
    if (!is(Mutant::undercuts_by_one_host)) continue;
    auto one = pool.weight / pool.serving;
    flow.flow += one;
    flow.capacity += one;
    flow.serving += 1;
  }
  return rollout;
}

}  // namespace
}  // namespace simulator

using simulator::is;
using simulator::Mutant;

namespace {

void take(Rollout& scratch, std::vector<Record> records, Decision& decision) {
  for (auto& record : records) {
    if (scratch.phase == Phase::ended) return;
    std::vector<Record> more;
    simulator::mutate(scratch, record, more);
    more.insert(more.begin(), std::move(record));
    for (auto& each : more) {
      apply(scratch, each);
      decision.records.push_back(std::move(each));
    }
  }
}

}  // namespace

// As the product's, with each event and each record seen to.
void take_in(Rollout& scratch, const Event& asked, Instant now, Decision& decision) {
  if (is(Mutant::none)) return true_take_in(scratch, asked, now, decision);
  now = std::max(now, scratch.now);
  take(scratch, decide(scratch, simulator::mutated(scratch, asked), now), decision);
  // The answer to one step comes a second time, and is taken for that to the next.
  const auto* done = std::get_if<StepDone>(&asked);
  if (done != nullptr && is(Mutant::trusts_late_results) && scratch.hosts[done->host].effect != done->effect)
    take(scratch, decide(scratch, StepDone{done->host, scratch.hosts[done->host].effect, done->members, done->note}, now), decision);
}

void follow(Rollout& scratch, Instant now, Decision& decision) {
  if (is(Mutant::none)) return true_follow(scratch, now, decision);
  now = std::max(now, scratch.now);
  for (std::size_t round = 0; round < 1'000 + 16 * scratch.hosts.size(); ++round) {
    auto more = proceed(scratch, now);
    if (more.empty()) break;
    take(scratch, std::move(more), decision);
  }
  for (const auto& record : decision.records) {
    for (auto& effect : effects_of(scratch, record)) decision.effects.push_back(std::move(effect));
  }
  bool loses = is(Mutant::loses_a_write) && decision.effects.size() > 1;
  if (loses && std::holds_alternative<WriteMember>(decision.effects.back().what)) decision.effects.pop_back();
}

std::vector<Effect> outstanding(const Rollout& rollout) {
  if (is(Mutant::forgets_what_was_outstanding)) return {};
  return true_outstanding(rollout);
}

std::string why_not_out(const Rollout& rollout, HostIndex host, bool rolling_back) {
  return simulator::has_other_bounds() ? true_why_not_out(simulator::with_other_bounds(rollout), host, rolling_back)
                                       : true_why_not_out(rollout, host, rolling_back);
}

std::string why_not_start(const Rollout& rollout, HostIndex host) {
  return simulator::has_other_bounds() ? true_why_not_start(simulator::with_other_bounds(rollout), host)
                                       : true_why_not_start(rollout, host);
}

std::string why_not_write(const Rollout& rollout, MemberIndex member, const std::vector<EffectId>& sent) {
  return simulator::has_other_bounds() ? true_why_not_write(simulator::with_other_bounds(rollout), member, sent)
                                       : true_why_not_write(rollout, member, sent);
}

std::string named_hosts(const Rollout& rollout) {
  if (is(Mutant::forgets_to_name_hosts)) return {};
  return true_named_hosts(rollout);
}

Shown shown_by(const std::vector<MemberView>& views) {
  auto changed = views;
  if (is(Mutant::believes_one_view) && changed.size() > 1) changed.resize(1);
  for (auto& view : changed) {
    if (is(Mutant::takes_no_answer_for_empty) && view.traffic == Traffic::cannot_tell) view.traffic = Traffic::none;
  }
  return true_shown_by(changed);
}

bool takes_part(const MemberState& member) {
  if (is(Mutant::repools_what_was_out)) return member.original.setting.weight > 0 && member.holder != Holder::theirs;
  return true_takes_part(member);
}

}  // namespace shiftd
