#include "daemon/analysis/tune.hpp"

#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <optional>

#include "daemon/analysis/baseline.hpp"
#include "daemon/analysis/number_text.hpp"

namespace shiftd {
namespace {

struct Setting {
  enum class Kind : std::uint8_t { factor, share, time, count };
  Kind kind = Kind::factor;
  double least = 0;
  double most = 0;
  std::function<double(const AnalysisOptions&)> get;
  std::function<void(AnalysisOptions&, double)> set;
};

Setting number(Setting::Kind kind, double least, double most, double AnalysisOptions::*field) {
  return {kind, least, most, [field](const auto& of) { return of.*field; }, [field](auto& of, double value) { of.*field = value; }};
}

Setting time(double least, double most, Duration AnalysisOptions::*field) {
  auto set = [field](auto& of, double s) { of.*field = Duration(std::lround(s * 1000)); };
  return {Setting::Kind::time, least, most, [field](const auto& of) { return seconds(of.*field); }, set};
}

Setting count(double most, std::uint64_t AnalysisOptions::*field) {
  auto set = [field](auto& of, double value) { of.*field = static_cast<std::uint64_t>(value); };
  return {Setting::Kind::count, 0, most, [field](const auto& of) { return static_cast<double>(of.*field); }, set};
}

const std::map<std::string, Setting>& settings() {
  using Kind = Setting::Kind;
  using Of = AnalysisOptions;
  static const std::map<std::string, Setting> all{
      {"tolerate", number(Kind::factor, 1, 100, &Of::tolerate)},
      {"ignore_below", number(Kind::share, 0, 1, &Of::ignore_below)},
      {"confidence", number(Kind::share, 0.5, 0.999999, &Of::confidence)},
      {"warm_up", time(0, 86'400, &Of::warm_up)},
      {"warm_up_tolerance", number(Kind::share, 0, 1, &Of::warm_up_tolerance)},
      {"promote_tolerate", number(Kind::factor, 1, 100, &Of::promote_tolerate)},
      {"promote_confidence", number(Kind::share, 0.5, 0.999999, &Of::promote_confidence)},
      {"site_margin", number(Kind::share, 0, 1, &Of::site_margin)},
      {"min_requests", count(1e9, &Of::min_requests)},
      {"min_bake", time(0, 86'400, &Of::min_bake)},
      {"block", time(0.1, 3600, &Of::block)},
      {"restart_every", time(1, 86'400, &Of::restart_every)},
  };
  return all;
}

// What a unit makes of a number of this kind; none: it has no such unit.
std::optional<double> scale(Setting::Kind kind, const std::string& unit) {
  using Kind = Setting::Kind;
  if (unit.empty()) return 1;
  if (kind == Kind::factor && unit == "x") return 1;
  if (kind == Kind::share && unit == "%") return 0.01;
  static const std::map<std::string, double> times{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
  auto found = times.find(unit);
  if (kind == Kind::time && found != times.end()) return found->second;
  return std::nullopt;
}

std::optional<double> value_of(Setting::Kind kind, std::string_view text) {
  double value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || !std::isfinite(value)) return std::nullopt;
  auto unit = scale(kind, std::string(parsed.ptr, text.data() + text.size()));
  return unit ? std::optional(value * *unit) : std::nullopt;
}

std::string text_of(double value) {
  std::string text;
  append_number(text, value);
  return text;
}

}  // namespace

Result<void> tune(AnalysisOptions& options, const std::string& setting) {
  auto equals = setting.find('=');
  auto name = setting.substr(0, equals);
  auto found = settings().find(name);
  if (equals == std::string::npos || found == settings().end()) {
    std::string known;
    for (const auto& [word, how] : settings()) known += (known.empty() ? "" : ", ") + word;
    return Failure{Errc::bad_input, setting + ": write NAME=VALUE; the names are " + known};
  }
  const auto& of = found->second;
  auto value = value_of(of.kind, setting.substr(equals + 1));
  if (!value || *value < of.least || *value > of.most) {
    return Failure{Errc::bad_input, setting + ": " + name + " must be " + text_of(of.least) + " to " + text_of(of.most) +
                                        (of.kind == Setting::Kind::time ? " seconds" : "")};
  }
  of.set(options, *value);
  return {};
}

std::string settings_text(const AnalysisOptions& options) {
  std::string text;
  for (const auto& [name, of] : settings()) text += (text.empty() ? "" : " ") + name + "=" + text_of(of.get(options));
  return text;
}

}  // namespace shiftd
