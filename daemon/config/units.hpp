#pragma once

// The values that people write as text with a unit: durations, quotas, percentages, factors, addresses.
//
// Everything here is pure. Fails with bad_input, saying what was written and what would be right.

#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/config/config.hpp"
#include "daemon/engine/strategy.hpp"

namespace shiftd {

// What was written, as an error may show it: in quotes, on one line, cut when long.
std::string in_quotes(std::string_view text);

// Digits only, at most nine of them.
Result<int> parse_whole(std::string_view text);

// "250ms", "30s", "5m", "2h", and what to_string(Duration) writes: "1h 30m".
Result<Duration> parse_duration(std::string_view text);

// "3" hosts, or "10%" of them.
Result<HostQuota> parse_quota(std::string_view text);

// "0.01%" is 0.0001. At most six decimals.
Result<double> parse_percent(std::string_view text);

// "1.1" or "1.1x".
Result<double> parse_factor(std::string_view text);

// "10.0.0.5:80", "web1:80", "[::1]:80"; the port may be left out when there is a default.
Result<Address> parse_host_port(std::string_view text, std::optional<int> default_port);

}  // namespace shiftd
