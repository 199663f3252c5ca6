#pragma once

// HAProxy through its runtime socket: one backend of one instance as pool store, as traffic view and as front end.
//
// What is claimed here was observed on HAProxy 2.6.12; docs/haproxy.md says what, and what remains: between our read and
// our write somebody else may change the same server, and we overwrite that within milliseconds.

#include <memory>
#include <string>

#include "daemon/io/clock.hpp"
#include "lb-adapters/front_end.hpp"
#include "lb-adapters/pool_store.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {

struct HaproxyOptions {
  std::string name;     // of this instance: "lb1"
  std::string socket;   // "/run/haproxy/admin.sock", or "127.0.0.1:9999"; needs `level admin`
  std::string backend;  // "app"
  // The master's own socket (haproxy -W -S), if there is one. Only it knows whether old workers of a reload still send
  // requests; without it the view cannot see them.
  std::string master_socket = {};
  Duration timeout{std::chrono::seconds(2)};               // for one exchange on the socket
  Duration poll_interval{std::chrono::milliseconds(200)};  // how often watch() looks

  bool operator==(const HaproxyOptions&) const = default;
};

// Where requests and failures are counted.
struct HaproxyLogOptions {
  std::string name;            // of the instance: "lb1"
  std::string socket;          // unix datagram socket that we create and HAProxy logs to
  std::string backend;         // "app"
  std::string runtime_socket;  // who the servers are, and how many lines were dropped
  Duration timeout{std::chrono::seconds(2)};

  bool operator==(const HaproxyLogOptions&) const = default;
};

// All share one instance's options; each opens its own connections.

// The capabilities of the store follow the backend's algorithm and mode from the first successful read() on.
std::unique_ptr<PoolStore> make_haproxy_pool_store(Clock& clock, HaproxyOptions options);
std::unique_ptr<TrafficView> make_haproxy_view(Clock& clock, HaproxyOptions options);
// Counts from `show stat`, HAProxy's own 502, 503 and 504 for a host included.
std::unique_ptr<FrontEnd> make_haproxy_front_end(Clock& clock, HaproxyOptions options);
// Counts from the log stream: exact, as long as no line is dropped; dropped lines are counted in `lost`. Its serve() has
// to run: the kernel keeps a few hundred lines at most.
// Fails with unavailable, when the socket cannot be created.
Result<std::unique_ptr<FrontEnd>> make_haproxy_log_front_end(Clock& clock, HaproxyLogOptions options);

}  // namespace shiftd
