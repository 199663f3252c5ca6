#pragma once

// HAProxy through its runtime socket: one backend of one instance as pool store, as traffic view and as front end.
//
// What is claimed here was observed on HAProxy 2.6.12; docs/haproxy.md says what, and what remains: between our read and
// our write somebody else may change the same server, and we overwrite that within milliseconds.

#include <memory>
#include <string>

#include "lb-adapters/front_end.hpp"
#include "lb-adapters/pool_store.hpp"
#include "lb-adapters/traffic_view.hpp"
#include "daemon/io/clock.hpp"

namespace shiftd {

struct HaproxyOptions {
  std::string name;     // of this instance: "lb1"
  std::string socket;   // "/run/haproxy/admin.sock", or "127.0.0.1:9999"; needs `level admin`
  std::string backend;  // "app"
  Duration timeout{std::chrono::seconds(2)};         // for one exchange on the socket
  Duration poll_interval{std::chrono::milliseconds(200)};  // how often watch() looks

  bool operator==(const HaproxyOptions&) const = default;
};

// Where requests and failures are counted.
struct HaproxyLogOptions {
  std::string socket;   // unix datagram socket that we create and HAProxy logs to
  std::string backend;
  std::string runtime_socket;  // for `show info` DroppedLogs
  bool operator==(const HaproxyLogOptions&) const = default;
};

// All three share one instance's options; each opens its own connections.
std::unique_ptr<PoolStore> make_haproxy_pool_store(Clock& clock, HaproxyOptions options);
std::unique_ptr<TrafficView> make_haproxy_view(Clock& clock, HaproxyOptions options);
// Counts from `show stat`, HAProxy's own 502, 503 and 504 for a host included.
std::unique_ptr<FrontEnd> make_haproxy_front_end(Clock& clock, HaproxyOptions options);
// Counts from the log stream: exact, as long as no line is dropped; dropped lines are counted in `lost`.
// Fails with unavailable, when the socket cannot be created.
Result<std::unique_ptr<FrontEnd>> make_haproxy_log_front_end(Clock& clock, HaproxyLogOptions options);

}  // namespace shiftd
