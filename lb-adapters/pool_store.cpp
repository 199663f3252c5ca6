#include "lb-adapters/pool_store.hpp"

#include <algorithm>

#include "lb-adapters/front_end.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {

const PoolReading::Member* PoolReading::find(std::string_view name) const {
  auto found = std::lower_bound(members.begin(), members.end(), name, [](const Member& member, std::string_view wanted) { return member.name < wanted; });
  return found != members.end() && found->name == name ? &*found : nullptr;
}

MemberView ViewReading::of(std::string_view member) const {
  for (const auto& [name, view] : members) {
    if (name == member) return view;
  }
  MemberView unknown;
  unknown.why = "the load balancer does not know " + std::string(member);
  return unknown;
}

}  // namespace shiftd
