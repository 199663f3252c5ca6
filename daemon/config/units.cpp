#include "daemon/config/units.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace shiftd {
namespace {

constexpr std::size_t shown_at_most = 120;

Failure wrong(std::string_view text, std::string_view why) { return Failure{Errc::bad_input, in_quotes(text) + " " + std::string(why)}; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::size_t leading_digits(std::string_view text) {
  return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
}

// Digits with at most one point between them: what a person means by a number, without exponents, signs, nan or inf.
std::optional<double> plain_decimal(std::string_view text) {
  auto whole = leading_digits(text);
  if (whole == 0 || whole > 9) return std::nullopt;
  if (whole < text.size()) {
    auto decimals = text.substr(whole + 1);
    if (text[whole] != '.' || decimals.empty() || decimals.size() > 6 || leading_digits(decimals) != decimals.size()) return std::nullopt;
  }
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

struct Unit {
  std::string_view name;
  Duration length;
};
constexpr std::array<Unit, 4> units{
    {{"h", std::chrono::hours(1)}, {"m", std::chrono::minutes(1)}, {"s", std::chrono::seconds(1)}, {"ms", std::chrono::milliseconds(1)}}};

bool is_ipv4(const std::string& text) {
  in_addr address{};
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}

bool is_ipv6(const std::string& text) {
  in6_addr address{};
  return inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

bool is_host_name(const std::string& text) {
  if (text.empty() || text.size() > 253) return false;
  auto only_numbers = std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || c == '.'; });
  if (only_numbers) return is_ipv4(text);
  return (is_letter(text.front()) || is_digit(text.front())) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_'; });
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string shown = "'";
  for (char c : text.substr(0, shown_at_most)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (text.size() > shown_at_most) {
    // A character that was cut in the middle is left out whole.
    while (shown.size() > 1 && (static_cast<unsigned char>(shown.back()) & 0xC0) == 0x80) shown.pop_back();
    if (static_cast<unsigned char>(shown.back()) >= 0xC0) shown.pop_back();
    shown += "...";
  }
  return shown + "'";
}

Result<int> parse_whole(std::string_view text) {
  if (text.empty() || text.size() > 9 || leading_digits(text) != text.size())
    return wrong(text, "is not a whole number: write digits only");
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Result<Duration> parse_duration(std::string_view text) {
  constexpr std::string_view right = "write a whole number and its unit: 250ms, 30s, 5m or 2h";
  if (!text.empty() && text.size() <= 9 && leading_digits(text) == text.size()) {
    return wrong(text, "has no unit: write " + std::string(text) + "s for seconds (units are ms, s, m, h)");
  }
  Duration total{0};
  auto next_unit = units.begin();
  auto rest = text;
  do {
    auto digits = leading_digits(rest);
    auto count = parse_whole(rest.substr(0, digits));
    if (!count) return wrong(text, "is not a duration: " + std::string(right));
    rest.remove_prefix(digits);
    auto letters = static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_letter) - rest.begin());
    auto unit = std::find_if(next_unit, units.end(), [&](const Unit& u) { return u.name == rest.substr(0, letters); });
    if (unit == units.end()) return wrong(text, "is not a duration: " + std::string(right));
    total += *count * unit->length;
    next_unit = unit + 1;
    rest.remove_prefix(letters);
    if (rest.size() > 1 && rest.front() == ' ') rest.remove_prefix(1);
  } while (!rest.empty());
  return total;
}

Result<HostQuota> parse_quota(std::string_view text) {
  if (!text.empty() && text.back() == '%') {
    auto percent = parse_share(text);
    if (!percent) return percent.error();
    return HostQuota{0, *percent};
  }
  auto count = parse_whole(text);
  if (!count) return wrong(text, "is not a number of hosts: write a count such as 2, or a percentage of the hosts such as 10%");
  return HostQuota{*count, {}};
}

Result<double> parse_percent(std::string_view text) {
  if (!text.empty() && text.back() == '%') {
    auto value = plain_decimal(text.substr(0, text.size() - 1));
    if (value && *value <= 100) return *value / 100;
  }
  return wrong(text, "is not a percentage: write 0% to 100%, such as 0.5%");
}

Result<double> parse_factor(std::string_view text) {
  auto number = text;
  if (!number.empty() && number.back() == 'x') number.remove_suffix(1);
  auto value = plain_decimal(number);
  if (!value) return wrong(text, "is not a factor: write a number such as 1.25");
  return *value;
}

Result<Address> parse_host_port(std::string_view text, std::optional<int> default_port) {
  auto right = default_port ? "write host, host:port or [ipv6]:port" : "write host:port or [ipv6]:port";
  auto refuse = [&] { return wrong(text, std::string("is not an address: ") + right); };

  Address address;
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    auto end = text.find(']');
    if (end == std::string_view::npos) return refuse();
    address.host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!is_ipv6(address.host)) return refuse();
  } else {
    auto colon = text.find(':');
    if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {
      return wrong(text, "is not an address: an IPv6 address stands in brackets, [::1]:80");
    }
    address.host = text.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
    if (!is_host_name(address.host)) return refuse();
  }

  if (port.empty()) {
    if (!default_port) return wrong(text, std::string("names no port: ") + right);
    address.port = *default_port;
    return address;
  }
  if (port.front() != ':') return refuse();
  auto number = parse_whole(port.substr(1));
  if (!number) return refuse();
  if (*number < 1 || *number > 65'535) return wrong(text, "names no port that exists: ports are 1 to 65535");
  address.port = *number;
  return address;
}

}  // namespace shiftd
