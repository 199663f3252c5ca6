#include "daemon/analysis/metric.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "daemon/base/basis_points.hpp"

namespace shiftd {
namespace {

std::string short_number(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

AnalysisOptions of_a_ratio(AnalysisOptions options, const MetricOptions& metric) {
  if (metric.weighs()) options.confidence = 1 - metric.weight * (1 - options.confidence);
  return options;
}

// Counters that went down began again at zero. Where only the bad ones went down, a series is missing: that tells nothing.
HostTick difference(HostTick tick, const MetricReading& before, const MetricReading& now) {
  auto from = now.all < before.all ? MetricReading{} : now.bad < before.bad ? now : before;
  tick.requests = static_cast<std::uint64_t>(std::llround(std::clamp(now.all - from.all, 0.0, 1e15)));
  tick.failures = std::min(static_cast<std::uint64_t>(std::llround(std::clamp(now.bad - from.bad, 0.0, 1e15))), tick.requests);
  return tick;
}

}  // namespace

std::string_view to_string(MetricMay may) {
  switch (may) {
    case MetricMay::roll_back: return "roll_back";
    case MetricMay::hold: return "hold";
    case MetricMay::inform: return "inform";
  }
  return "?";
}

double weight_of_5xx(const std::vector<MetricOptions>& metrics) {
  double left = 1;
  for (const auto& metric : metrics) left -= metric.weighs() ? metric.weight : 0;
  return left;
}

Metric::Metric(MetricOptions options, const AnalysisOptions& verdict)
    : options_(std::move(options)), test_(of_a_ratio(verdict, options_)) {}

void Metric::tick(const TickFrame& frame, const std::vector<HostTick>& hosts, const std::vector<std::optional<MetricReading>>& readings) {
  before_.resize(hosts.size());
  exceeded_.resize(hosts.size(), Duration(0));
  if (cohorts_.empty()) {
    for (const auto& host : hosts) cohorts_.push_back(host.cohort);
  }
  std::string missing;
  for (std::size_t host = 0; host < hosts.size() && missing.empty(); ++host) {
    if (hosts[host].cohort == Cohort::canary && !readings[host]) missing = hosts[host].host;
  }
  trouble_ = missing.empty() ? "" : "it has nothing of " + missing;
  options_.above ? compare(frame, hosts, readings) : count(frame, hosts, readings);
  for (std::size_t host = 0; host < hosts.size(); ++host) {
    if (readings[host]) before_[host] = readings[host];
    cohorts_[host] = hosts[host].cohort;
  }
}

void Metric::count(const TickFrame& frame, const std::vector<HostTick>& hosts, const std::vector<std::optional<MetricReading>>& readings) {
  auto ticks = hosts;
  for (std::size_t host = 0; host < hosts.size(); ++host) {
    ticks[host].requests = ticks[host].failures = 0;
    // Who changed over between two readings served two releases between them.
    if (cohorts_[host] != hosts[host].cohort) ticks[host].cohort = Cohort::neither;
    if (readings[host] && before_[host]) ticks[host] = difference(ticks[host], *before_[host], *readings[host]);
  }
  auto verdict = test_.tick(frame, ticks);
  log_e_ = verdict.log_e;
  speaks_against_ = verdict.call == Call::roll_back;
  auto evidence = test_.evidence(ticks);
  auto share = [](std::uint64_t bad, std::uint64_t all) {
    return std::to_string(bad) + " of " + std::to_string(all) +
           (all > 0 ? " (" + percent(static_cast<double>(bad) / static_cast<double>(all)) + ")" : "");
  };
  text_ = "canary " + share(evidence.canary_failures, evidence.canary_requests) + ", baseline " +
          share(evidence.baseline_failures, evidence.baseline_requests) + "; evidence " + short_number(evidence.e_value);
}

void Metric::compare(const TickFrame& frame, const std::vector<HostTick>& hosts,
                     const std::vector<std::optional<MetricReading>>& readings) {
  std::optional<std::size_t> worst;
  double highest = 0;
  std::size_t canaries = 0;
  speaks_against_ = false;
  for (std::size_t host = 0; host < hosts.size(); ++host) {
    bool canary = hosts[host].cohort == Cohort::canary && readings[host];
    if (canary && (canaries++ == 0 || readings[host]->bad > highest)) highest = readings[host]->bad;
    bool too_much = canary && readings[host]->bad > *options_.above;
    exceeded_[host] = too_much ? exceeded_[host] + frame.length : Duration(0);
    if (too_much && (!worst || exceeded_[host] > exceeded_[*worst])) worst = host;
  }
  text_ =
      canaries == 0 ? "no canary host yet" : "at most " + short_number(highest) + " on the canary, may be " + short_number(*options_.above);
  if (!worst) return;
  speaks_against_ = exceeded_[*worst] >= options_.lasting;
  text_ = hosts[*worst].host + " is over " + short_number(*options_.above) + " for " + to_string(exceeded_[*worst]) + ": " +
          short_number(readings[*worst]->bad);
}

std::string Metric::checkpoint() const {
  nlohmann::json state{{"test", test_.checkpoint()},
                       {"speaks_against", speaks_against_},
                       {"log_e", std::isfinite(log_e_) ? nlohmann::json(log_e_) : nlohmann::json()}};
  for (const auto& reading : before_) state["before"].push_back(reading ? nlohmann::json{reading->bad, reading->all} : nlohmann::json());
  for (auto cohort : cohorts_) state["cohorts"].push_back(static_cast<int>(cohort));
  for (auto time : exceeded_) state["exceeded_ms"].push_back(time.count());
  return state.dump();
}

Result<void> Metric::restore(const std::string& checkpoint) {
  try {
    auto state = nlohmann::json::parse(checkpoint);
    Metric restored = *this;
    if (auto test = restored.test_.restore(state.at("test").get<std::string>()); !test) return test;
    restored.speaks_against_ = state.value("speaks_against", false);
    restored.log_e_ = state.at("log_e").is_null() ? never_started : state.at("log_e").get<double>();
    auto list = [&](const char* name) { return state.value(name, nlohmann::json::array()); };
    restored.before_.clear();
    restored.cohorts_.clear();
    restored.exceeded_.clear();
    for (const auto& reading : list("before")) {
      auto& before = restored.before_.emplace_back();
      if (!reading.is_null()) before = MetricReading{reading.at(0).get<double>(), reading.at(1).get<double>()};
    }
    for (const auto& cohort : list("cohorts")) restored.cohorts_.push_back(static_cast<Cohort>(std::clamp(cohort.get<int>(), 0, 3)));
    for (const auto& time : list("exceeded_ms")) restored.exceeded_.emplace_back(time.get<std::int64_t>());
    if (restored.before_.size() != restored.cohorts_.size() || restored.exceeded_.size() != restored.cohorts_.size())
      return Failure{Errc::bad_input, "not a checkpoint of a metric: its lists do not fit each other"};
    *this = std::move(restored);
  } catch (const nlohmann::json::exception& error) {
    return Failure{Errc::bad_input, std::string("not a checkpoint of a metric: ") + error.what()};
  }
  return {};
}

namespace {

// The mean of e-values, in logarithms, and who adds most to it.
struct Mean {
  double log_e = never_started;
  const Metric* strongest = nullptr;  // none: 5xx
};

Mean mean_of(const Verdict& verdict, const std::vector<Metric>& metrics, const std::set<std::string>& ignored) {
  std::vector<MetricOptions> options;
  options.reserve(metrics.size());
  for (const auto& metric : metrics) options.push_back(metric.options());
  struct Term {
    double log_value;
    const Metric* of;
  };
  std::vector<Term> terms{{verdict.log_e + std::log(weight_of_5xx(options)), nullptr}};
  for (const auto& metric : metrics) {
    if (metric.options().weighs() && !ignored.contains(metric.options().name))
      terms.push_back({metric.log_e() + std::log(metric.options().weight), &metric});
  }
  auto most = std::max_element(terms.begin(), terms.end(), [](const Term& a, const Term& b) { return a.log_value < b.log_value; });
  Mean mean;
  if (!std::isfinite(most->log_value)) return mean;
  double sum = 0;
  for (const auto& term : terms) sum += std::exp(term.log_value - most->log_value);
  mean.log_e = most->log_value + std::log(sum);
  mean.strongest = most->of;
  return mean;
}

std::string named(const Metric& metric, const std::string& what) { return "metric " + metric.options().name + ": " + what; }

}  // namespace

Ruling with_metrics(Ruling ruling, const Verdict& verdict, const std::vector<Metric>& metrics, const std::set<std::string>& ignored,
                    double confidence) {
  if (ruling.call == Call::roll_back || metrics.empty()) return ruling;
  auto mean = mean_of(verdict, metrics, ignored);
  if (mean.log_e >= -std::log(1 - confidence)) {
    auto why = mean.strongest != nullptr ? named(*mean.strongest, mean.strongest->text()) : ruling.text;
    return {Call::roll_back, {}, why + "; the metrics' mean evidence is " + short_number(std::exp(mean.log_e))};
  }
  for (const auto& metric : metrics) {
    const auto& of = metric.options();
    if (of.may == MetricMay::inform || ignored.contains(of.name)) continue;
    if (of.may == MetricMay::roll_back && metric.speaks_against()) return {Call::roll_back, {}, named(metric, metric.text())};
    if (ruling.call != Call::promote) continue;
    // In words that change seldom: the figures are shown elsewhere.
    if (!metric.trouble().empty()) ruling = {Call::keep_watching, {}, named(metric, metric.trouble())};
    if (metric.speaks_against()) ruling = {Call::keep_watching, {}, named(metric, "it speaks against the release")};
  }
  return ruling;
}

}  // namespace shiftd
