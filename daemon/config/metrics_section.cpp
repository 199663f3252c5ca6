#include <set>

#include "daemon/config/sections.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_metrics = 20;
// 5xx keep at least this much of the mean of e-values.
constexpr double least_for_5xx = 0.1;

std::optional<std::string> http_path(const yaml::Value& value) {
  auto given = text(value);
  if (given && (given->front() != '/' || given->find_first_of(" ?#") != std::string::npos))
    return value.refuse("must be a path such as /prometheus, not " + in_quotes(*given));
  return given;
}

std::optional<double> weight(const yaml::Value& value) {
  auto given = fraction(value);
  if (given && (*given <= 0 || *given > 1 - least_for_5xx))
    return value.refuse("must be more than 0%, and at most 90%: what is left is the weight of 5xx");
  return given;
}

void read_prometheus(yaml::Section& at, PrometheusOptions& prometheus) {
  at.required("address", prometheus.address, plain_address, "address: \"prometheus1:9090\"");
  at.optional("path", prometheus.path, http_path);
  at.optional("label", prometheus.label, name);
  at.optional("timeout", prometheus.timeout, duration(10ms, 1min));
}

void read_ratio(yaml::Section& at, MetricConfig& metric) {
  at.required("bad", metric.bad, command, "bad: sum by (instance) (http_requests_slow_total)");
  at.required("all", metric.all, command, "all: sum by (instance) (http_requests_total)");
}

void read_threshold(yaml::Section& at, MetricConfig& metric) {
  metric.options.above = 0;
  at.required("value", metric.bad, command, "value: sum by (instance) (queue_length)");
  at.required("above", metric.options.above, factor(-1e15, 1e15), "above: 1000");
  at.optional("for", metric.options.lasting, duration(0s, 24h));
}

void read_metric(yaml::Section& at, MetricConfig& metric) {
  MetricConfig how;
  at.required("name", metric.options.name, name, "name: slow");
  at.optional("ratio", how, yaml::section(read_ratio));
  at.optional("threshold", how, yaml::section(read_threshold));
  at.optional("may", metric.options.may,
              word<MetricMay>({{"roll_back", MetricMay::roll_back}, {"hold", MetricMay::hold}, {"inform", MetricMay::inform}}));
  at.optional("weight", metric.options.weight, weight);
  metric.bad = how.bad;
  metric.all = how.all;
  metric.options.above = how.options.above;
  metric.options.lasting = how.options.lasting;
  if (at.has("ratio") == at.has("threshold")) at.refuse("must be either a 'ratio' or a 'threshold'");
  if (at.has("weight") && (at.has("threshold") || metric.options.may != MetricMay::roll_back))
    at.refuse("'weight' is of a ratio that may roll back: take it out");
  if (metric.options.name == "5xx") at.refuse("5xx are built in: give it another name");
}

}  // namespace

void read_metrics(yaml::Section& at, MetricsConfig& metrics) {
  at.required("prometheus", metrics.prometheus, yaml::section(read_prometheus), "prometheus: {address: \"prometheus1:9090\"}");
  at.optional("every", metrics.every, duration(500ms, 10min));
  at.required("of", metrics.of, yaml::list(yaml::section(read_metric), most_metrics, "a list of metrics"),
              "of: [{name: slow, ratio: {bad: slow_total, all: requests_total}}]");
  std::set<std::string> names;
  double weights = 0;
  for (const auto& metric : metrics.of) {
    if (!metric.options.name.empty() && !names.insert(metric.options.name).second)
      at.refuse("names metric " + in_quotes(metric.options.name) + " twice");
    weights += metric.options.weighs() ? metric.options.weight : 0;
  }
  if (weights > 1 - least_for_5xx) at.refuse("the weights of its metrics are more than 90% together: nothing would be left for 5xx");
}

}  // namespace shiftd
