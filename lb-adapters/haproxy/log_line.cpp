#include "lb-adapters/haproxy/log_line.hpp"

#include <nlohmann/json.hpp>

#include "lb-adapters/haproxy/runtime_reply.hpp"

namespace shiftd::haproxy {

std::variant<LogLine, NotOurs, Unreadable> parse_log_line(std::string_view text) {
  if (!text.starts_with('{')) return NotOurs{};
  // Some fields hold numbers that are no JSON ("+1"); the format quotes them.
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Unreadable{};
  auto backend = json.find("be");
  auto server = json.find("srv");
  auto status = json.find("st");
  if (backend == json.end() || server == json.end() || status == json.end()) return Unreadable{};
  if (!backend->is_string() || !server->is_string() || !status->is_number_integer()) return Unreadable{};
  auto number = status->get<std::int64_t>();
  if (number < -1 || number > 999) return Unreadable{};
  LogLine line{backend->get<std::string>(), server->get<std::string>(), static_cast<int>(number)};
  if (line.server != "<NOSRV>" && !is_name(line.server)) return Unreadable{};
  return line;
}

}  // namespace shiftd::haproxy
