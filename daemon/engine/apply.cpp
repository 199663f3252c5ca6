#include <algorithm>

#include "daemon/base/invariant.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {
namespace {

// What one host adds to the flows of its pools is taken out before a change and put back after it, so that the sums stay
// right whatever the change was.
class Bookkeeper {
 public:
  Bookkeeper(Rollout& rollout, Instant at) : rollout_(rollout), at_(at) {}

  void operator()(const Requested& fact) {
    rollout_.request = fact.request;
    rollout_.created = at_;
  }

  void operator()(const Planned& fact) {
    rollout_.plan = fact.plan;
    rollout_.request.release = fact.plan.request.release;  // what was left out of it is known by now
    rollout_.count.fill(0);
    rollout_.failed = rollout_.unconfirmed = rollout_.settling = 0;
    rollout_.already_serving = rollout_.outside_serving = rollout_.without_traffic = 0;
    rollout_.next_prepare = rollout_.next_start = 0;
    for (auto* hosts : {&rollout_.moving, &rollout_.upgraded, &rollout_.failing, &rollout_.had_it}) hosts->clear();
    const auto& plan = rollout_.plan;
    rollout_.hosts.assign(plan.hosts.size(), HostState{});
    rollout_.members.clear();
    for (const auto& member : plan.members) {
      MemberState state;
      state.wanted = member.original.setting;
      state.original = state.known = member.original;
      if (member.found) {
        state.holder = Holder::ours;
        state.wanted = member.found->setting;
        state.known = *member.found;
        state.verbatim = false;
      }
      rollout_.members.push_back(std::move(state));
    }
    rollout_.flows.assign(plan.pools.size(), PoolFlow{});
    rollout_.writing.assign(plan.pools.size(), 0);
    rollout_.thresholds.clear();
    for (const auto& pool : plan.pools) rollout_.thresholds.push_back(pool.threshold);
    for (HostIndex host = 0; host < rollout_.hosts.size(); ++host) {
      rollout_.hosts[host].since = at_;
      if (plan.hosts[host].role == Role::upgrade) ++count(HostPhase::pooled_old);
      if (plan.hosts[host].role == Role::already_there && carries(host)) ++rollout_.already_serving;
      if (plan.hosts[host].role == Role::outside && carries(host)) ++rollout_.outside_serving;
      if (plan.hosts[host].role == Role::upgrade && !carries(host)) ++rollout_.without_traffic;
      put_back(host);
    }
    rollout_.phase = Phase::shifting;
    rollout_.stage_since = at_;
  }

  void operator()(const HostMoved& fact) {
    auto& host = rollout_.hosts.at(fact.host);
    take_out(fact.host);
    bool counted = rollout_.plan.hosts[fact.host].role == Role::upgrade;
    if (counted) --count(host.phase);
    if (is_moving(host.phase)) rollout_.moving.erase(fact.host);
    if (settles(host)) --rollout_.settling;
    if (host.phase == HostPhase::serving_new) {
      rollout_.upgraded.erase(fact.host);
      rollout_.failing.erase(fact.host);
    } else if (fact.phase == HostPhase::serving_new) {
      host.joined = at_;
    }
    if (fact.phase == HostPhase::left && host.swapped) rollout_.lost_canaries.insert(fact.host);
    if (fact.phase != HostPhase::left && fact.phase != HostPhase::depooling) rollout_.lost_canaries.erase(fact.host);
    // Nor can it be said that what it serves next is as bad.
    bool in_its_pools = in_traffic(fact.phase) || fact.phase == HostPhase::withdrawing || fact.phase == HostPhase::requiescing;
    if (!in_its_pools) host.erring = false;
    if (in_its_pools || fact.phase == HostPhase::emptying) host.put_back = false;
    host.phase = fact.phase;
    host.empty = fact.empty;
    host.since = at_;
    host.effect = fact.effect;
    host.why = fact.why;
    if (!fact.key.empty()) host.key = fact.key;
    if (!fact.rendered.empty()) host.rendered = fact.rendered;
    if (fact.effect != 0) rollout_.next_effect = std::max(rollout_.next_effect, fact.effect + 1);
    if (fact.failed && !host.failed) {
      host.failed = true;
      ++rollout_.failed;
    }
    note_release(host);
    if (counted) ++count(host.phase);
    if (is_moving(host.phase)) rollout_.moving.insert(fact.host);
    if (settles(host)) ++rollout_.settling;
    if (host.phase == HostPhase::serving_new) {
      rollout_.upgraded.insert(fact.host);
      if (fact.failed) rollout_.failing.insert(fact.host);
    }
    if (host.phase == HostPhase::pooled_old || host.phase == HostPhase::ready) {
      rollout_.next_start = std::min(rollout_.next_start, fact.host);
      if (!host.prepared) rollout_.next_prepare = std::min(rollout_.next_prepare, fact.host);
    }
    put_back(fact.host);
    advance_cursors();
  }

  void operator()(const HostHealth& fact) {
    const auto& planned = rollout_.plan.hosts.at(fact.host);
    for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) note_health(member, fact.down);
  }
  void operator()(const MemberHealth& fact) { note_health(fact.member, fact.down); }

  void operator()(const HostErring& fact) {
    auto& host = rollout_.hosts.at(fact.host);
    take_out(fact.host);
    host.erring = fact.on;
    put_back(fact.host);
  }

  void operator()(const ReleaseFound& fact) {
    auto& planned = rollout_.plan.hosts.at(fact.host);
    planned.digest = fact.digest;
    planned.asked = true;
    if (fact.digest == rollout_.request.release.digest) rollout_.had_it.insert(fact.host);
  }

  void operator()(const LateResult&) {}

  void operator()(const MemberWanted& fact) {
    auto& member = rollout_.members.at(fact.member);
    auto host = rollout_.plan.members[fact.member].host;
    take_out(host);
    if (member.effect != 0 && member.wanted != fact.setting) note_unsettled(member);
    auto phase = rollout_.hosts[host].phase;
    if (is_idle(phase) && fact.setting.pooled != Pooled::yes) rollout_.hosts[host].put_back = true;
    bool in_its_pools =
        in_traffic(phase) || phase == HostPhase::joining || phase == HostPhase::quiescing || phase == HostPhase::requiescing;
    member.missed = in_its_pools || (member.effect != 0 && member.missed);
    member.holder = Holder::ours;
    member.wanted = fact.setting;
    member.wanted_at = at_;
    member.verbatim = fact.verbatim;
    set_effect(fact.member, fact.effect);
    member.queued = rollout_.writing[rollout_.plan.members[fact.member].pool];
    rollout_.next_effect = std::max(rollout_.next_effect, fact.effect + 1);
    confirm(fact.member, false);
    put_back(host);
  }

  void operator()(const MemberSet& fact) {
    auto& member = rollout_.members.at(fact.member);
    // Somebody changed something else about it: that stays, and of the original only the setting is written back.
    bool other_fields = fact.observed.setting == member.known.setting && fact.observed.bytes != member.known.bytes;
    // The original's setting is never written but verbatim.
    bool not_verbatim = fact.observed.setting == member.original.setting && fact.observed.bytes != member.original.bytes;
    if ((fact.effect == 0 && other_fields) || not_verbatim) member.original.bytes.clear();
    know(member, fact.observed);
    if (fact.effect == 0 || member.effect != fact.effect) return;
    set_effect(fact.member, 0);
    member.unsettled.clear();
  }

  void operator()(const MemberConfirmed& fact) {
    confirm(fact.member, true);
    rollout_.members[fact.member].blind = fact.blind;
  }

  void operator()(const MemberTaken& fact) {
    auto host = rollout_.plan.members.at(fact.member).host;
    auto& member = rollout_.members.at(fact.member);
    take_out(host);
    member.holder = Holder::theirs;
    know(member, fact.observed);
    set_effect(fact.member, 0);
    confirm(fact.member, true);
    put_back(host);
  }

  void operator()(const MemberReturned& fact) {
    auto host = rollout_.plan.members.at(fact.member).host;
    auto& member = rollout_.members.at(fact.member);
    take_out(host);
    member.holder = fact.adopted ? Holder::untouched : Holder::ours;
    member.wanted = member.known.setting;
    if (fact.adopted) member.original = member.known;
    member.verbatim = member.known.setting == member.original.setting && member.known.bytes == member.original.bytes;
    put_back(host);
  }

  void operator()(const SourceLost& fact) {
    if (fact.source == "front end" && !rollout_.lost.contains(fact.source)) rollout_.blind_since = at_;
    rollout_.lost[fact.source] = fact.why;
  }
  void operator()(const SourceBack& fact) {
    rollout_.lost.erase(fact.source);
    if (rollout_.lost.empty()) rollout_.opened = at_;
  }

  void operator()(const PoolClosed& fact) {
    static_cast<void>(rollout_.plan.pools.at(fact.pool));  // of this plan
    rollout_.closed[fact.pool] = fact.why;
  }
  void operator()(const PoolOpened& fact) {
    rollout_.closed.erase(fact.pool);
    if (rollout_.closed.empty()) rollout_.opened = at_;
  }
  void operator()(const ThresholdChanged& fact) { rollout_.thresholds.at(fact.pool) = fact.threshold; }
  void operator()(const WeightsDue& fact) { rollout_.weights_due = fact.on; }

  void operator()(const StageBegun& fact) {
    rollout_.stage = fact.stage;
    rollout_.share_off.clear();
    rollout_.phase = Phase::shifting;
    rollout_.stage_since = at_;
  }
  void operator()(const StageBaking& fact) {
    rollout_.phase = Phase::baking;
    rollout_.bake_until = fact.until;
    rollout_.overridden = false;
  }
  void operator()(const StagePassed&) {}
  void operator()(const GateReached&) { rollout_.phase = Phase::gated; }
  void operator()(const GatePassed&) {}

  void operator()(const Held& fact) { rollout_.held = fact.why; }
  void operator()(const Shrunk& fact) { rollout_.shrunk = fact.on; }
  void operator()(const Overridden&) {
    rollout_.overridden = true;
    rollout_.watched = true;
  }
  void operator()(const Watched&) { rollout_.watched = true; }
  void operator()(const MetricIgnored& fact) { rollout_.ignored.insert(fact.metric); }
  void operator()(const ShareOff& fact) {
    if (fact.why.empty())
      rollout_.share_off.erase(fact.pool);
    else
      rollout_.share_off[fact.pool] = fact.why;
  }
  void operator()(const Scaled& fact) {
    rollout_.scale = fact.by;
    rollout_.scaled = at_;
  }
  void operator()(const Finishing&) { rollout_.phase = Phase::finishing; }
  void operator()(const Paused& fact) {
    rollout_.paused = true;
    rollout_.reason = fact.reason;
  }
  void operator()(const Resumed&) {
    rollout_.paused = false;
    rollout_.resumed = at_;
    rollout_.reason.clear();
  }

  void operator()(const RollingBack& fact) {
    rollout_.phase = Phase::rolling_back;
    rollout_.reason = fact.reason;
    rollout_.condemned = fact.condemned;
    rollout_.paused = false;
    rollout_.shrunk = rollout_.weights_due = false;
    rollout_.held.clear();
  }
  void operator()(const Forced&) { rollout_.forced = true; }
  void operator()(const Aborting& fact) {
    rollout_.phase = Phase::aborting;
    rollout_.reason = fact.reason;
    rollout_.paused = false;
    rollout_.held.clear();
  }
  void operator()(const ClockJumped&) {}
  void operator()(const Quarantined& fact) {
    rollout_.phase = Phase::quarantined;
    rollout_.reason = fact.why;
  }
  void operator()(const Ended& fact) {
    rollout_.phase = Phase::ended;
    rollout_.outcome = fact.outcome;
    rollout_.reason = fact.reason;
    rollout_.held.clear();
  }

 private:
  std::uint32_t& count(HostPhase phase) { return rollout_.count[static_cast<std::size_t>(phase)]; }

  void note_health(MemberIndex index, bool down) {
    auto& member = rollout_.members.at(index);
    if (member.down == down) return;
    auto host = rollout_.plan.members[index].host;
    take_out(host);
    member.down = down;
    rollout_.hosts[host].down += down ? 1 : -1;
    put_back(host);
  }

  static void know(MemberState& member, const Observed& observed) {
    if (observed.revision != member.known.revision) member.past = member.known.revision;
    member.known = observed;
  }

  // The write under way; 0: none.
  void set_effect(MemberIndex index, EffectId effect) {
    auto& member = rollout_.members[index];
    auto& writing = rollout_.writing[rollout_.plan.members[index].pool];
    if (member.effect == 0 && effect != 0) ++writing;
    if (member.effect != 0 && effect == 0) --writing;
    member.effect = effect;
  }

  void note_release(HostState& host) {
    switch (host.phase) {
      case HostPhase::ready: host.prepared = true; break;
      case HostPhase::upgrading: host.swapped = true; break;
      // Reached from a proven revert, or without ever having been swapped.
      case HostPhase::rejoining: host.swapped = false; break;
      default: break;
    }
  }

  // Out of its pools and drained, while its release is changed and proven.
  static bool is_idle(HostPhase phase) {
    switch (phase) {
      case HostPhase::upgrading:
      case HostPhase::verifying:
      case HostPhase::awaiting_health:
      case HostPhase::reverting:
      case HostPhase::reverifying: return true;
      default: return false;
    }
  }

  static void note_unsettled(MemberState& member) {
    constexpr std::size_t remembered_most = 8;
    auto& settings = member.unsettled;
    if (std::find(settings.begin(), settings.end(), member.wanted) != settings.end()) return;
    if (settings.size() == remembered_most) settings.erase(settings.begin());
    settings.push_back(member.wanted);
  }

  [[nodiscard]] bool carries(HostIndex host) const {
    const auto& planned = rollout_.plan.hosts[host];
    for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) {
      if (rollout_.plan.members[member].serving()) return true;
    }
    return false;
  }

  void add(HostIndex index, int sign) {
    if (!in_traffic(rollout_.hosts[index].phase)) return;
    const auto& planned = rollout_.plan.hosts[index];
    for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member)
      rollout_.flows[rollout_.plan.members[member].pool].add(carried(rollout_, member, present(rollout_.members[member])), sign);
  }
  void take_out(HostIndex host) { add(host, -1); }
  void put_back(HostIndex host) { add(host, +1); }

  void confirm(MemberIndex index, bool confirmed) {
    auto& member = rollout_.members[index];
    member.blind = false;
    if (member.confirmed == confirmed) return;
    member.confirmed = confirmed;
    auto& host = rollout_.hosts[rollout_.plan.members[index].host];
    if (settles(host)) --rollout_.settling;
    if (!confirmed && host.unconfirmed++ == 0) ++rollout_.unconfirmed;
    if (confirmed && --host.unconfirmed == 0) --rollout_.unconfirmed;
    if (settles(host)) ++rollout_.settling;
  }

  // It stays where it is, with weights that not every view shows yet.
  static bool settles(const HostState& host) { return host.unconfirmed > 0 && !is_moving(host.phase); }

  void advance_cursors() {
    auto end = static_cast<HostIndex>(rollout_.hosts.size());
    auto waits = [&](HostIndex host) {
      auto phase = rollout_.hosts[host].phase;
      return rollout_.plan.hosts[host].role == Role::upgrade &&
             (phase == HostPhase::pooled_old || phase == HostPhase::preparing || phase == HostPhase::ready);
    };
    while (rollout_.next_start < end && !waits(rollout_.next_start)) ++rollout_.next_start;
    auto unprepared = [&](HostIndex host) {
      return rollout_.plan.hosts[host].role == Role::upgrade && rollout_.hosts[host].phase == HostPhase::pooled_old &&
             !rollout_.hosts[host].prepared;
    };
    while (rollout_.next_prepare < end && !unprepared(rollout_.next_prepare)) ++rollout_.next_prepare;
  }

  Rollout& rollout_;
  Instant at_;
};

}  // namespace

void apply(Rollout& rollout, const Record& record) {
  std::visit(Bookkeeper(rollout, record.at), record.fact);
  rollout.now = std::max(rollout.now, record.at);
  ++rollout.records;
}

}  // namespace shiftd
