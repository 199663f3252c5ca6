#include "daemon/shiftctl/verdict_replay.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/analysis/trace.hpp"
#include "daemon/base/basis_points.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

std::string word_of(Call call) {
  switch (call) {
    case Call::promote: return "PROMOTE";
    case Call::roll_back: return "ROLLBACK";
    case Call::keep_watching: break;
  }
  return "CONTINUE";
}

// JSON has no infinities.
json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

std::string said(const Trace& trace, const Replayed::Spoken& spoken) {
  return json{{"id", trace.id},
              {"verdict", word_of(spoken.call)},
              {"tick", spoken.row},
              {"log_e", number(spoken.verdict.log_e)},
              {"failed_canary_requests", spoken.evidence.canary_failures},
              {"strongest", spoken.evidence.strongest},
              {"why", spoken.evidence.text}}
      .dump();
}

struct Quantity {
  double value = 0;
  std::string unit;
};

std::optional<Quantity> quantity(std::string_view text) {
  Quantity result;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), result.value);
  if (parsed.ec != std::errc() || !std::isfinite(result.value)) return std::nullopt;
  result.unit = std::string(parsed.ptr, text.data() + text.size());
  return result;
}

struct Setting {
  enum class Kind : std::uint8_t { factor, share, time, count };
  Kind kind = Kind::factor;
  double least = 0;
  double most = 0;
  std::function<void(AnalysisOptions&, double)> set;
};

const std::map<std::string, Setting>& settings() {
  using Kind = Setting::Kind;
  static auto time = [](double s) { return Duration(std::lround(s * 1000)); };
  static const std::map<std::string, Setting> all{
      {"tolerate", {Kind::factor, 1, 100, [](auto& of, double v) { of.tolerate = v; }}},
      {"ignore_below", {Kind::share, 0, 1, [](auto& of, double v) { of.ignore_below = v; }}},
      {"confidence", {Kind::share, 0.5, 0.999999, [](auto& of, double v) { of.confidence = v; }}},
      {"warm_up", {Kind::time, 0, 86'400, [](auto& of, double v) { of.warm_up = time(v); }}},
      {"warm_up_tolerance", {Kind::share, 0, 1, [](auto& of, double v) { of.warm_up_tolerance = v; }}},
      {"promote_tolerate", {Kind::factor, 1, 100, [](auto& of, double v) { of.promote_tolerate = v; }}},
      {"promote_confidence", {Kind::share, 0.5, 0.999999, [](auto& of, double v) { of.promote_confidence = v; }}},
      {"site_margin", {Kind::share, 0, 1, [](auto& of, double v) { of.site_margin = v; }}},
      {"min_requests", {Kind::count, 0, 1e9, [](auto& of, double v) { of.min_requests = static_cast<std::uint64_t>(v); }}},
      {"min_bake", {Kind::time, 0, 86'400, [](auto& of, double v) { of.min_bake = time(v); }}},
      {"block", {Kind::time, 0.1, 3600, [](auto& of, double v) { of.block = time(v); }}},
      {"restart_every", {Kind::time, 1, 86'400, [](auto& of, double v) { of.restart_every = time(v); }}},
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

// One line for each ten seconds or so: what both cohorts did in it, and how both proofs stand.
class Explaining {
 public:
  Explaining(const Trace& trace, const AnalysisOptions& options, std::ostream& out) : trace_(trace), options_(options), out_(out) {
    out_ << fmt::format("{}: {} hosts, {} of them canary\n", trace.id, trace.rows.empty() ? 0 : trace.rows[0].hosts.size(), trace.canaries);
    out_ << "     time    canary           baseline            against it                  for it\n";
  }
  void operator()(std::size_t row, const Verdict& verdict) {
    const auto& [frame, hosts] = trace_.rows[row - 1];
    if (frame.season != Season::live) return;
    if (began_ == Instant{}) began_ = frame.end - frame.length;
    for (const auto& host : hosts) {
      auto& sum = host.cohort == Cohort::canary ? canary_ : baseline_;
      sum.requests += static_cast<double>(host.requests);
      sum.failures += static_cast<double>(host.failures);
    }
    since_ += frame.length;
    bool speaks = verdict.call != called_;
    if (since_ < options_.block && !speaks) return;
    called_ = verdict.call;
    auto word = !speaks || called_ == Call::keep_watching ? "" : called_ == Call::promote ? "  promote" : "  ROLL BACK";
    out_ << fmt::format("{:>8}s  {:>15}  {:>15}  |{}| |{}|{}\n", (frame.end - began_).count() / 1000, text(canary_), text(baseline_),
                        bar(verdict.log_e, -std::log(1 - options_.confidence)),
                        bar(verdict.log_promote, -std::log(1 - options_.promote_confidence)), word);
    canary_ = baseline_ = {};
    since_ = Duration(0);
  }

 private:
  static std::string text(const HostBlock& sum) {
    return fmt::format("{} of {}", static_cast<std::int64_t>(sum.failures), static_cast<std::int64_t>(sum.requests));
  }
  // Full where it decides.
  static std::string bar(double log_value, double wanted) {
    constexpr int width = 24;
    auto filled = std::isfinite(log_value) ? static_cast<int>(std::clamp(log_value / wanted, 0.0, 1.0) * width) : 0;
    return std::string(static_cast<std::size_t>(filled), '#') + std::string(static_cast<std::size_t>(width - filled), ' ');
  }

  const Trace& trace_;
  const AnalysisOptions& options_;
  std::ostream& out_;
  Instant began_;
  HostBlock canary_;
  HostBlock baseline_;
  Duration since_{0};
  Call called_ = Call::keep_watching;
};

void replay_one(const Trace& trace, const AnalysisOptions& options, const ReplayWishes& wishes, std::ostream& out) {
  if (wishes.explain) {
    Explaining explaining(trace, options, out);
    auto result = replay(trace, options, [&](std::size_t row, const CanaryTest&, const Verdict& verdict) { explaining(row, verdict); });
    for (const auto& spoken : result.spoken) {
      out << fmt::format("{} at row {}: {}\n", to_string(spoken.call), spoken.row, spoken.evidence.text);
      if (spoken.evidence.bad_host) out << fmt::format("  only host {} is bad\n", *spoken.evidence.bad_host);
      if (spoken.call == Call::keep_watching && spoken.evidence.until_promote) {
        out << "  it would promote in about " << to_string(std::chrono::ceil<std::chrono::seconds>(*spoken.evidence.until_promote))
            << " at this rate\n";
      }
    }
    out << "\n";
    return;
  }
  auto each = [&](std::size_t row, const CanaryTest&, const Verdict& verdict) {
    if (trace.rows[row - 1].frame.season != Season::live) return;
    out << json{{"id", trace.id}, {"tick", row}, {"log_e", number(verdict.log_e)}, {"log_promote", number(verdict.log_promote)}}.dump()
        << "\n";
  };
  auto result = wishes.ticks ? replay(trace, options, each) : replay(trace, options);
  if (wishes.ticks) return;
  for (const auto& spoken : result.spoken) out << said(trace, spoken) << "\n";
}

}  // namespace

Result<void> tune(AnalysisOptions& options, const std::string& setting) {
  auto equals = setting.find('=');
  auto name = setting.substr(0, equals);
  auto found = settings().find(name);
  if (equals == std::string::npos || found == settings().end()) {
    std::string known;
    for (const auto& [word, how] : settings()) known += (known.empty() ? "" : ", ") + word;
    return Failure{Errc::bad_input, "--tune " + setting + ": write NAME=VALUE; the names are " + known};
  }
  auto given = quantity(setting.substr(equals + 1));
  auto unit = given ? scale(found->second.kind, given->unit) : std::nullopt;
  if (!unit || given->value * *unit < found->second.least || given->value * *unit > found->second.most) {
    return Failure{Errc::bad_input, fmt::format("--tune {}: {} must be {} to {}{}", setting, name, found->second.least, found->second.most,
                                                found->second.kind == Setting::Kind::time ? " seconds" : "")};
  }
  found->second.set(options, given->value * *unit);
  return {};
}

Result<void> replay_files(const ReplayWishes& wishes, std::ostream& out) {
  AnalysisOptions options;
  for (const auto& setting : wishes.settings) {
    if (auto tuned = tune(options, setting); !tuned) return tuned;
  }
  for (const auto& path : wishes.files) {
    std::ifstream file;
    if (path != "-") file.open(path);
    if (path != "-" && !file) return Failure{Errc::not_found, path + " cannot be read"};
    auto trace = read_trace(path == "-" ? std::cin : file);
    if (!trace) return std::move(trace).error().during(path);
    replay_one(*trace, options, wishes, out);
  }
  return {};
}

}  // namespace shiftd
