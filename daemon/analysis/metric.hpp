#pragma once

// A further metric beside the built-in 5xx: a ratio (so many of so many were bad), judged as 5xx are, or a threshold.
//
// Each says what it may do. E-values of ratios that may roll back are averaged with the 5xx', by weights that are stated
// beforehand: the mean of e-values is one, whatever they have in common, so the promise of `confidence` stays. A threshold
// is a rule, no proof: what it does stands beside that promise.

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/analysis/stage_judge.hpp"
#include "daemon/analysis/verdict.hpp"

namespace shiftd {

enum class MetricMay : std::uint8_t {
  roll_back,
  hold,    // while it speaks against the release no stage passes
  inform,  // is shown, and decides nothing: a dry run
};
std::string_view to_string(MetricMay may);

struct MetricOptions {
  std::string name;
  MetricMay may = MetricMay::roll_back;
  std::optional<double> above;                 // a threshold: what a canary host's value may not exceed; none: a ratio
  Duration lasting{std::chrono::seconds(60)};  // of a threshold: exceeded for so long
  double weight = 0.1;                         // of a ratio that may roll back, in the mean of e-values; 5xx have the rest

  [[nodiscard]] bool weighs() const { return !above && may == MetricMay::roll_back; }
  bool operator==(const MetricOptions&) const = default;
};

// What 5xx weigh beside the metrics.
double weight_of_5xx(const std::vector<MetricOptions>& metrics);

// What was read of one host: a ratio's counters since the host began, or a threshold's value (in `bad`).
struct MetricReading {
  double bad = 0;
  double all = 0;
};

class Metric {
 public:
  // `verdict`: what is tolerated of 5xx is tolerated of a ratio.
  Metric(MetricOptions options, const AnalysisOptions& verdict);

  // One reading of all hosts, in the order of `hosts`, whose cohorts it takes; none of a host: not known.
  void tick(const TickFrame& frame, const std::vector<HostTick>& hosts, const std::vector<std::optional<MetricReading>>& readings);
  // It could not be read, and why. What is known stays.
  void silent(std::string why) { trouble_ = std::move(why); }
  void stage_changed(Instant now) { test_.stage_changed(now); }

  [[nodiscard]] const MetricOptions& options() const { return options_; }
  // Why it is not known how the release does; empty: it is.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] bool speaks_against() const { return speaks_against_; }
  [[nodiscard]] double log_e() const { return log_e_; }  // of a ratio
  [[nodiscard]] const std::string& text() const { return text_; }

  // As CanaryTest's.
  [[nodiscard]] std::string checkpoint() const;
  Result<void> restore(const std::string& checkpoint);

 private:
  void count(const TickFrame& frame, const std::vector<HostTick>& hosts, const std::vector<std::optional<MetricReading>>& readings);
  void compare(const TickFrame& frame, const std::vector<HostTick>& hosts, const std::vector<std::optional<MetricReading>>& readings);

  MetricOptions options_;
  CanaryTest test_;
  double log_e_ = never_started;
  bool speaks_against_ = false;
  std::vector<std::optional<MetricReading>> before_;  // by host
  std::vector<Cohort> cohorts_;                       // by host, at the last reading
  std::vector<Duration> exceeded_;                    // by host: for how long
  std::string trouble_ = "it was not read yet";
  std::string text_;
};

// What the metrics make of a ruling about 5xx. `ignored`: names of those that a person took out.
Ruling with_metrics(Ruling ruling, const Verdict& verdict, const std::vector<Metric>& metrics, const std::set<std::string>& ignored,
                    double confidence);

}  // namespace shiftd
