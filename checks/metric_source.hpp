#pragma once

// Where a service's own metrics are asked for, each by its name or query, for every host at once.

#include <map>
#include <memory>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

class MetricSource {
 public:
  virtual ~MetricSource() = default;

  // What the source holds now, by what it calls the host. Whoever is not in it is not known: never zero.
  // Fails with: unreachable, timed_out; unexpected_reply: it is no answer, or gives several values for one host;
  // bad_input: it does not understand the query (says why).
  virtual Task<Result<std::map<std::string, double>>> ask(std::string query) = 0;
};

struct PrometheusOptions {
  std::string address;             // "host:port"; plain HTTP
  std::string path;                // before /api/v1/query; empty: none
  std::string label = "instance";  // that names the host: with its name, its address, or either with a port behind it
  Duration timeout{std::chrono::seconds(5)};

  bool operator==(const PrometheusOptions&) const = default;
};

// The instant query of Prometheus' HTTP API (prometheus.io/docs/prometheus/latest/querying/api), which Thanos, Mimir and
// VictoriaMetrics answer as well. Values that are no number (NaN, +Inf) are left out.
std::unique_ptr<MetricSource> make_prometheus(Clock& clock, PrometheusOptions options);

// Its answer to one query. Public for tests and the fuzzer.
Result<std::map<std::string, double>> prometheus_values(std::string_view body, const std::string& label);

}  // namespace shiftd
