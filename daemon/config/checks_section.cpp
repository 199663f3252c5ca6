#include "daemon/config/sections.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr Duration shortest_timeout = 10ms;
constexpr Duration longest_timeout = 10min;

std::optional<std::string> url_path(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  if (given->front() != '/' || given->find(' ') != std::string::npos) {
    return value.refuse("must be a path such as /healthz, without spaces, not " + in_quotes(*given));
  }
  return given;
}

std::optional<int> status(const yaml::Value& value) {
  auto given = value.scalar("a status such as 200");
  if (!given) return std::nullopt;
  auto parsed = parse_whole(*given);
  if (!parsed || *parsed < 200 || *parsed > 599) return value.refuse(in_quotes(*given) + " is no final HTTP status: write 200 to 599");
  return *parsed;
}

std::optional<std::vector<int>> statuses(const yaml::Value& value) {
  if (value.is_list()) return yaml::list(status, 100, "a list of statuses")(value);
  auto given = status(value);
  return given ? std::optional(std::vector<int>{*given}) : std::nullopt;
}

void read_port_check(yaml::Section& at, PortCheck& check) {
  at.optional("name", check.name, text);
  at.optional("port", check.port, port);
  at.optional("timeout", check.timeout, duration(shortest_timeout, longest_timeout));
}

void read_http_check(yaml::Section& at, HttpCheck& check) {
  at.optional("name", check.name, text);
  at.optional("path", check.path, url_path);
  at.optional("port", check.port, port);
  at.optional("host", check.host_header, text);
  at.optional("headers", check.headers, headers);
  at.optional("status", check.statuses, statuses);
  at.optional("body", check.body_pattern, pattern);
  at.optional("want_headers", check.wanted_headers, header_patterns);
  at.optional("timeout", check.timeout, duration(shortest_timeout, longest_timeout));
}

void read_command_check(yaml::Section& at, CommandCheck& check) {
  at.optional("name", check.name, text);
  at.required("run", check.run, with_placeholders(command, {"host", "address"}), "run: /usr/lib/nagios/plugins/check_load");
  at.optional("timeout", check.timeout, duration(shortest_timeout, longest_timeout));
}

}  // namespace

std::optional<CheckSpec> read_check(const yaml::Value& value) {
  return yaml::one_of<CheckSpec>("check", {yaml::kind<CheckSpec>("port", read_port_check), yaml::kind<CheckSpec>("http", read_http_check),
                                           yaml::kind<CheckSpec>("command", read_command_check)})(value);
}

void read_check_policy(yaml::Section& at, CheckPolicy& policy) {
  at.optional("attempts", policy.attempts, whole(1, 1'000));
  at.optional("pause", policy.pause, duration(0s, 10min));
  at.optional("deadline", policy.deadline, duration(100ms, 1h));
  at.optional("warning_is_ok", policy.warning_is_ok, true_or_false);
}

}  // namespace shiftd
