#pragma once

// What PyBal's instrumentation says, read. Nothing is believed that does not have the shape it must have. Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"

namespace shiftd::pybal {

// One server of /pools/NAME.
struct Server {
  std::string host;
  bool enabled = false;  // conftool says `yes`
  bool up = false;       // all of its monitors say so, or none has spoken yet
  bool pooled = false;   // it was given to IPVS
  int weight = 0;        // 0 is given to IPVS as 1

  bool operator==(const Server&) const = default;
};

// Ordered by host.
// Fails with unexpected_reply.
Result<std::vector<Server>> parse_pool(std::string_view json);

// What /alerts says about one pool: empty when all is well with it. Other pools' troubles are not this one's; what is
// not understood is everybody's.
// Fails with unexpected_reply.
Result<std::string> parse_alert(std::string_view json, std::string_view pool);

// What /metrics says about one pool and about PyBal itself.
struct Metrics {
  std::optional<double> started;  // seconds since 1970
  std::optional<double> depool_threshold;
  std::optional<double> can_depool;
  std::optional<double> pooled_down;
  std::map<std::string, std::set<std::string>> spoken;  // host -> the monitors that have said anything of it

  bool operator==(const Metrics&) const = default;
};

// Prometheus' text format. Lines about other things are skipped, whatever they hold.
// Fails with unexpected_reply, when a line about this pool cannot be read.
Result<Metrics> parse_metrics(std::string_view text, std::string_view pool);

// "Wed, 25 Nov 2026 15:20:40 GMT", the Date of an HTTP answer.
std::optional<Instant> parse_http_date(const std::string& text);

}  // namespace shiftd::pybal
