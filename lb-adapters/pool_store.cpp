#include "lb-adapters/pool_store.hpp"

#include <algorithm>

#include "lb-adapters/front_end.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {

const PoolReading::Member* PoolReading::find(std::string_view name) const {
  auto found = std::lower_bound(members.begin(), members.end(), name,
                                [](const Member& member, std::string_view wanted) { return member.name < wanted; });
  return found != members.end() && found->name == name ? &*found : nullptr;
}

const MemberView* ViewReading::find(std::string_view member) const {
  auto found =
      std::lower_bound(members.begin(), members.end(), member, [](const auto& each, std::string_view name) { return each.first < name; });
  return found != members.end() && found->first == member ? &found->second : nullptr;
}

MemberView ViewReading::of(std::string_view member) const {
  if (const auto* known = find(member)) return *known;
  MemberView unknown;
  unknown.why = "the load balancer does not know " + std::string(member);
  return unknown;
}

std::vector<std::string> disagreements(const PoolReading& store, const ViewReading& view,
                                       const std::function<bool(std::string_view)>& touched) {
  bool says = std::any_of(view.members.begin(), view.members.end(), [](const auto& member) { return member.second.taken_up.has_value(); });
  std::vector<std::string> differ;
  if (!says) return differ;
  for (const auto& member : store.members) {
    if (touched(member.name) || !member.malformed.empty()) continue;
    const auto& holds = member.observed.setting;
    auto shown = std::lower_bound(view.members.begin(), view.members.end(), member.name,
                                  [](const auto& each, const std::string& wanted) { return each.first < wanted; });
    bool known = shown != view.members.end() && shown->first == member.name && shown->second.taken_up.has_value();
    if (known ? *shown->second.taken_up == holds : holds.pooled == Pooled::inactive) continue;
    auto has = known ? "it has " + to_string(*shown->second.taken_up) : std::string("it does not know the member");
    differ.push_back(member.name + ": its store holds " + to_string(holds) + ", " + has);
  }
  for (const auto& [name, shown] : view.members) {
    if (shown.taken_up && store.find(name) == nullptr && !touched(name)) differ.push_back(name + ": its store has no such member");
  }
  return differ;
}

DepoolThreshold threshold_of(const std::string& view, const ViewReading& reading, const std::function<bool(std::string_view)>& ours) {
  if (reading.counted == 0) return {};
  auto stranger_in = [&](const auto& member) {
    const auto& [name, shown] = member;
    bool well = shown.health == Health::up || shown.health == Health::unchecked;
    return shown.traffic == Traffic::flowing && well && !ours(name);
  };
  auto others = std::count_if(reading.members.begin(), reading.members.end(), stranger_in);
  return {view, reading.depool_threshold, reading.counted, static_cast<std::uint32_t>(others)};
}

}  // namespace shiftd
