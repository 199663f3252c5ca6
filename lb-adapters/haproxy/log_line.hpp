#pragma once

// One line of HAProxy's log, as docs/haproxy.md has it configured. Pure; the input is not trusted.

#include <string>
#include <string_view>
#include <variant>

namespace shiftd::haproxy {

struct LogLine {
  std::string backend;
  std::string server;  // the last one that was tried; "<NOSRV>": none
  int status = 0;      // as the client got it; below 100: it got none

  bool operator==(const LogLine&) const = default;
};

// HAProxy writes sentences of its own to the same socket ("Server app/s1 is DOWN").
struct NotOurs {
  bool operator==(const NotOurs&) const = default;
};

// A line that should be ours and cannot be read: a request that is missing in the counts.
struct Unreadable {
  bool operator==(const Unreadable&) const = default;
};

std::variant<LogLine, NotOurs, Unreadable> parse_log_line(std::string_view text);

}  // namespace shiftd::haproxy
