#pragma once

// A request target taken apart: "/api/v1/rollouts?most=5".

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

struct Target {
  std::string path;
  std::map<std::string, std::string> query;
};

// Fails with bad_input: a broken percent escape, a parameter given twice, a control character.
Result<Target> parse_target(std::string_view target);

// Nothing for a broken escape and for what would be a control character.
std::optional<std::string> percent_decoded(std::string_view text);

// Digits only, no sign, no space, at most 15 of them. Nothing for anything else.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace shiftd
