#pragma once

// HAProxy's tables, read by the names in their headers: columns move between versions. Pure; the input comes from a
// socket and is not trusted. Numbers that a row leaves empty are 0.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"

namespace shiftd::haproxy {

// One line of `show stat`: a server, or the backend as a whole (named BACKEND).
struct StatRow {
  std::string proxy;
  std::string server;
  std::string status;         // "UP", "UP 1/3", "DRAIN 2/3", "DOWN", "MAINT", "no check"
  std::string check_status;   // "L7OK"; empty: it is not checked
  std::string mode;           // "http", "tcp"
  std::string algorithm;      // "roundrobin"; empty: the socket's level may not see it
  std::uint64_t current = 0;  // sessions in progress
  std::uint64_t total = 0;    // sessions begun; a retry or redispatch begins another one
  std::uint64_t retries = 0;
  std::uint64_t redispatches = 0;
  std::uint64_t weight = 0;                     // effective: slowstart is applied
  std::array<std::uint64_t, 6> responses = {};  // 1xx, 2xx, 3xx, 4xx, 5xx, other

  bool operator==(const StatRow&) const = default;
};

inline constexpr std::size_t informational = 0;  // of StatRow::responses
inline constexpr std::size_t server_errors = 4;

// Fails with unexpected_reply; for an error text in place of the table, with what failure_of() makes of it.
Result<std::vector<StatRow>> parse_stat(std::string_view text);

// One line of `show servers state`.
struct ServerState {
  std::string backend;
  std::string server;
  unsigned op_state = 0;     // 0 stopped, 1 starting, 2 running, 3 stopping
  unsigned admin_state = 0;  // bits, see below; never to be compared with 0: 0x04 stays set after `ready`
  int weight = 0;            // as it was set
  int initial_weight = 0;    // as the configuration has it

  bool operator==(const ServerState&) const = default;
};

// Bits of srv_admin_state (include/haproxy/server-t.h). `forced` ones are what `set server .. state` sets.
inline constexpr unsigned forced_maint = 0x01;
inline constexpr unsigned configured_maint = 0x04;  // `disabled` in its configuration, where it is forced at the start
inline constexpr unsigned forced_drain = 0x08;
inline constexpr unsigned any_maint = 0x01 | 0x02 | 0x20;  // forced, inherited from a tracked server, name not resolved
inline constexpr unsigned any_drain = 0x08 | 0x10;         // forced, inherited

Result<std::vector<ServerState>> parse_servers_state(std::string_view text);

// Of `show info`.
struct ProcessInfo {
  std::uint64_t pid = 0;
  std::uint64_t start_time = 0;  // seconds since 1970
  std::uint64_t dropped_logs = 0;

  // One life of HAProxy's memory.
  [[nodiscard]] std::string epoch() const { return std::to_string(pid) + ":" + std::to_string(start_time); }
  bool operator==(const ProcessInfo&) const = default;
};

Result<ProcessInfo> parse_info(std::string_view text);

// How many workers of former configurations `show proc` of the master lists.
Result<std::size_t> parse_old_workers(std::string_view text);

}  // namespace shiftd::haproxy
