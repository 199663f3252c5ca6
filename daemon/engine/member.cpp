#include "daemon/engine/member.hpp"

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
