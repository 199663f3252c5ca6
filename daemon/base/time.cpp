#include "daemon/base/time.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace shiftd {

std::string to_string(Instant instant) {
  auto since_epoch = instant.time_since_epoch();
  auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  std::time_t time = seconds.count();
  std::tm utc{};
  gmtime_r(&time, &utc);
  std::array<char, 48> text{};
  auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text.data() + length, text.size() - length, ".%03dZ", static_cast<int>((since_epoch - seconds).count()));
  return text.data();
}

std::string to_string(Duration duration) {
  using namespace std::chrono;
  if (duration < Duration::zero()) return "-" + to_string(-duration);
  if (duration < 1s) return std::to_string(duration.count()) + "ms";
  std::string text;
  auto append = [&](auto count, const char* unit) {
    if (count == 0) return;
    if (!text.empty()) text += ' ';
    text += std::to_string(count) + unit;
  };
  auto whole = floor<seconds>(duration);
  if (whole < 1min && duration != whole) {
    std::array<char, 16> fraction{};
    std::snprintf(fraction.data(), fraction.size(), "%.1fs", static_cast<double>(duration.count()) / 1000);
    return fraction.data();
  }
  append(floor<hours>(whole).count(), "h");
  append((floor<minutes>(whole) % hours(1)).count(), "m");
  append((whole % minutes(1)).count(), "s");
  return text;
}

}  // namespace shiftd
