#include "daemon/shiftctl/verdict_replay.hpp"

#include <cmath>
#include <fstream>
#include <iostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/analysis/trace.hpp"
#include "daemon/analysis/tune.hpp"
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

// One line for each ten seconds or so: what both cohorts did in it, and how both proofs stand.
class Explaining {
 public:
  Explaining(const Trace& trace, const AnalysisOptions& options, std::ostream& out) : trace_(trace), options_(options), out_(out) {
    auto canaries = trace.canaries > 0 ? fmt::format("{} of them canary", trace.canaries) : "which join one by one";
    out_ << fmt::format("{}: {} hosts, {}\n", trace.id, trace.hosts.size(), canaries);
    out_ << "     time    canary           baseline            against it                  for it\n";
  }
  void operator()(std::size_t row, const Verdict& verdict) {
    const auto& frame = trace_.rows[row - 1].frame;
    const auto& hosts = trace_.rows[row - 1].hosts;
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

Result<void> replay_files(const ReplayWishes& wishes, std::ostream& out) {
  auto tuned = [&](AnalysisOptions& options) -> Result<void> {
    for (const auto& setting : wishes.settings) {
      if (auto known = tune(options, setting); !known) return std::move(known).error().during("--tune");
    }
    return {};
  };
  AnalysisOptions defaults;
  if (auto known = tuned(defaults); !known) return known;
  for (const auto& path : wishes.files) {
    std::ifstream file;
    if (path != "-") file.open(path);
    if (path != "-" && !file) return Failure{Errc::not_found, path + " cannot be read"};
    auto trace = read_trace(path == "-" ? std::cin : file);
    if (!trace) return std::move(trace).error().during(path);
    (void)tuned(trace->options);
    replay_one(*trace, trace->options, wishes, out);
  }
  return {};
}

}  // namespace shiftd
