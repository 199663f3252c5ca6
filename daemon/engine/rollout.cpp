#include "daemon/engine/rollout.hpp"

#include <algorithm>

namespace shiftd {

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::queued: return "queued";
    case Phase::shifting: return "shifting";
    case Phase::baking: return "baking";
    case Phase::gated: return "gated";
    case Phase::finishing: return "finishing";
    case Phase::rolling_back: return "rolling_back";
    case Phase::aborting: return "aborting";
    case Phase::ended: return "ended";
    case Phase::quarantined: return "quarantined";
  }
  return "?";
}

std::string_view to_string(HostPhase phase) {
  switch (phase) {
    case HostPhase::pooled_old: return "pooled_old";
    case HostPhase::preparing: return "preparing";
    case HostPhase::ready: return "ready";
    case HostPhase::quiescing: return "quiescing";
    case HostPhase::depooling: return "depooling";
    case HostPhase::draining: return "draining";
    case HostPhase::upgrading: return "upgrading";
    case HostPhase::verifying: return "verifying";
    case HostPhase::awaiting_health: return "awaiting_health";
    case HostPhase::joining: return "joining";
    case HostPhase::serving_new: return "serving_new";
    case HostPhase::requiescing: return "requiescing";
    case HostPhase::withdrawing: return "withdrawing";
    case HostPhase::emptying: return "emptying";
    case HostPhase::reverting: return "reverting";
    case HostPhase::reverifying: return "reverifying";
    case HostPhase::rejoining: return "rejoining";
    case HostPhase::restored: return "restored";
    case HostPhase::straggler: return "straggler";
    case HostPhase::out: return "out";
    case HostPhase::left: return "left";
  }
  return "?";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::none: return "none";
    case Outcome::succeeded: return "succeeded";
    case Outcome::rolled_back: return "rolled_back";
    case Outcome::failed: return "failed";
    case Outcome::aborted: return "aborted";
  }
  return "?";
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::upgrade: return "upgrade";
    case Role::already_there: return "already_there";
    case Role::outside: return "outside";
  }
  return "?";
}

void PoolFlow::add(const PoolFlow& other, int sign) {
  flow += sign * other.flow;
  canary += sign * other.canary;
  capacity += sign * other.capacity;
  serving += sign * other.serving;
  erring_flow += sign * other.erring_flow;
  erring_capacity += sign * other.erring_capacity;
}

Setting present(const MemberState& member) { return member.holder == Holder::theirs ? member.known.setting : member.wanted; }

PoolFlow carried(const Rollout& rollout, MemberIndex index, Setting setting) {
  const auto& planned = rollout.plan.members[index];
  const auto& host = rollout.hosts[planned.host];
  PoolFlow part;
  if (setting.pooled != Pooled::yes || rollout.members[index].down) return part;
  bool on_release = host.phase == HostPhase::serving_new || rollout.plan.hosts[planned.host].role == Role::already_there;
  part.serving = setting.weight > 0 ? 1 : 0;
  part.flow = setting.weight;
  part.canary = on_release ? setting.weight : 0;
  part.capacity = planned.original.setting.weight;
  part.erring_flow = host.erring ? part.flow : 0;
  part.erring_capacity = host.erring ? part.capacity : 0;
  return part;
}

bool in_traffic(HostPhase phase) {
  switch (phase) {
    case HostPhase::pooled_old:
    case HostPhase::preparing:
    case HostPhase::ready:
    case HostPhase::serving_new:
    case HostPhase::restored:
    case HostPhase::straggler:
    case HostPhase::left: return true;
    case HostPhase::quiescing:
    case HostPhase::depooling:
    case HostPhase::draining:
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::awaiting_health:
    case HostPhase::joining:
    case HostPhase::requiescing:
    case HostPhase::withdrawing:
    case HostPhase::emptying:
    case HostPhase::reverting:
    case HostPhase::reverifying:
    case HostPhase::rejoining:
    case HostPhase::out: return false;
  }
  return false;
}

bool is_moving(HostPhase phase) {
  switch (phase) {
    case HostPhase::preparing:
    case HostPhase::quiescing:
    case HostPhase::depooling:
    case HostPhase::draining:
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::awaiting_health:
    case HostPhase::joining:
    case HostPhase::requiescing:
    case HostPhase::withdrawing:
    case HostPhase::emptying:
    case HostPhase::reverting:
    case HostPhase::reverifying:
    case HostPhase::rejoining: return true;
    case HostPhase::pooled_old:
    case HostPhase::ready:
    case HostPhase::serving_new:
    case HostPhase::restored:
    case HostPhase::straggler:
    case HostPhase::out:
    case HostPhase::left: return false;
  }
  return false;
}

bool Rollout::waits_for_views() const {
  using enum HostPhase;
  auto waiting = {quiescing, depooling, draining, awaiting_health, joining, requiescing, withdrawing, emptying, reverifying, rejoining};
  return unconfirmed > 0 || std::any_of(waiting.begin(), waiting.end(), [this](HostPhase each) { return in(each) > 0; });
}

std::uint32_t Rollout::in_flight() const {
  return in(HostPhase::quiescing) + in(HostPhase::depooling) + in(HostPhase::draining) + in(HostPhase::upgrading) +
         in(HostPhase::verifying) + in(HostPhase::awaiting_health) + in(HostPhase::joining);
}

std::uint32_t Rollout::baseline() const {
  auto former = in(HostPhase::pooled_old) + in(HostPhase::preparing) + in(HostPhase::ready) + in(HostPhase::restored) +
                in(HostPhase::straggler) + outside_serving;
  auto serves_it = [&](HostIndex host) { return hosts[host].phase == HostPhase::straggler; };
  auto others = without_traffic + static_cast<std::uint32_t>(std::count_if(had_it.begin(), had_it.end(), serves_it));
  return former - std::min(former, others);
}

}  // namespace shiftd
