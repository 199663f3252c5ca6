#include "daemon/engine/release_on.hpp"

namespace shiftd {

std::string_view to_string(Holder holder) {
  switch (holder) {
    case Holder::untouched: return "untouched";
    case Holder::ours: return "ours";
    case Holder::theirs: return "theirs";
  }
  return "?";
}

std::string_view release_on(const Rollout& rollout, HostIndex host) {
  const auto& planned = rollout.plan.hosts[host];
  const auto& state = rollout.hosts[host];
  if (planned.role == Role::already_there) return "new";
  if (!state.swapped) return planned.role == Role::outside && planned.digest == rollout.plan.request.release.digest ? "new" : "old";
  switch (state.phase) {
    case HostPhase::awaiting_health:
    case HostPhase::joining:
    case HostPhase::serving_new: return "new";
    case HostPhase::requiescing:
    case HostPhase::withdrawing:
    case HostPhase::emptying: return state.joined == Instant{} ? "unknown" : "new";
    case HostPhase::pooled_old:
    case HostPhase::preparing:
    case HostPhase::ready:
    case HostPhase::quiescing:
    case HostPhase::depooling:
    case HostPhase::draining:
    case HostPhase::upgrading:
    case HostPhase::verifying:
    case HostPhase::reverting:
    case HostPhase::reverifying:
    case HostPhase::rejoining:
    case HostPhase::restored:
    case HostPhase::straggler:
    case HostPhase::out:
    case HostPhase::left: return "unknown";
  }
  return "unknown";
}

}  // namespace shiftd
