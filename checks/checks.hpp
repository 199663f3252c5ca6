#pragma once

// The checks that a service can name, and how they are made. docs/checks.md is their reference.

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "checks/check.hpp"

namespace shiftd {

// Somebody accepts connections.
struct PortCheck {
  std::string name;
  int port = 0;  // 0: the port of the host's own address
  Duration timeout{std::chrono::seconds(3)};
  bool operator==(const PortCheck&) const = default;
};

// GET answers as wanted.
struct HttpCheck {
  std::string name;
  std::string path = "/";
  int port = 0;
  std::string host_header;                                          // empty: the address
  std::vector<std::pair<std::string, std::string>> headers;         // sent
  std::vector<int> statuses{200};                                   // accepted
  std::string body_pattern;                                         // ECMAScript, searched in the first 64 KiB; empty: any body
  std::vector<std::pair<std::string, std::string>> wanted_headers;  // name, pattern
  Duration timeout{std::chrono::seconds(5)};
  bool operator==(const HttpCheck&) const = default;
};

// A command says so by its exit status, as monitoring plugins do.
struct CommandCheck {
  std::string name;
  std::string run;  // on the host, over SSH; {{host}} and {{address}} are replaced
  Duration timeout{std::chrono::seconds(30)};
  bool operator==(const CommandCheck&) const = default;
};

// What it runs on a host.
std::string command_on(const CommandCheck& check, const std::string& host, const std::string& address);

using CheckSpec = std::variant<PortCheck, HttpCheck, CommandCheck>;

// Fail with bad_input: a port, status, path or header that cannot be; a pattern that is no regular expression, or one
// with a back-reference; a placeholder that does not exist. The clock outlives the check.
Result<std::shared_ptr<Check>> make_check(Clock& clock, PortCheck spec);
Result<std::shared_ptr<Check>> make_check(Clock& clock, HttpCheck spec);
Result<std::shared_ptr<Check>> make_check(Clock& clock, CommandCheck spec);
Result<std::shared_ptr<Check>> make_check(Clock& clock, CheckSpec spec);

}  // namespace shiftd
