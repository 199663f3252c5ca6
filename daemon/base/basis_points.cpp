#include "daemon/base/basis_points.hpp"

#include <array>
#include <cstdio>

namespace shiftd {
namespace {

std::string trimmed(double value, int decimals) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  std::string result = text.data();
  if (result.find('.') == std::string::npos) return result;
  while (result.back() == '0') result.pop_back();
  if (result.back() == '.') result.pop_back();
  return result;
}

}  // namespace

Result<BasisPoints> parse_share(std::string_view text) {
  auto refuse = [&] {
    return Failure{Errc::bad_input, "'" + std::string(text) + "' is not a share: write 0% to 100%, with at most two decimals"};
  };
  if (text.size() < 2 || text.size() > 7 || text.back() != '%') return refuse();
  int whole = 0;
  int decimals = -1;
  int digits = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c == '.' && decimals < 0 && digits > 0) {
      decimals = 0;
      continue;
    }
    if (c < '0' || c > '9') return refuse();
    whole = whole * 10 + (c - '0');
    ++digits;
    if (decimals >= 0) ++decimals;
  }
  if (decimals == 0 || decimals > 2) return refuse();
  for (int missing = decimals < 0 ? 2 : 2 - decimals; missing > 0; --missing) whole *= 10;
  if (whole > all_traffic.value) return refuse();
  return BasisPoints{whole};
}

std::string to_string(BasisPoints share) { return trimmed(share.value / 100.0, 2) + "%"; }

std::string percent(double fraction) {
  auto value = fraction * 100;
  if (value > 0 && value < 0.01) return "<0.01%";
  return trimmed(value, value < 1 ? 2 : 1) + "%";
}

}  // namespace shiftd
