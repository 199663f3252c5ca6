#include <algorithm>
#include <vector>

#include "daemon/engine/deciding.hpp"

namespace shiftd {

bool serves(const MemberState& member) { return member.original.setting.pooled == Pooled::yes && member.original.setting.weight > 0; }

bool serves(const Rollout& rollout, HostIndex host) {
  return any_member(rollout, host, [&](MemberIndex member) { return serves(rollout.members[member]); });
}

bool takes_part(const MemberState& member) { return serves(member) && member.holder != Holder::theirs; }

namespace {

std::string closed_text(const Rollout& rollout, PoolIndex pool, const std::string& why) {
  return rollout.plan.pools[pool].name + " is closed: " + why;
}

}  // namespace

std::string why_closed(const Rollout& rollout, HostIndex host) {
  if (rollout.closed.empty()) return {};
  std::string text;
  each_member(rollout, host, [&](MemberIndex index) {
    auto found = rollout.closed.find(rollout.plan.members[index].pool);
    if (text.empty() && found != rollout.closed.end()) text = closed_text(rollout, found->first, found->second);
  });
  return text;
}

std::int64_t scale_of(const Rollout& rollout, PoolIndex pool) { return std::min(rollout.scale, rollout.plan.pools[pool].scale); }

int home_weight(const Rollout& rollout, MemberIndex index, int scale) {
  const auto& original = rollout.members[index].original.setting;
  const auto& pool = rollout.plan.pools[rollout.plan.members[index].pool];
  auto scaled = std::int64_t{original.weight} * std::min(scale, pool.scale);
  return static_cast<int>(std::min<std::int64_t>(scaled, std::max(original.weight, pool.capabilities.weight_most)));
}

std::uint32_t least_serving(const Rollout& rollout, PoolIndex index, bool rolling_back) {
  const auto& pool = rollout.plan.pools[index];
  const auto& threshold = rollout.thresholds[index];
  if (threshold.view.empty() || pool.least_flow == 0) return pool.least_serving;  // nobody says; or there is nothing to keep up
  // A roll back takes the margin, and what was asked for since the plan does not hinder it.
  return rolling_back ? std::min(threshold.needs(0), pool.threshold.needs(0)) : threshold.needs(pool.margin);
}

bool spared(const Rollout& rollout, PoolIndex pool, const PoolFlow& flow) {
  bool condemned = rollout.phase == Phase::rolling_back && rollout.condemned;
  return condemned ? flow.well() > 0 : flow.well() >= scale_of(rollout, pool) * rollout.plan.pools[pool].least_flow_rollback;
}

namespace {

bool lowers(const Setting& setting, int weight) { return setting.pooled == Pooled::yes && setting.weight > weight; }

// What forbids the member's going from `setting` to `weight` (0: out of its pool), when that takes load or capacity away: empty,
// nothing. `flow`: of its pool; `own`: its part of that, if it has one.
//
// On the way out the others have to carry it without the hosts that err, which are no capacity. A roll back, which a broken
// baseline must not forbid, counts them by their weights, as does an erring host's own leaving.
std::string why_not_lowered(const Rollout& rollout, MemberIndex index, Setting setting, int weight, const PoolFlow& flow,
                            const PoolFlow& own, bool rolling_back) {
  const auto& member = rollout.members[index];
  const auto& planned = rollout.plan.members[index];
  if (!lowers(setting, weight)) return {};
  if (member.down) return {};  // carries nothing there, and may always be removed
  const auto& pool = rollout.plan.pools[planned.pool];
  bool errs = rollout.hosts[planned.host].erring;
  bool free = errs && spared(rollout, planned.pool, flow);
  bool uncounted = !errs && !rolling_back && flow.erring_flow > 0;
  auto says = [&](std::int64_t left, std::int64_t of, std::int64_t least, const char* bound) {
    return rollout.plan.hosts[planned.host].name + (weight == 0 ? " out" : " at weight " + std::to_string(weight)) + " would leave " +
           std::to_string(left) + " of " + std::to_string(of) + " in " + pool.name + ", " + bound + " is " + std::to_string(least) +
           (uncounted ? "; hosts that answer mostly with failures do not count" : "");
  };
  auto scale = scale_of(rollout, planned.pool);
  auto least_flow = scale * (rolling_back ? pool.least_flow_rollback : pool.least_flow);
  auto flow_left = flow.flow - (uncounted ? flow.erring_flow : 0) - own.flow + weight;
  if (!free && flow_left < least_flow)
    return says(flow_left, pool.weight * scale, least_flow,
                rolling_back ? "the least weight under max_load_rollback" : "the least weight under max_load");
  if (weight > 0) return {};
  // Its load balancer does not know that it errs.
  auto needed = least_serving(rollout, planned.pool, rolling_back);
  auto serving_left = flow.serving - own.serving;
  if (serving_left < needed) {
    const auto& threshold = rollout.thresholds[planned.pool];
    auto who = threshold.view.empty() ? "its load balancer" : to_string(threshold, rolling_back ? 0 : pool.margin);
    return says(serving_left, pool.serving, needed, ("the least needed by " + who).c_str());
  }
  // A roll back is bounded by load and by the load balancers' own thresholds, not by the service's wish for spare
  // capacity.
  auto capacity_left = flow.capacity - (uncounted ? flow.erring_capacity : 0) - own.capacity;
  if (!rolling_back && !free && capacity_left < pool.floor) return says(capacity_left, pool.weight, pool.floor, "the floor of weight");
  return {};
}

// By what was decided. A host on its way out is missing in the flows already.
std::string why_not_lowered(const Rollout& rollout, MemberIndex index, int weight, bool rolling_back) {
  const auto& planned = rollout.plan.members[index];
  auto setting = present(rollout.members[index]);
  bool in_flows = in_traffic(rollout.hosts[planned.host].phase);
  auto own = in_flows ? carried(rollout, index, setting) : PoolFlow();
  return why_not_lowered(rollout, index, setting, weight, rollout.flows[planned.pool], own, rolling_back);
}

}  // namespace

std::string why_not_out(const Rollout& rollout, HostIndex host, bool rolling_back) {
  if (!rolling_back) {
    if (auto closed = why_closed(rollout, host); !closed.empty()) return closed;
  }
  std::string forbidden;
  each_member(rollout, host, [&](MemberIndex index) {
    if (forbidden.empty()) forbidden = why_not_lowered(rollout, index, 0, rolling_back);
  });
  return forbidden;
}

std::string why_not_write(const Rollout& rollout, MemberIndex index, const std::vector<EffectId>& sent) {
  const auto& member = rollout.members[index];
  int weight = member.wanted.pooled == Pooled::yes ? member.wanted.weight : 0;
  // Most writes take nothing away: for them nothing is added up.
  if (!member.missed || !lowers(member.known.setting, weight)) return {};
  // At home it carries what it was found with: it has come down from a scaled weight, as all do.
  if (weight >= home_weight(rollout, index, rollout.scale)) return {};
  auto pool = rollout.plan.members[index].pool;
  auto flow = rollout.flows[pool];
  auto is_sent = [&](MemberIndex other) { return !sent.empty() && sent[other] == rollout.members[other].effect; };
  for (MemberIndex other = 0; other < rollout.members.size(); ++other) {
    const auto& waits = rollout.members[other];
    if (other != index && (rollout.plan.members[other].pool != pool || waits.effect == 0 || is_sent(other))) continue;
    if (in_traffic(rollout.hosts[rollout.plan.members[other].host].phase)) flow.add(carried(rollout, other, present(waits)), -1);
    flow.add(carried(rollout, other, waits.known.setting), +1);
  }
  auto own = carried(rollout, index, member.known.setting);
  return why_not_lowered(rollout, index, member.known.setting, weight, flow, own, rollout.phase == Phase::rolling_back);
}

std::string why_not_as_found(const Rollout& rollout, HostIndex host) {
  std::string forbidden;
  each_member(rollout, host, [&](MemberIndex index) {
    const auto& member = rollout.members[index];
    if (!forbidden.empty() || member.holder != Holder::theirs) return;
    bool stays_out = !serves(member) || rollout.plan.hosts[host].returning;
    auto weight = stays_out ? 0 : home_weight(rollout, index, rollout.scale);
    forbidden = why_not_lowered(rollout, index, weight, rollout.phase == Phase::rolling_back);
  });
  return forbidden;
}

std::string lost_sources(const Rollout& rollout) {
  if (rollout.lost.empty()) return {};
  const auto& [source, why] = *rollout.lost.begin();
  return source + " cannot tell: " + why;
}

std::string no_evidence(const Rollout& rollout) {
  if (auto lost = lost_sources(rollout); !lost.empty()) return lost;
  if (!rollout.share_off.empty()) return rollout.share_off.begin()->second;
  if (rollout.plan.watch == Duration(0) || rollout.watched) return {};
  return "watching until " + to_string(rollout.plan.watch) + " of the hosts' history are known, before the first of them leaves its pools";
}

std::string why_unfinished(const Rollout& rollout) {
  if (!rollout.failing.empty()) {
    auto host = *rollout.failing.begin();
    return rollout.plan.hosts[host].name + " has failed (" + rollout.hosts[host].why +
           ") and cannot be taken out: " + why_not_out(rollout, host, false);
  }
  if (auto waits = waits_for(rollout); !waits.empty()) return waits;
  if (rollout.unconfirmed > 0) return "not every load balancer shows what was written";
  return rollout.weights_due ? why_due(rollout) : std::string();
}

std::string why_due(const Rollout& rollout) {
  if (auto waits = waits_for(rollout); !waits.empty()) return waits;
  for (auto host : rollout.upgraded) {
    std::string above;
    each_member(rollout, host, [&](MemberIndex index) {
      const auto& planned = rollout.plan.members[index];
      const auto& wanted = rollout.members[index].wanted;
      auto gives = stage_weight(rollout.plan, rollout.current_stage(), planned);
      if (!above.empty() || !takes_part(rollout.members[index]) || wanted.pooled != Pooled::yes || wanted.weight <= gives) return;
      above = rollout.plan.hosts[host].name + " has weight " + std::to_string(wanted.weight) + " in " +
              rollout.plan.pools[planned.pool].name + " where the stage gives it " + std::to_string(gives) +
              ": the others cannot carry the rest";
    });
    if (!above.empty()) return above;
  }
  return {};
}

std::string waits_for(const Rollout& rollout) {
  for (const auto& [source, why] : rollout.lost) {
    if (source != "front end") return source + " cannot tell: " + why;
  }
  for (const auto& [pool, why] : rollout.closed) return closed_text(rollout, pool, why);
  return {};
}

std::string why_not_start(const Rollout& rollout, HostIndex host) {
  if (auto missing = rollout.overridden ? waits_for(rollout) : no_evidence(rollout); !missing.empty()) return missing;
  if (auto closed = why_closed(rollout, host); !closed.empty()) return closed;
  auto in_flight = rollout.in_flight();
  if (in_flight >= rollout.plan.batch) return "the batch is full";
  if (in_flight > 0 && rollout.failed + in_flight + 1 > rollout.plan.max_failed) return "max_failed allows no more hosts at a time";
  return why_not_out(rollout, host, false);
}

namespace {

bool lowered(const Rollout& rollout, HostIndex host) {
  return any_member(rollout, host, [&](MemberIndex index) {
    const auto& member = rollout.members[index];
    return takes_part(member) && member.wanted.weight < home_weight(rollout, index, rollout.scale);
  });
}

// At a weight that neither was its own nor is the stage's: as a person left it who has handed it back.
bool differs(const Rollout& rollout, HostIndex host) {
  return any_member(rollout, host, [&](MemberIndex index) {
    const auto& member = rollout.members[index];
    auto setting = member.original.setting;
    if (serves(member)) setting.weight = home_weight(rollout, index, rollout.scale);
    return member.holder == Holder::ours && member.wanted != setting;
  });
}

bool unseen(const Rollout& rollout, HostIndex host) {
  return any_member(rollout, host, [&](MemberIndex index) { return rollout.members[index].blind; });
}

}  // namespace

std::string named_hosts(const Rollout& rollout) {
  constexpr std::size_t names_most = 20;
  std::string text;
  std::size_t named = 0;
  std::size_t unnamed = 0;
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
    const auto& state = rollout.hosts[host];
    const char* what = nullptr;
    if (state.phase == HostPhase::out) what = "is out of its pools";
    if (state.phase == HostPhase::left) what = "was changed by someone else and left alone";
    if (state.phase == HostPhase::straggler)
      what = rollout.had_it.contains(host) ? "was left as it was found" : "still serves its former release";
    if (state.phase == HostPhase::restored && state.failed) what = "failed and is back on its former release";
    if (what == nullptr && state.phase == HostPhase::restored && unseen(rollout, host))
      what = "was given back, which not every load balancer showed";
    if (rollout.failing.contains(host)) what = "failed and still serves the release";
    // Who is only being prepared needs nobody: it serves as it was found.
    if (is_moving(state.phase) && state.phase != HostPhase::preparing) what = "was left unfinished";
    bool out_as_found = rollout.plan.hosts[host].returning && rollout.plan.hosts[host].role == Role::upgrade &&
                        state.phase != HostPhase::serving_new && state.phase != HostPhase::left;
    if (out_as_found) what = "is out of its pools";
    bool condemned = rollout.condemned && rollout.phase == Phase::aborting && state.phase == HostPhase::serving_new;
    if (what == nullptr && condemned) what = "serves the release that was condemned";
    if (what == nullptr && state.phase == HostPhase::serving_new && lowered(rollout, host)) what = "serves at a lowered weight";
    if (what == nullptr && state.phase == HostPhase::serving_new && differs(rollout, host)) what = "does not serve as it was found";
    if (what == nullptr) continue;
    if (named++ >= names_most) {
      ++unnamed;
      continue;
    }
    if (!text.empty()) text += "; ";
    text += rollout.plan.hosts[host].name + " " + what;
    if (!state.why.empty()) text += " (" + state.why + ")";
  }
  if (unnamed > 0) text += "; and " + std::to_string(unnamed) + " more";
  return text;
}

bool errs(double requests, double failures, bool known) {
  constexpr double requests_least = 20;
  if (requests < requests_least) return known;
  return failures > requests * (known ? 0.25 : 0.5);
}

Shown shown_by(const std::vector<MemberView>& views) {
  Shown shown;
  if (views.empty()) {
    shown.why = "no load balancer was asked";
    return shown;
  }
  auto rank = [](Traffic traffic) {
    return traffic == Traffic::flowing ? 3 : traffic == Traffic::draining ? 2 : traffic == Traffic::none ? 1 : 0;
  };
  auto illness = [](Health health) { return health == Health::down ? 3 : health == Health::unknown ? 2 : health == Health::up ? 1 : 0; };
  shown.health = Health::unchecked;
  for (const auto& view : views) {
    if (illness(view.health) > illness(shown.health)) shown.health = view.health;
    if (view.traffic == Traffic::cannot_tell) {
      shown.why = view.why.empty() ? "it does not say" : view.why;
      continue;
    }
    bool first = shown.traffic == Traffic::cannot_tell;
    if (rank(view.traffic) > rank(shown.traffic)) shown.traffic = view.traffic;
    shown.flows_everywhere = (first || shown.flows_everywhere) && view.traffic == Traffic::flowing;
    shown.weight = std::max(shown.weight, view.weight);
    shown.weight_least = first ? view.weight : std::min(shown.weight_least, view.weight);
  }
  return shown;
}

}  // namespace shiftd
