#include "daemon/engine/member.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace shiftd {

std::string_view to_string(Pooled pooled) {
  switch (pooled) {
    case Pooled::yes: return "yes";
    case Pooled::no: return "no";
    case Pooled::inactive: return "inactive";
  }
  return "?";
}

std::string to_string(const Setting& setting) {
  return std::string(to_string(setting.pooled)) + ", weight " + std::to_string(setting.weight);
}

std::uint32_t DepoolThreshold::needs(std::uint32_t margin) const {
  if (share <= 0) return 0;
  // Rounded up but for a hair, as sums of fractions are.
  auto up = static_cast<std::uint32_t>(std::ceil(std::min(share, 1.0) * counted - 1e-9)) + margin;
  return up - std::min(up, others);
}

std::string to_string(const DepoolThreshold& threshold, std::uint32_t margin) {
  std::array<char, 32> share{};
  std::snprintf(share.data(), share.size(), "%.3g", threshold.share);
  auto text = threshold.view + " (threshold " + share.data() + " of " + std::to_string(threshold.counted) + " members";
  if (margin > 0) text += ", " + std::to_string(margin) + " more for its monitors";
  if (threshold.others > 0) text += ", " + std::to_string(threshold.others) + " of them none of this service";
  return text + ")";
}

Duration time_for_writes(const Capabilities& capabilities, std::uint64_t writes) {
  if (capabilities.writes_per_second <= 0) return Duration(0);
  return Duration(std::llround(std::ceil(static_cast<double>(writes) / capabilities.writes_per_second * 1000)));
}

std::string_view to_string(Traffic traffic) {
  switch (traffic) {
    case Traffic::flowing: return "flowing";
    case Traffic::draining: return "draining";
    case Traffic::none: return "none";
    case Traffic::cannot_tell: return "cannot_tell";
  }
  return "?";
}

std::string_view to_string(Health health) {
  switch (health) {
    case Health::up: return "up";
    case Health::down: return "down";
    case Health::unchecked: return "unchecked";
    case Health::unknown: return "unknown";
  }
  return "?";
}

}  // namespace shiftd
