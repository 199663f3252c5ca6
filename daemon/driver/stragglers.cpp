#include "daemon/driver/stragglers.hpp"

#include "daemon/release/restart.hpp"

namespace shiftd {
namespace {

// Taken out by us, and by nobody else since.
bool is_owed(const MemberState& member) {
  bool served = member.original.setting.pooled == Pooled::yes && member.original.setting.weight > 0;
  return served && member.holder == Holder::ours && member.wanted.pooled != Pooled::yes;
}

}  // namespace

void Stragglers::note(const Rollout& ended) {
  const auto& plan = ended.plan;
  auto& missing = by_service_[ended.request.service];
  for (HostIndex host = 0; host < ended.hosts.size(); ++host) {
    const auto& planned = plan.hosts[host];
    if (planned.role != Role::upgrade) continue;
    bool owes = false;
    bool served = false;
    for (auto index = planned.first_member; index < planned.first_member + planned.members; ++index) {
      const auto& member = ended.members[index];
      // Out when it was found, and not because of us: what an earlier rollout owes it is owed still.
      if (!plan.members[index].serving() && !plan.members[index].found) continue;
      served = true;
      std::pair key(plan.pools[plan.members[index].pool].name, plan.members[index].name);
      if (is_owed(member)) {
        debts_[key] = {member.original, member.known, !is_restart(ended.request.release)};
        owes = true;
      } else {
        debts_.erase(key);
      }
    }
    if (!served) continue;
    if (!owes) {
      missing.erase(planned.name);
    } else if (ended.outcome == Outcome::succeeded) {
      missing[planned.name] = {planned.name, ended.request.release, ended.request.rollout};
    }
  }
  if (missing.empty()) by_service_.erase(ended.request.service);
}

std::optional<Observed> Stragglers::owed(const std::string& pool, const std::string& member, const Observed& now,
                                         const Release& release) const {
  auto found = debts_.find({pool, member});
  if (found == debts_.end()) return std::nullopt;
  const auto& left = found->second.left;
  if (now.setting != left.setting) return std::nullopt;  // what tools note beside it changes nothing
  if (is_restart(release) && found->second.missed_release) return std::nullopt;
  return found->second.original;
}

std::vector<Straggler> Stragglers::of(const std::string& service) const {
  std::vector<Straggler> found;
  auto known = by_service_.find(service);
  if (known == by_service_.end()) return found;
  for (const auto& [host, straggler] : known->second) found.push_back(straggler);
  return found;
}

}  // namespace shiftd
