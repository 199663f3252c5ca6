#include "daemon/config/values.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "checks/pattern.hpp"

namespace shiftd {
namespace {

constexpr std::size_t longest_text = 4'096;
constexpr std::size_t longest_name = 64;
constexpr std::size_t longest_pattern = 1'000;  // std::regex recurses over a pattern when it compiles it
constexpr std::size_t most_headers = 50;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// What was parsed, or its complaint at the value.
template <class T>
std::optional<T> checked(const yaml::Value& value, Result<T> parsed) {
  if (!parsed) return value.refuse(parsed.error().what);
  return *std::move(parsed);
}

std::optional<std::string> bounded_scalar(const yaml::Value& value, std::string_view wanted) {
  auto given = value.scalar(wanted);
  if (!given) return std::nullopt;
  if (given->empty()) return value.refuse("is empty: write " + std::string(wanted));
  if (given->size() > longest_text)
    return value.refuse("is too long: at most " + std::to_string(longest_text) + " characters are possible");
  return given;
}

std::optional<std::string> one_line(const yaml::Value& value, std::string_view wanted) {
  auto given = bounded_scalar(value, wanted);
  if (given && std::any_of(given->begin(), given->end(), is_control)) {
    return value.refuse("has a line break or another control character: write one line");
  }
  return given;
}

// What keeps us from reading the file; empty when nothing does. Looks at it without opening it, as it may be a pipe.
std::string why_unreadable(const std::string& file, struct stat& about) {
  if (::stat(file.c_str(), &about) != 0) return std::strerror(errno);
  if (!S_ISREG(about.st_mode)) return "it is no regular file";
  if (::access(file.c_str(), R_OK) != 0) return std::strerror(errno);
  return "";
}

std::string number(double value) {
  auto shown = std::to_string(value);
  shown.erase(shown.find_last_not_of('0') + 1);
  if (shown.back() == '.') shown.pop_back();
  return shown;
}

}  // namespace

std::optional<std::string> text(const yaml::Value& value) { return one_line(value, "text"); }

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_name && std::all_of(text.begin(), text.end(), is_name_letter) && text.front() != '.' &&
         text.front() != '-';
}

std::optional<std::string> name(const yaml::Value& value) {
  auto given = one_line(value, "a name");
  if (!given) return std::nullopt;
  if (!is_name(*given)) {
    return value.refuse(in_quotes(*given) +
                        " is not a name: write up to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit");
  }
  return given;
}

std::optional<bool> true_or_false(const yaml::Value& value) { return word<bool>({{"true", true}, {"false", false}})(value); }

std::optional<std::string> command(const yaml::Value& value) {
  auto given = bounded_scalar(value, "a shell command");
  if (!given) return std::nullopt;
  if (std::any_of(given->begin(), given->end(), [](char c) { return is_control(c) && c != '\n' && c != '\t'; })) {
    return value.refuse("has a control character: write plain shell text");
  }
  if (given->find_first_not_of(" \t\n") == std::string::npos) return value.refuse("is empty: write a shell command");
  return given;
}

std::optional<std::string> pattern(const yaml::Value& value) {
  auto given = one_line(value, "a regular expression");
  if (!given) return std::nullopt;
  if (given->size() > longest_pattern) {
    return value.refuse("is too long for a regular expression: at most " + std::to_string(longest_pattern) + " characters are possible");
  }
  auto parsed = Pattern::parse(*given);
  if (!parsed) return value.refuse(parsed.error().what + "; a character that means itself is written \\( or \\[");
  return given;
}

std::optional<HostQuota> quota(const yaml::Value& value) {
  auto given = value.scalar("a number of hosts such as 2, or a percentage such as 10%");
  if (!given) return std::nullopt;
  return checked(value, parse_quota(*given));
}

std::optional<BasisPoints> share(const yaml::Value& value) {
  auto given = value.scalar("a share such as 2.5%");
  if (!given) return std::nullopt;
  return checked(value, parse_share(*given));
}

std::optional<Address> address(const yaml::Value& value) {
  auto given = value.scalar("an address such as \"10.1.2.3:8080\"");
  if (!given) return std::nullopt;
  return checked(value, parse_host_port(*given, std::nullopt));
}

std::optional<std::string> plain_address(const yaml::Value& value) {
  auto given = address(value);
  if (!given) return std::nullopt;
  return to_string(*given);
}

std::optional<int> port(const yaml::Value& value) {
  auto given = value.scalar("a port");
  if (!given) return std::nullopt;
  auto number_given = parse_whole(*given);
  if (!number_given || *number_given < 1 || *number_given > 65'535) {
    return value.refuse(in_quotes(*given) + " is no port: ports are 1 to 65535");
  }
  return *number_given;
}

std::optional<std::vector<std::pair<std::string, std::string>>> headers(const yaml::Value& value) {
  auto entries = value.entries(most_headers, "a map of header names and texts");
  if (!entries) return std::nullopt;
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [header, entry] : *entries) {
    constexpr std::string_view other_token_letters = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
    auto is_token_letter = [&](char c) { return is_name_letter(c) || other_token_letters.find(c) != std::string_view::npos; };
    if (header.empty() || !std::all_of(header.begin(), header.end(), is_token_letter)) {
      entry.refuse(in_quotes(header) + " is no header name: write one such as X-Probe");
    } else if (!entry.is_list() && !entry.is_map()) {
      if (auto content = one_line(entry, "the header's text")) result.emplace_back(header, *content);
    } else {
      entry.refuse("must be the header's text");
    }
  }
  return result;
}

std::optional<std::vector<std::pair<std::string, std::string>>> header_patterns(const yaml::Value& value) {
  auto entries = value.entries(most_headers, "a map of header names and regular expressions");
  if (!entries) return std::nullopt;
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [header, entry] : *entries) {
    if (auto wanted = pattern(entry)) result.emplace_back(header, *wanted);
  }
  return result;
}

std::optional<std::string> path(const yaml::Value& value) {
  auto given = one_line(value, "a path");
  if (!given) return std::nullopt;
  if (given->front() == '~') return value.refuse("'~' is not replaced here: write the whole path");
  return value.document().resolve(*given);
}

std::optional<std::string> socket_path(const yaml::Value& value) {
  auto given = path(value);
  if (given && given->size() > unix_path_most) {
    return value.refuse("is too long for a unix socket: at most " + std::to_string(unix_path_most) + " characters are possible, not " +
                        std::to_string(given->size()));
  }
  return given;
}

std::optional<std::string> socket_or_address(const yaml::Value& value) {
  auto given = one_line(value, "a unix socket such as /run/haproxy/admin.sock, or host:port");
  if (!given) return std::nullopt;
  if (given->find('/') != std::string::npos || given->find(':') == std::string::npos) return socket_path(value);
  auto address = checked(value, parse_host_port(*given, std::nullopt));
  if (!address) return std::nullopt;
  return to_string(*address);
}

std::optional<std::string> readable_file(const yaml::Value& value) {
  auto file = path(value);
  if (!file) return std::nullopt;
  struct stat about {};
  auto why = why_unreadable(*file, about);
  if (!why.empty()) return value.refuse("cannot read " + in_quotes(*file) + ": " + why);
  return file;
}

std::optional<std::string> secret_file(const yaml::Value& value) {
  auto file = path(value);
  if (!file) return std::nullopt;
  struct stat about {};
  auto why = why_unreadable(*file, about);
  if (!why.empty()) return value.refuse("cannot read this file: " + why + "; write the path of a file that the daemon may read");
  if ((about.st_mode & (S_IRWXO)) != 0) return value.refuse("this file is open to every user of this machine: chmod 600 it");
  if (about.st_size == 0) return value.refuse("this file is empty: it must hold the secret");
  return file;
}

bool placeholders_are_known(const yaml::Value& value, std::string_view text, const std::vector<std::string>& known) {
  auto all_known = true;
  for (auto open = text.find("{{"); open != std::string_view::npos; open = text.find("{{", open + 2)) {
    auto close = std::min(text.find("}}", open), text.size());
    auto inside = text.substr(open + 2, close - open - 2);
    if (std::find(known.begin(), known.end(), inside) != known.end()) continue;
    std::string right;
    for (const auto& placeholder : known) right += (right.empty() ? "{{" : ", {{") + placeholder + "}}";
    value.refuse("nothing replaces " + in_quotes(text.substr(open, close + 2 - open)) + " here: known are " + right);
    all_known = false;
  }
  return all_known;
}

std::optional<int> whole_within(const yaml::Value& value, int least, int most) {
  auto right = "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  auto given = value.scalar(right);
  if (!given) return std::nullopt;
  auto parsed = parse_whole(*given);
  if (!parsed || *parsed < least || *parsed > most) return value.refuse("must be " + right + ", not " + in_quotes(*given));
  return *parsed;
}

std::optional<Duration> duration_within(const yaml::Value& value, Duration least, Duration most) {
  auto given = value.scalar("a duration such as 30s");
  if (!given) return std::nullopt;
  auto parsed = checked(value, parse_duration(*given));
  if (!parsed) return std::nullopt;
  if (*parsed < least || *parsed > most) {
    return value.refuse("must be " + to_string(least) + " to " + to_string(most) + ", not " + in_quotes(*given));
  }
  return parsed;
}

std::optional<double> factor_within(const yaml::Value& value, double least, double most) {
  auto given = value.scalar("a factor such as 1.25");
  if (!given) return std::nullopt;
  auto parsed = checked(value, parse_factor(*given));
  if (!parsed) return std::nullopt;
  if (*parsed < least || *parsed > most) {
    return value.refuse("must be " + number(least) + " to " + number(most) + ", not " + in_quotes(*given));
  }
  return parsed;
}

std::optional<double> fraction(const yaml::Value& value) {
  auto given = value.scalar("a percentage such as 0.5%");
  if (!given) return std::nullopt;
  return checked(value, parse_percent(*given));
}

}  // namespace shiftd
