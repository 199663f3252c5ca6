#include "daemon/api/query.hpp"

#include <charconv>

namespace shiftd {

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || text.size() > 15 || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned byte = static_cast<unsigned char>(text[at]);
    if (text[at] == '%') {
      if (at + 2 >= text.size()) return std::nullopt;
      auto [end, error] = std::from_chars(text.data() + at + 1, text.data() + at + 3, byte, 16);
      if (error != std::errc{} || end != text.data() + at + 3) return std::nullopt;
      at += 2;
    }
    if (byte < 0x20 || byte == 0x7f) return std::nullopt;
    decoded += static_cast<char>(byte);
  }
  return decoded;
}

Result<Target> parse_target(std::string_view target) {
  Target parsed;
  auto question = target.find('?');
  parsed.path = target.substr(0, question);
  if (question == std::string_view::npos) return parsed;
  auto rest = target.substr(question + 1);
  while (!rest.empty()) {
    auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    auto equals = pair.find('=');
    auto name = percent_decoded(pair.substr(0, equals));
    auto value = percent_decoded(equals == std::string_view::npos ? "" : pair.substr(equals + 1));
    if (!name || !value) return Failure{Errc::bad_input, "the query has a broken percent escape or a control character in it"};
    if (!parsed.query.emplace(*name, *value).second) return Failure{Errc::bad_input, "the query gives '" + *name + "' twice"};
  }
  return parsed;
}

}  // namespace shiftd
