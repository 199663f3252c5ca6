#include "lb-adapters/haproxy/runtime_reply.hpp"

#include <algorithm>
#include <array>

namespace shiftd::haproxy {

Result<std::vector<std::string>> split_replies(std::string_view text, std::size_t commands) {
  std::vector<std::string> replies;
  std::size_t reply_start = 0;
  std::size_t line_start = 0;
  while (line_start < text.size()) {
    auto line_end = text.find('\n', line_start);
    if (line_end == std::string::npos) break;
    if (line_end == line_start) {
      if (replies.size() == commands) return Failure{Errc::unexpected_reply, "HAProxy answered more than was asked"};
      auto reply = text.substr(reply_start, line_start - reply_start);
      if (reply.ends_with('\n')) reply.remove_suffix(1);
      replies.emplace_back(reply);
      reply_start = line_end + 1;
    }
    line_start = line_end + 1;
  }
  if (reply_start != text.size())
    return Failure{Errc::unexpected_reply, "HAProxy's answer is cut off: " + in_quotes(text.substr(reply_start))};
  if (replies.size() != commands) {
    return Failure{Errc::unexpected_reply,
                   "HAProxy answered " + std::to_string(replies.size()) + " of " + std::to_string(commands) + " commands"};
  }
  return replies;
}

Result<void> accepted(std::string_view reply) {
  if (reply.empty()) return {};
  return failure_of(reply);
}

Failure failure_of(std::string_view text) {
  struct Meaning {
    std::string_view begins;
    Errc code;
    std::string_view hint;
  };
  static constexpr std::array meanings{
      Meaning{"Permission denied", Errc::refused, "the socket needs `level admin` (docs/haproxy.md)"},
      Meaning{"No such server", Errc::not_found, ""},
      Meaning{"No such backend", Errc::not_found, ""},
      Meaning{"Can't find backend", Errc::not_found, ""},
      Meaning{"No such proxy", Errc::not_found, ""},
      Meaning{"Proxy is disabled", Errc::unavailable, "an old worker of a reload answered"},
      Meaning{"Backend is using a static LB algorithm", Errc::refused, "weights can be set under `balance roundrobin`"},
      Meaning{"Absolute weight can only be", Errc::refused, ""},
  };
  auto found = std::find_if(meanings.begin(), meanings.end(), [&](const Meaning& meaning) { return text.starts_with(meaning.begins); });
  if (found == meanings.end()) return {Errc::unexpected_reply, "HAProxy said " + in_quotes(text)};
  auto what = "HAProxy said " + in_quotes(text);
  if (!found->hint.empty()) what.append(": ").append(found->hint);
  return {found->code, what};
}

bool is_name(std::string_view text) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == ':';
  };
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), allowed);
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t most = 200;
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::string out = "'";
  for (char c : text.substr(0, most)) out += c >= ' ' && c <= '~' ? c : ' ';
  return out += text.size() > most ? "...'" : "'";
}

}  // namespace shiftd::haproxy
