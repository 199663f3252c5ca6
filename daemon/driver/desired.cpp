#include "daemon/driver/desired.hpp"

#include "daemon/release/restart.hpp"

namespace shiftd {

void Desired::note(const Rollout& ended) {
  if (is_restart(ended.request.release)) return;
  auto& service = services_[ended.request.service];
  const auto& release = ended.request.release.digest;
  bool whole_fleet = ended.request.limit.empty();
  if (ended.outcome == Outcome::succeeded && whole_fleet) {
    service.fleet = release;
    service.succeeded[release] = ended.request.rollout;
  }
  for (HostIndex host = 0; host < ended.hosts.size(); ++host) {
    const auto& planned = ended.plan.hosts[host];
    if (planned.role == Role::outside) continue;
    bool former = ended.hosts[host].phase == HostPhase::restored;  // it failed there, and serves what it had
    bool on_release = planned.role == Role::already_there || ended.hosts[host].phase == HostPhase::serving_new;
    if (ended.outcome == Outcome::succeeded && former) {
      service.hosts[planned.name] = planned.digest;
    } else if (ended.outcome == Outcome::succeeded || on_release) {
      service.hosts[planned.name] = release;
    } else if (!planned.digest.empty()) {
      // What was desired before stays so; where that is not known, it is what was found.
      service.hosts.emplace(planned.name, planned.digest);
    }
  }
}

std::string Desired::of(const std::string& service, const std::string& host) const {
  auto known = services_.find(service);
  if (known == services_.end()) return {};
  auto found = known->second.hosts.find(host);
  return found == known->second.hosts.end() ? known->second.fleet : found->second;
}

std::string Desired::success_of(const std::string& service, const std::string& digest) const {
  auto known = services_.find(service);
  if (known == services_.end()) return {};
  auto found = known->second.succeeded.find(digest);
  return found == known->second.succeeded.end() ? "" : found->second;
}

std::string desired_on(const Rollout& rollout, HostIndex host) {
  const auto& planned = rollout.plan.hosts[host];
  const auto& state = rollout.hosts[host];
  const auto& release = rollout.request.release.digest;
  if (planned.role == Role::outside) return {};
  if (is_restart(rollout.request.release)) return {};  // it changes nothing of that
  if (planned.role == Role::already_there) return release;
  bool forward = rollout.rolling() || rollout.phase == Phase::finishing;
  switch (state.phase) {
    case HostPhase::reverting:
    case HostPhase::reverifying:
    case HostPhase::rejoining:
    case HostPhase::restored: return planned.digest;
    case HostPhase::straggler:
    case HostPhase::out: return forward ? release : planned.digest;
    default: break;
  }
  return state.swapped || (planned.returning && forward) ? release : planned.digest;
}

}  // namespace shiftd
