// What people say.

#include <algorithm>

#include "daemon/engine/deciding.hpp"

namespace shiftd {

std::string_view to_string(Verb verb) {
  switch (verb) {
    case Verb::pause: return "pause";
    case Verb::resume: return "resume";
    case Verb::promote: return "promote";
    case Verb::roll_back: return "rollback";
    case Verb::abort: return "abort";
    case Verb::release_hold: return "release-hold";
    case Verb::take: return "take";
    case Verb::ignore_metric: return "ignore-metric";
  }
  return "?";
}

namespace {

// Whether weights of the host's members are multiplied now.
bool is_scaled(const Rollout& rollout, HostIndex host) {
  return any_member(rollout, host, [&](MemberIndex member) { return scale_of(rollout, rollout.plan.members[member].pool) > 1; });
}

// Evidence may be overridden; what is not in place, and what the others can carry, never.
Result<void> permits_override(const Rollout& rollout, const Command& command) {
  auto refuse = [&](const std::string& why) -> Result<void> {
    return Failure{Errc::conflict, "cannot override the verdict on " + rollout.request.rollout + ": " + why};
  };
  if (command.reason.empty()) return Failure{Errc::bad_input, "an override needs a reason: it is kept with the name of who gave it"};
  if (rollout.paused) return refuse("it is paused; resume it first");
  if (rollout.phase == Phase::gated) return refuse("it waits at a gate, which `promote` alone passes");
  if (rollout.phase == Phase::shifting) {
    auto missing = no_evidence(rollout);
    if (missing.empty() || missing == waits_for(rollout)) return refuse("its hosts are on their way, and no verdict stops them");
    return {};
  }
  if (rollout.phase != Phase::baking) return refuse("it is " + std::string(to_string(rollout.phase)));
  if (auto unfinished = why_unfinished(rollout); !unfinished.empty()) return refuse(unfinished);
  return {};
}

}  // namespace

Result<void> permits(const Rollout& rollout, const Command& command) {
  auto verb = std::string(to_string(command.verb));
  auto refuse = [&](const std::string& why) -> Result<void> {
    return Failure{Errc::conflict, "cannot " + verb + " " + rollout.request.rollout + ": " + why};
  };
  if (rollout.phase == Phase::ended) return refuse("it has ended: " + std::string(to_string(rollout.outcome)));
  if (rollout.phase == Phase::quarantined && command.verb != Verb::abort) return refuse("it is quarantined; only abort ends it");
  if (rollout.phase == Phase::queued && command.verb != Verb::abort) return refuse("it waits for another rollout; only abort ends it");
  switch (command.verb) {
    case Verb::pause:
      if (rollout.paused) return refuse("it is paused already");
      if (!rollout.rolling()) return refuse("it is " + std::string(to_string(rollout.phase)));
      return {};
    case Verb::resume:
      if (!rollout.paused) return refuse("it is not paused");
      return {};
    case Verb::promote:
      if (command.instead_of_verdict) return permits_override(rollout, command);
      if (rollout.phase != Phase::gated) return refuse("it does not wait at a gate");
      if (rollout.paused) return refuse("it is paused; resume it first");
      return {};
    case Verb::roll_back:
      if (command.instead_of_views && command.reason.empty())
        return Failure{Errc::bad_input, "force needs a reason: it is kept with the name of who gave it"};
      if (rollout.phase == Phase::rolling_back && !command.instead_of_views) return refuse("it is rolling back already");
      if (rollout.forced) return refuse("it is rolling back already, by force");
      return {};
    case Verb::abort:
      if (rollout.phase == Phase::aborting) return refuse("it is being aborted already");
      // Where nothing moves any more, the others cannot carry what is left: waiting for them, or not, is for people to say.
      if (rollout.phase == Phase::rolling_back && (!rollout.moving.empty() || rollout.upgraded.empty()))
        return refuse("it is rolling back, and ends by itself");
      return {};
    case Verb::ignore_metric:
      if (command.reason.empty()) return Failure{Errc::bad_input, "taking a metric out of the verdict needs a reason"};
      if (!rollout.rolling()) return refuse("it is " + std::string(to_string(rollout.phase)));
      if (rollout.ignored.contains(command.metric)) return refuse("metric " + command.metric + " is ignored already");
      return {};
    case Verb::release_hold:
    case Verb::take: {
      if (command.host >= rollout.hosts.size()) return Failure{Errc::not_found, "no such host in " + rollout.request.rollout};
      bool theirs = false;
      each_member(rollout, command.host, [&](MemberIndex member) { theirs = theirs || rollout.members[member].holder == Holder::theirs; });
      if (!theirs) return refuse(rollout.plan.hosts[command.host].name + " is not held by anybody else");
      if (command.verb == Verb::release_hold && is_scaled(rollout, command.host))
        return refuse("what it weighs now would become its original, in a pool whose weights are multiplied by " +
                      std::to_string(rollout.scale) + " until the rollout ends; take it, or wait for the end");
      const auto& host = rollout.hosts[command.host];
      if (auto why = why_closed(rollout, command.host); !why.empty() && command.verb == Verb::take) return refuse(why);
      if (host.phase == HostPhase::left && host.swapped && rollout.phase != Phase::rolling_back) {
        // It has to leave its pools to be brought to a release that is known.
        if (auto why = why_not_out(rollout, command.host, false); !why.empty()) return refuse(why);
      } else if (command.verb == Verb::take && !host.swapped) {
        if (auto why = why_not_as_found(rollout, command.host); !why.empty()) return refuse(why);
      }
      return {};
    }
  }
  return refuse("unknown command");
}

void Deciding::operator()(const Command& event) {
  if (!permits(rollout_, event)) return;
  switch (event.verb) {
    case Verb::pause: return say(Paused{event.by, event.reason});
    case Verb::resume:
      say(Resumed{event.by});
      // A bake that was interrupted begins again: nobody watched with intent meanwhile.
      if (rollout_.phase == Phase::baking) say(StageBaking{rollout_.stage, now_ + rollout_.current_stage().bake});
      return;
    case Verb::promote:
      if (event.instead_of_verdict) return override_verdict(event);
      say(GatePassed{rollout_.stage, event.by, event.reason});
      if (rollout_.stage + 1 < rollout_.plan.stages.size()) return begin_stage(rollout_.stage + 1, rollout_.shrunk);
      return say(Finishing{});
    case Verb::roll_back: {
      if (rollout_.phase != Phase::rolling_back)
        roll_back(event.by, event.reason.empty() ? "asked for by " + event.by : event.reason, false);
      if (event.instead_of_views) say(Forced{event.by, event.reason});
      return;
    }
    case Verb::abort: {
      auto reason = event.reason.empty() ? "asked for by " + event.by : event.reason;
      if (rollout_.phase == Phase::queued || rollout_.phase == Phase::quarantined) {
        auto named = named_hosts(rollout_);
        bool untouched = rollout_.phase == Phase::queued;
        return end(untouched ? Outcome::aborted : Outcome::failed,
                   untouched ? reason : reason + "; quarantined: " + rollout_.reason + (named.empty() ? "" : "; " + named));
      }
      // Who serves the release keeps what it has.
      if (rollout_.phase == Phase::rolling_back) return say(Aborting{event.by, rollout_.reason + "; aborted: " + reason});
      say(Aborting{event.by, reason});
      // Everybody ends at full weight, also who is just entering.
      for (auto host : rollout_.moving) {
        auto phase = state(host).phase;
        if (phase == HostPhase::preparing) move(host, HostPhase::pooled_old);
        bool leaving = phase == HostPhase::quiescing || phase == HostPhase::depooling || phase == HostPhase::draining;
        if (leaving) give_back_when_open(host);
      }
      return full_weights();
    }
    case Verb::ignore_metric: return say(MetricIgnored{event.metric, event.by, event.reason});
    case Verb::release_hold:
    case Verb::take: break;
  }

  hand_back(event);
}

void Deciding::full_weights() {
  bool waits = false;
  auto raise = [&](HostIndex host) {
    each_member(rollout_, host, [&](MemberIndex index) {
      const auto& member = rollout_.members[index];
      bool lowered = member.wanted.weight != home_weight(rollout_, index, rollout_.scale);
      if (!takes_part(member) || !lowered || member.wanted.pooled != Pooled::yes) return;
      if (rollout_.closed.contains(rollout_.plan.members[index].pool)) return void(waits = true);
      want_original(index);
    });
  };
  for (auto host : rollout_.moving) {
    if (state(host).phase == HostPhase::joining) raise(host);
  }
  for (auto host : rollout_.upgraded) raise(host);
  if (waits != rollout_.weights_due) say(WeightsDue{waits});
}

// A manual gate is still to be passed by its own `promote`.
void Deciding::override_verdict(const Command& event) {
  say(Overridden{rollout_.stage, event.by, event.reason});
  hold("");
  if (rollout_.shrunk) say(Shrunk{false});
  if (rollout_.phase == Phase::baking) return pass_stage("overridden by " + event.by + ": " + event.reason, false);
  if (rollout_.shrunk) set_weights(rollout_.current_stage(), false);
}

// A person lets go of a host: with what they made of it as its original (release-hold), or as it was (take).
void Deciding::hand_back(const Command& event) {
  auto host = event.host;
  // Of a host that is not ours to upgrade nothing is ever written, unless all of its pool is scaled.
  bool untouchable = planned(host).role != Role::upgrade && !is_scaled(rollout_, host);
  bool adopted = event.verb == Verb::release_hold || untouchable;
  each_member(rollout_, host, [&](MemberIndex member) {
    if (rollout_.members[member].holder != Holder::theirs) return;
    say(MemberReturned{member, adopted, event.by, event.reason});
    if (planned(host).role != Role::upgrade && !adopted) want_original(member);
  });
  if (planned(host).role != Role::upgrade || state(host).phase != HostPhase::left) return;
  bool back = rollout_.phase == Phase::rolling_back;
  auto why = (adopted ? "returned by " : "taken by ") + event.by;
  auto leave_pools = [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    auto setting = present(member);
    const auto& original = adopted && member.holder == Holder::theirs ? member.known : member.original;
    if (setting.pooled == Pooled::yes) want(index, Setting{Pooled::no, std::max(setting.weight, 1)}, original);
  };
  if (state(host).swapped) {
    // Which release answers there is not known for sure: it leaves its pools and goes the whole way again; while rolling
    // back, as the others do that serve the release, in its turn.
    if (back) return move(host, HostPhase::serving_new, why);
    each_member(rollout_, host, leave_pools);
    if (planned(host).members == 0) return move(host, HostPhase::upgrading, why);
    if (!rollout_.weights_due && below_their_stage()) say(WeightsDue{true});  // when it is out
    return move(host, HostPhase::depooling, why);
  }
  if (adopted) {
    auto waits = state(host).prepared ? HostPhase::ready : HostPhase::pooled_old;
    return move(host, back || state(host).failed ? HostPhase::restored : waits, why);
  }
  // It missed a release, and does not serve its former one beside those that have it.
  if (planned(host).returning) {
    each_member(rollout_, host, leave_pools);
    return move(host, HostPhase::out, why);
  }
  each_member(rollout_, host, [&](MemberIndex index) {
    const auto& member = rollout_.members[index];
    bool theirs_differs =
        member.holder == Holder::theirs && (member.known.setting != member.original.setting || member.known.bytes != member.original.bytes);
    if (theirs_differs || (member.holder == Holder::ours && (!member.verbatim || !member.confirmed))) want_original(index);
  });
  move(host, HostPhase::rejoining, why);
}

}  // namespace shiftd
