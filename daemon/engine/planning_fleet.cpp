// The fleet as it was found: whether it contradicts itself, and in which order its hosts are upgraded.

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <unordered_map>

#include "daemon/engine/planning.hpp"
#include "daemon/engine/readable.hpp"

namespace shiftd {
namespace {

bool serves(const Observed& observed) { return observed.setting.pooled == Pooled::yes && observed.setting.weight > 0; }

}  // namespace

// Records name hosts and members, so each name must be one thing only, and readable.
Result<void> Planning::check_names() const {
  std::set<std::string> seen;
  auto check = [&](const char* what, const std::string& name) -> Result<void> {
    if (name.empty() || readable(name) != name)
      return Failure{Errc::bad_input, std::string(what) + " '" + readable(name) + "' has a name that cannot be shown"};
    if (!seen.insert(std::string(what) + " " + name).second)
      return Failure{Errc::bad_input, std::string(what) + " " + name + " is named twice"};
    return {};
  };
  for (const auto& host : fleet_.hosts) {
    if (auto good = check("host", host.name); !good) return good;
  }
  for (const auto& pool : fleet_.pools) {
    if (auto good = check("pool", pool.name); !good) return good;
  }
  for (const auto& member : fleet_.members) {
    if (auto good = check("member", member.pool + "/" + member.name); !good) return good;
    if (auto weight = member.observed.setting.weight; weight < 0)
      return Failure{Errc::bad_input, "member " + member.pool + "/" + member.name + " has weight " + std::to_string(weight)};
    if (!seen.contains("host " + member.host))
      return Failure{Errc::bad_input, "pool member " + member.name + " belongs to no host of the service"};
    if (!seen.contains("pool " + member.pool)) return Failure{Errc::bad_input, "no pool " + member.pool + " for " + member.name};
  }
  return {};
}

Result<void> Planning::take_fleet() {
  if (fleet_.hosts.empty()) return Failure{Errc::bad_input, "the service has no hosts"};
  if (auto good = check_names(); !good) return good;
  for (const auto& pool : fleet_.pools) {
    auto& planned = plan_.pools.emplace_back();
    planned.name = pool.name;
    planned.capabilities = pool.capabilities;
  }
  std::set<std::string> limit(plan_.request.limit.begin(), plan_.request.limit.end());
  bool limited = !limit.empty();
  std::set<std::string> owed;
  for (const auto& member : fleet_.members) {
    if (member.owed) owed.insert(member.host);
  }
  for (const auto& found : fleet_.hosts) {
    PlannedHost host{found.name, found.address, found.digest, Role::upgrade, 0, 0, found.asked, false};
    if (limited && limit.erase(found.name) == 0) {
      host.role = Role::outside;
    } else if (owed.contains(found.name)) {
      host.returning = true;
    } else if (found.digest == plan_.request.release.digest) {
      host.role = Role::already_there;
    }
    plan_.hosts.push_back(std::move(host));
  }
  if (!limit.empty()) return Failure{Errc::bad_input, "the service has no host " + *limit.begin()};
  return {};
}

// Canaries first, then the fleet as configured. Hosts that take no traffic come last among those to upgrade: they add
// nothing to any share.
Result<void> Planning::order_hosts() {
  std::unordered_map<std::string, std::vector<const MemberFound*>> members_of;
  for (const auto& member : fleet_.members) members_of[member.host].push_back(&member);
  auto takes_traffic = [&](const PlannedHost& host) {
    const auto& members = members_of[host.name];
    return std::any_of(members.begin(), members.end(), [](const MemberFound* member) { return serves(member->observed); });
  };
  std::map<std::string, int> canary_rank;
  if (const auto* names = std::get_if<std::vector<std::string>>(&plan_.strategy.canary)) {
    for (const auto& name : *names) {
      canary_rank.emplace(name, static_cast<int>(canary_rank.size()));
      auto host = std::find_if(plan_.hosts.begin(), plan_.hosts.end(), [&](const PlannedHost& each) { return each.name == name; });
      if (host == plan_.hosts.end()) return Failure{Errc::bad_input, "the canary host " + name + " is not a host of the service"};
      if (host->role != Role::outside && !takes_traffic(*host) && !host->returning)
        return Failure{Errc::bad_input, "the canary host " + name + " takes no traffic to be judged by"};
    }
  }
  std::uint32_t skipped = 0;
  for (auto& host : plan_.hosts) {
    bool depooled = host.role == Role::upgrade && !host.returning && !members_of[host.name].empty() && !takes_traffic(host);
    if (!depooled || plan_.strategy.depooled != Depooled::skip) continue;
    host.role = Role::outside;
    ++skipped;
  }
  if (skipped > 0) plan_.notes.push_back(hosts_word(skipped) + " out of " + (skipped == 1 ? "its" : "their") + " pools: skipped");
  enum Place { canary, fleet, silent, already, outside };
  auto place_of = [&](const PlannedHost& host) {
    if (host.role == Role::outside) return std::pair(outside, 0);
    if (host.role == Role::already_there) return std::pair(already, 0);
    if (!takes_traffic(host)) return std::pair(silent, 0);
    auto found = canary_rank.find(host.name);
    return found == canary_rank.end() ? std::pair(fleet, 0) : std::pair(canary, found->second);
  };
  std::vector<std::pair<std::pair<Place, int>, PlannedHost>> ranked;
  ranked.reserve(plan_.hosts.size());
  for (auto& host : plan_.hosts) {
    auto place = place_of(host);
    ranked.emplace_back(place, std::move(host));
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  std::unordered_map<std::string, PoolIndex> pool_index;
  for (PoolIndex pool = 0; pool < plan_.pools.size(); ++pool) pool_index.emplace(plan_.pools[pool].name, pool);
  plan_.hosts.clear();
  std::uint32_t without_traffic = 0;
  std::uint32_t returning = 0;
  for (auto& [place, host] : ranked) {
    if (place.first == silent) ++(host.returning ? returning : without_traffic);
    if (place.first == canary || place.first == fleet) ++serving_to_upgrade_;
    if (place.first == outside && takes_traffic(host)) ++serving_outside_;
    if (place.first == already && takes_traffic(host)) ++already_;
    if (host.role == Role::upgrade) ++to_upgrade_;
    auto index = static_cast<HostIndex>(plan_.hosts.size());
    host.first_member = static_cast<MemberIndex>(plan_.members.size());
    for (const auto* member : members_of[host.name]) {
      auto& planned = plan_.members.emplace_back();
      planned = {pool_index.at(member->pool), index, member->name, member->observed, member->restore};
      if (!host.returning || !member->owed) continue;
      planned.found = std::move(planned.original);
      planned.original = *member->owed;
    }
    host.members = static_cast<std::uint32_t>(plan_.members.size()) - host.first_member;
    plan_.hosts.push_back(std::move(host));
  }
  if (without_traffic > 0) {
    plan_.notes.push_back(hosts_word(without_traffic) + " out of " + (without_traffic == 1 ? "its" : "their") +
                          " pools: upgraded last, and left out");
  }
  if (returning > 0)
    plan_.notes.push_back(hosts_word(returning) + " that an earlier rollout took out of " + (returning == 1 ? "its" : "their") +
                          " pools: upgraded last, and put back");
  if (already_ > 0)
    plan_.notes.push_back(hosts_word(already_) + " already on " + plan_.request.release.version + ": not touched, counted as upgraded");
  return {};
}

// How much one rollout may do at most, whatever it was asked for.
Result<void> Planning::check_members() const {
  if (!plan_.strategy.max_members || to_upgrade_ == 0) return {};
  auto touched = std::count_if(plan_.members.begin(), plan_.members.end(), [&](const PlannedMember& member) {
    bool scaled = plan_.pools[member.pool].scale != 1 && member.serving();
    return scaled || plan_.hosts[member.host].role == Role::upgrade;
  });
  if (touched <= *plan_.strategy.max_members) return {};
  return Failure{Errc::bad_input, "it would touch " + std::to_string(touched) + " members: those of " + hosts_word(to_upgrade_) + " in " +
                                      std::to_string(plan_.pools.size()) + (plan_.pools.size() == 1 ? " pool" : " pools") +
                                      "; max_members is " + std::to_string(*plan_.strategy.max_members) +
                                      ": ask for fewer hosts, or raise it"};
}

}  // namespace shiftd
