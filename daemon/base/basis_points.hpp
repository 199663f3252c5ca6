#pragma once

// A share as an operator writes it: hundredths of a percent, 0 to 10,000.

#include <compare>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

struct BasisPoints {
  int value = 0;

  [[nodiscard]] double fraction() const { return value / 10'000.0; }
  auto operator<=>(const BasisPoints&) const = default;
};

inline constexpr BasisPoints all_traffic{10'000};

// "2.5%": up to two decimals, 0% to 100%, nothing else.
// Fails with bad_input, saying what was given and what is allowed.
Result<BasisPoints> parse_share(std::string_view text);

// "1%", "2.5%", "0.04%"
std::string to_string(BasisPoints share);

// A fraction of 0 to 1 as people read it: "1.1%", "0.04%", "<0.01%".
std::string percent(double fraction);

}  // namespace shiftd
