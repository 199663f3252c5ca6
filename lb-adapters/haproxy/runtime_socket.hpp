#pragma once

// HAProxy's runtime socket: one line of commands per connection, answered until HAProxy closes it. (`a;b;c` on one line
// runs in order and not atomically; an error in one does not stop the next.)

#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd::haproxy {

// May be used by several tasks at once: every exchange has a connection of its own. Outlives them.
class RuntimeSocket {
 public:
  // `address` is a path ("/run/haproxy/admin.sock") or a host and port ("127.0.0.1:9999", "[::1]:9999").
  RuntimeSocket(Clock& clock, std::string address, Duration timeout);

  // The reply to each command, without its closing empty line.
  // Fails with: unreachable: nothing was sent.
  //             timed_out: sent, and no complete answer came; the commands may have run, or still may.
  //             unexpected_reply: an answer that does not fit the question, or is longer than 16 MiB.
  // Cancelled: as timed_out.
  Task<Result<std::vector<std::string>>> ask(std::vector<std::string> commands) const;

  // One command to a master's socket, which answers only once our side of the connection is closed.
  Task<Result<std::string>> ask_master(std::string command) const;

  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  Task<Result<std::string>> exchange(std::string line, bool half_close) const;

  Clock& clock_;
  std::string address_;
  Duration timeout_;
};

}  // namespace shiftd::haproxy
