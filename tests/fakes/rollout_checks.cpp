#include "tests/fakes/rollout_checks.hpp"

#include <algorithm>

#include "daemon/engine/decide.hpp"

namespace shiftd {
namespace {

Setting present_setting(const MemberState& member) { return member.holder == Holder::theirs ? member.known.setting : member.wanted; }

bool waits_for_its_turn(const Rollout& rollout, HostIndex host) {
  auto phase = rollout.hosts[host].phase;
  return rollout.plan.hosts[host].role == Role::upgrade &&
         (phase == HostPhase::pooled_old || phase == HostPhase::preparing || phase == HostPhase::ready);
}

template <class F>
void members_of(const Rollout& rollout, HostIndex host, F&& do_with) {
  const auto& planned = rollout.plan.hosts[host];
  for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) do_with(member);
}

// How many serving members the pool's load balancers need: what they say now; for a roll back no margin, and no more than
// when it was planned.
std::uint32_t needed(const Rollout& rollout, PoolIndex index) {
  const auto& pool = rollout.plan.pools[index];
  const auto& now = rollout.thresholds[index];
  if (now.view.empty() || pool.least_flow == 0) return pool.least_serving;
  if (rollout.phase == Phase::rolling_back) return std::min(now.needs(0), pool.threshold.needs(0));
  return now.needs(pool.margin);
}

// No decision of ours about the host takes more traffic away from a pool than its bounds allow.
std::string broken_bounds(const Rollout& before, const Rollout& after, HostIndex host) {
  bool back = after.phase == Phase::rolling_back;
  bool errs = before.hosts[host].erring;
  for (PoolIndex index = 0; index < after.flows.size(); ++index) {
    const auto& pool = after.plan.pools[index];
    const auto& was = before.flows[index];
    const auto& is = after.flows[index];
    // While weights go from one scale to another, all of a pool's together, the flow says nothing.
    auto scale = std::min(after.scale, pool.scale);
    bool rescaling = after.scaled == after.now && after.scaled != Instant();
    auto left = errs || back ? is.flow : is.well();
    auto capacity = is.capacity - (errs || back ? 0 : is.erring_capacity);
    bool spared = errs && (back && after.condemned ? was.well() > 0 : was.well() >= scale * pool.least_flow_rollback);
    if (!rescaling && !spared && is.flow < was.flow && left < scale * (back ? pool.least_flow_rollback : pool.least_flow))
      return "we lowered the flow of " + pool.name + " to " + std::to_string(left);
    if (is.serving < was.serving && is.serving < needed(after, index))
      return "we lowered the members of " + pool.name + " to " + std::to_string(is.serving);
    if (!back && !spared && is.capacity < was.capacity && capacity < pool.floor)
      return "we lowered the capacity of " + pool.name + " to " + std::to_string(capacity);
  }
  return {};
}

std::string broken_move(const Rollout& before, const HostMoved& moved, const Rollout& after,
                        const std::map<HostIndex, std::vector<Shown>>& seen) {
  const auto& host = before.hosts[moved.host];
  const auto& name = after.plan.hosts[moved.host].name;
  if (after.plan.hosts[moved.host].role != Role::upgrade) return name + " is not ours to move";
  bool touches = (moved.phase == HostPhase::upgrading || moved.phase == HostPhase::reverting) && moved.effect != 0;
  if (!touches) return {};
  bool back = after.phase == Phase::rolling_back && moved.phase == HostPhase::reverting;
  if (host.unconfirmed > 0 && !back) return name + " is touched though its members are not confirmed out";
  if (after.plan.hosts[moved.host].members == 0) return {};
  bool was_out = host.phase == HostPhase::upgrading || host.phase == HostPhase::verifying || host.phase == HostPhase::awaiting_health;
  auto shown = seen.find(moved.host);
  if (shown == seen.end()) return was_out ? "" : name + " is touched unseen since its store restarted";
  bool may_be_busy = after.plan.strategy.on_drain_limit == DrainDeadline::go_on || moved.phase == HostPhase::reverting;
  for (const auto& view : shown->second) {
    bool out = view.traffic == Traffic::none || (may_be_busy && view.traffic == Traffic::draining);
    // Its own word or a person's stands for that of a load balancer that cannot tell, never against one that can.
    if (view.blind()) out = back && view.traffic != Traffic::flowing;
    if (!out && !was_out) return name + " is touched while a view shows it " + std::string(to_string(view.traffic));
  }
  return {};
}

// To a closed pool nothing new is written but the traffic movement of a roll back. What is not new: a store that forgot,
// or was written late, is told again; and the other members of a host that somebody took go back to what they were.
std::string broken_closed(const Rollout& before, const MemberWanted& wanted) {
  const auto& planned = before.plan.members[wanted.member];
  const auto& member = before.members[wanted.member];
  if (!before.closed.contains(planned.pool)) return {};
  bool lowers = wanted.setting.pooled == Pooled::no || wanted.setting.weight < member.wanted.weight;
  if (before.phase == Phase::rolling_back && lowers) return {};
  if (wanted.setting == member.wanted || (member.holder == Holder::untouched && wanted.setting.pooled == Pooled::no)) return {};
  bool taken = false;
  members_of(before, planned.host, [&](MemberIndex other) { taken = taken || before.members[other].holder == Holder::theirs; });
  return taken ? "" : "we write " + planned.name + " though its pool is closed";
}

}  // namespace

std::string broken_sums(const Rollout& rollout) {
  std::array<std::uint32_t, host_phases> count{};
  std::vector<PoolFlow> flows(rollout.plan.pools.size());
  std::uint32_t failed = 0;
  std::uint32_t unconfirmed_hosts = 0;
  auto hosts = static_cast<HostIndex>(rollout.hosts.size());
  auto first_waiting = hosts;
  auto first_unprepared = hosts;
  for (HostIndex host = 0; host < hosts; ++host) {
    const auto& state = rollout.hosts[host];
    const auto& name = rollout.plan.hosts[host].name;
    if (rollout.plan.hosts[host].role == Role::upgrade) ++count[static_cast<std::size_t>(state.phase)];
    if (state.failed) ++failed;
    std::uint32_t unconfirmed = 0;
    members_of(rollout, host, [&](MemberIndex index) {
      const auto& member = rollout.members[index];
      if (!member.confirmed) ++unconfirmed;
      auto setting = present_setting(member);
      if (!in_traffic(state.phase) || member.down || setting.pooled != Pooled::yes) return;
      auto& flow = flows[rollout.plan.members[index].pool];
      flow.flow += setting.weight;
      if (state.phase == HostPhase::serving_new || rollout.plan.hosts[host].role == Role::already_there) flow.canary += setting.weight;
      flow.capacity += rollout.plan.members[index].original.setting.weight;
      if (state.erring) flow.erring_flow += setting.weight;
      if (state.erring) flow.erring_capacity += rollout.plan.members[index].original.setting.weight;
      flow.serving += setting.weight > 0 ? 1 : 0;
    });
    if (unconfirmed != state.unconfirmed) return name + " has " + std::to_string(unconfirmed) + " unconfirmed members";
    if (unconfirmed > 0) ++unconfirmed_hosts;
    if (rollout.moving.contains(host) != is_moving(state.phase)) return name + " moves or not";
    if (rollout.upgraded.contains(host) != (state.phase == HostPhase::serving_new)) return name + " is upgraded or not";
    if (rollout.failing.contains(host) && !(state.failed && state.phase == HostPhase::serving_new)) return name + " is failing or not";
    if (waits_for_its_turn(rollout, host)) first_waiting = std::min(first_waiting, host);
    if (waits_for_its_turn(rollout, host) && state.phase == HostPhase::pooled_old && !state.prepared)
      first_unprepared = std::min(first_unprepared, host);
  }
  if (count != rollout.count) return "the hosts by phase are miscounted";
  std::vector<std::uint32_t> writing(rollout.plan.pools.size());
  for (MemberIndex index = 0; index < rollout.members.size(); ++index)
    writing[rollout.plan.members[index].pool] += rollout.members[index].effect != 0 ? 1 : 0;
  if (writing != rollout.writing) return "the writes under way are miscounted";
  if (flows != rollout.flows) return "the flows are wrong";
  if (failed != rollout.failed) return "the failed hosts are miscounted";
  if (unconfirmed_hosts != rollout.unconfirmed) return "the unconfirmed hosts are miscounted";
  if (rollout.phase == Phase::queued) return {};
  if (rollout.next_start > first_waiting) return "a waiting host is passed over";
  if (rollout.next_prepare > first_unprepared) return "an unprepared host is passed over";
  return {};
}

// What it weighs while nothing is asked of it; in a pool whose weights are multiplied, as much more.
int at_home(const Rollout& rollout, MemberIndex index) {
  auto scale = std::min(rollout.scale, rollout.plan.pools[rollout.plan.members[index].pool].scale);
  return rollout.members[index].original.setting.weight * scale;
}

// What the present stage gives it; when all of the pool is on the release, as much as somebody may have made of it and handed back.
int gives(const Rollout& rollout, MemberIndex index) {
  auto weight = stage_weight(rollout.plan, rollout.current_stage(), rollout.plan.members[index]);
  return rollout.current_stage().asked.fraction() < 1 ? weight : std::max(weight, at_home(rollout, index));
}

// A stage that passes was seen at its weights.
std::string broken_pass(const Rollout& before) {
  for (MemberIndex index = 0; index < before.members.size(); ++index) {
    const auto& planned = before.plan.members[index];
    const auto& member = before.members[index];
    bool ours = member.holder == Holder::ours && before.upgraded.contains(planned.host) && member.wanted.pooled == Pooled::yes;
    if (ours && member.wanted.weight > gives(before, index))
      return before.plan.hosts[planned.host].name + " has more weight than its stage, which passes";
  }
  return {};
}

std::string broken_by(const Rollout& before, const Record& record, const Rollout& after,
                      const std::map<HostIndex, std::vector<Shown>>& seen) {
  if (before.phase == Phase::ended) return "a record after the end";
  if (record.at < before.now) return "time went backwards";
  if (const auto* moved = std::get_if<HostMoved>(&record.fact)) {
    if (auto broken = broken_move(before, *moved, after, seen); !broken.empty()) return broken;
    if (moved->phase == HostPhase::rejoining) return {};  // what serves goes on serving; the books only wait for the views
    return broken_bounds(before, after, moved->host);
  }
  if (std::holds_alternative<StagePassed>(record.fact)) return broken_pass(before);
  if (const auto* wanted = std::get_if<MemberWanted>(&record.fact)) {
    const auto& member = before.members[wanted->member];
    auto host = after.plan.members[wanted->member].host;
    const auto& name = after.plan.hosts[host].name;
    const auto& pool = after.plan.pools[after.plan.members[wanted->member].pool];
    if (after.plan.hosts[host].role != Role::upgrade && member.holder == Holder::untouched && pool.scale == 1)
      return "we write " + name + ", which is not ours";
    if (member.holder == Holder::theirs && before.hosts[host].phase != HostPhase::left) return "we overwrite another's " + name;
    const auto& original = member.original.setting;
    if (wanted->setting.weight > std::max(at_home(after, wanted->member), 1) && wanted->setting.pooled == Pooled::yes)
      return name + " gets more weight than it had";
    if (wanted->setting.pooled == Pooled::yes && original.pooled != Pooled::yes) return "we pool " + name + ", which was found depooled";
    if (wanted->setting.pooled == Pooled::yes && wanted->setting.weight == 0 && original.weight != 0) return name + " gets weight 0";
    auto phase = before.hosts[host].phase;
    bool on_release = phase == HostPhase::verifying || phase == HostPhase::awaiting_health || phase == HostPhase::serving_new;
    if (on_release && after.rolling() && wanted->setting.pooled == Pooled::yes) {
      auto planned = gives(after, wanted->member);
      auto has = member.known.setting.pooled == Pooled::yes ? member.known.setting.weight : 0;  // and may keep, where nobody could carry it
      if (wanted->setting.weight > std::max({planned, member.wanted.weight, has})) return name + " gets more weight than its stage has";
    }
    if (auto why = broken_closed(before, *wanted); !why.empty()) return why;
    if (wanted->verbatim != (wanted->setting == original)) return name + " is verbatim or not";
    // What a person had raised and handed back, and a restart has taken away, was not taken by us.
    const auto& known = member.known.setting;
    bool raised = member.wanted.weight > at_home(before, wanted->member);
    bool carries_no_more = known.pooled != Pooled::yes || known.weight <= wanted->setting.weight;
    if (wanted->setting.pooled == Pooled::yes && raised && carries_no_more) return {};
    return broken_bounds(before, after, host);
  }
  return {};
}

std::string broken_end(const Rollout& rollout) {
  if (rollout.phase != Phase::ended) return {};
  if (!outstanding(rollout).empty()) return "effects outstanding after the end";
  if (rollout.reason.empty()) return "ended without a reason";
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
    const auto& state = rollout.hosts[host];
    const auto& name = rollout.plan.hosts[host].name;
    bool named = rollout.reason.find(name + " ") != std::string::npos || rollout.reason.find(" more") != std::string::npos;
    std::string broken;
    members_of(rollout, host, [&](MemberIndex index) {
      const auto& member = rollout.members[index];
      bool as_found = member.known.setting == member.original.setting && member.known.bytes == member.original.bytes;
      bool never_touched =
          rollout.plan.hosts[host].role != Role::upgrade && rollout.plan.pools[rollout.plan.members[index].pool].scale == 1;
      if (as_found || named || never_touched || member.holder == Holder::theirs) return;
      broken = name + " is neither as it was found nor named";
    });
    if (!broken.empty()) return broken;
    bool must_be_named = is_moving(state.phase) || state.phase == HostPhase::out || state.phase == HostPhase::left;
    if (must_be_named && !named) return name + " is " + std::string(to_string(state.phase)) + " and not named";
  }
  return {};
}

}  // namespace shiftd
