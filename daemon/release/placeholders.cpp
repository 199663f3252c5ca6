#include "daemon/release/placeholders.hpp"

#include <algorithm>
#include <cctype>
#include <string>

namespace shiftd {
namespace {

bool means_itself(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("._-+:/@%,=").find(c) != std::string_view::npos;
}

// A ~ after a letter or digit, as in Debian's versions, is never somebody's home.
bool is_plain(std::string_view value) {
  for (std::size_t at = 0; at < value.size(); ++at) {
    bool inside = value[at] == '~' && at > 0 && std::isalnum(static_cast<unsigned char>(value[at - 1])) != 0;
    if (!means_itself(value[at]) && !inside) return false;
  }
  return true;
}

// IPv6 addresses come in brackets, which a shell takes for a pattern only where a file could match it.
bool is_bracketed_address(std::string_view value) {
  auto end = value.find(']');
  auto inside = value.substr(0, end == std::string::npos ? 0 : end);
  return value.starts_with('[') && end != std::string::npos && std::ranges::all_of(inside.substr(1), means_itself) &&
         std::ranges::all_of(value.substr(end + 1), means_itself);
}

}  // namespace

Result<std::string> fill_placeholders(std::string_view text, const Placeholders& values) {
  std::string filled;
  while (true) {
    auto open = text.find("{{");
    filled += text.substr(0, open);
    if (open == std::string::npos) return filled;
    auto close = text.find("}}", open);
    if (close == std::string::npos) return Failure{Errc::bad_input, "'{{' without '}}' in: " + std::string(text)};
    auto name = text.substr(open + 2, close - open - 2);
    auto value = values.find(name);
    if (value == values.end()) {
      std::string known;
      for (const auto& [each, unused] : values) known += (known.empty() ? "{{" : ", {{") + each + "}}";
      return Failure{Errc::bad_input, "unknown placeholder {{" + std::string(name) + "}}; there are " + known};
    }
    filled += value->second;
    text.remove_prefix(close + 2);
  }
}

Result<std::string> fill_placeholders_for_shell(std::string_view text, const Placeholders& values) {
  for (const auto& [name, value] : values) {
    if (text.find("{{" + name + "}}") == std::string::npos) continue;
    if (!is_plain(value) && !is_bracketed_address(value)) {
      return Failure{Errc::bad_input,
                     "{{" + name + "}} is '" + value +
                         "', which must not stand in a shell command: use letters, digits, ._-+:/@%,= and ~ between them only"};
    }
  }
  return fill_placeholders(text, values);
}

}  // namespace shiftd
