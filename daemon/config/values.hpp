#pragma once

// Readers for single values: what they accept is what docs/configuration.md calls the types of keys.
// Private to this folder.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config/units.hpp"
#include "daemon/config/yaml_reader.hpp"

namespace shiftd {

// One line of text, not empty.
std::optional<std::string> text(const yaml::Value& value);
// A name that may stand in paths, URLs, commands and log lines: letters, digits, '.', '_' and '-'.
std::optional<std::string> name(const yaml::Value& value);
bool is_name(std::string_view text);
std::optional<bool> true_or_false(const yaml::Value& value);
// Shell text, of several lines if need be.
std::optional<std::string> command(const yaml::Value& value);
// Searched for in what a host answers: ECMAScript.
std::optional<std::string> pattern(const yaml::Value& value);
std::optional<HostQuota> quota(const yaml::Value& value);
std::optional<BasisPoints> share(const yaml::Value& value);
std::optional<Address> address(const yaml::Value& value);
// The same, as its text.
std::optional<std::string> plain_address(const yaml::Value& value);
std::optional<int> port(const yaml::Value& value);

// Names and texts, such as HTTP headers. The texts may be secrets: no error shows them.
std::optional<std::vector<std::pair<std::string, std::string>>> headers(const yaml::Value& value);
std::optional<std::vector<std::pair<std::string, std::string>>> header_patterns(const yaml::Value& value);

// A path on this machine. A relative one is taken from the folder of the file it stands in.
std::optional<std::string> path(const yaml::Value& value);
// The path of a unix socket, which need not be there yet.
std::optional<std::string> socket_path(const yaml::Value& value);
// A unix socket, or host:port.
std::optional<std::string> socket_or_address(const yaml::Value& value);
// A file that exists and that we may read.
std::optional<std::string> readable_file(const yaml::Value& value);
// The same, and closed to the other users of this machine. No error shows the value: it may be the secret itself.
std::optional<std::string> secret_file(const yaml::Value& value);

// Refuses what stands in double braces and will be replaced by nobody.
bool placeholders_are_known(const yaml::Value& value, std::string_view text, const std::vector<std::string>& known);
// As `read`, with placeholders in the text.
template <class Reader>
auto with_placeholders(Reader read, std::vector<std::string> known) {
  return [read, known = std::move(known)](const yaml::Value& value) -> std::optional<std::string> {
    auto result = read(value);
    if (result && !placeholders_are_known(value, *result, known)) return std::nullopt;
    return result;
  };
}

std::optional<int> whole_within(const yaml::Value& value, int least, int most);
std::optional<Duration> duration_within(const yaml::Value& value, Duration least, Duration most);
std::optional<double> factor_within(const yaml::Value& value, double least, double most);

inline auto whole(int least, int most) {
  return [=](const yaml::Value& value) { return whole_within(value, least, most); };
}
inline auto duration(Duration least, Duration most) {
  return [=](const yaml::Value& value) { return duration_within(value, least, most); };
}
inline auto factor(double least, double most) {
  return [=](const yaml::Value& value) { return factor_within(value, least, most); };
}
// A percentage as a fraction of 1.
std::optional<double> fraction(const yaml::Value& value);

// One of a few words.
template <class T>
auto word(std::vector<std::pair<std::string_view, T>> words) {
  return [words = std::move(words)](const yaml::Value& value) -> std::optional<T> {
    std::string all;
    for (const auto& [spelling, meaning] : words) {
      if (!all.empty()) all += spelling == words.back().first ? " or " : ", ";
      all += spelling;
    }
    auto given = value.scalar(all);
    if (!given) return std::nullopt;
    for (const auto& [spelling, meaning] : words) {
      if (*given == spelling) return meaning;
    }
    return value.refuse(in_quotes(*given) + " is not possible: write " + all);
  };
}

}  // namespace shiftd
