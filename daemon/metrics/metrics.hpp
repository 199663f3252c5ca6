#pragma once

// Every Prometheus metric of the daemon, in one table. docs/metrics.md is held against it by a test.

#include <string>
#include <string_view>
#include <vector>

#include "daemon/driver/control.hpp"

namespace shiftd {

struct MetricWords {
  std::string_view name;
  std::string_view type;  // "counter", "gauge"
  std::string_view help;
};

std::vector<MetricWords> metric_words();

// The answer to GET /metrics, in the text format 0.0.4. Costs O(hosts) of the rollouts that run.
std::string metrics_text(const Control& control);

}  // namespace shiftd
