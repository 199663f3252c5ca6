// What is judged beside 5xx: asked of the service's metric source, for all hosts at once.

#include "daemon/analysis/metric.hpp"

#include <algorithm>

#include "daemon/driver/driver.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

constexpr HostIndex several = UINT32_MAX;

// "10.1.2.3:8080" and "web1:9100" without the port; as it is where there is none.
std::string_view without_port(std::string_view address) {
  auto colon = address.rfind(':');
  return colon == std::string_view::npos ? address : address.substr(0, colon);
}

}  // namespace

// A name that several hosts could have means none of them.
void Driver::make_metrics() {
  for (const auto& metric : service_.metrics) metrics_.emplace_back(metric.options, service_.verdict);
  auto called = [&](std::string_view name, HostIndex host) {
    auto [known, fresh] = hosts_by_label_.emplace(name, host);
    if (!fresh && known->second != host) known->second = several;
  };
  for (HostIndex host = 0; host < places_.size(); ++host) {
    called(places_[host]->place.name, host);
    called(places_[host]->place.address, host);
    called(without_port(places_[host]->place.address), host);
  }
}

Task<> Driver::metric_loop() {
  if (metrics_.empty()) co_return;
  std::vector<Steady> last(metrics_.size(), clock_.steady());
  while (true) {
    for (std::size_t index = 0; index < metrics_.size(); ++index) {
      auto readings = co_await read_metric(service_.metrics[index]);
      auto now = clock_.steady();
      if (!readings) {
        metrics_[index].silent(readings.error().what);
      } else if (now > last[index]) {
        TickFrame frame{time_.now(), now - last[index], season_, committed_.stage, next_share()};
        metrics_[index].tick(frame, ticks_, *readings);
        last[index] = now;
      }
    }
    co_await clock_.sleep_for(service_.pace.metrics);
  }
}

Task<Result<std::vector<std::optional<MetricReading>>>> Driver::read_metric(const ServiceMetric& metric) {
  std::vector<std::optional<MetricReading>> readings(ticks_.size());
  auto bad = co_await service_.metric_source->ask(metric.bad);
  if (!bad) co_return std::move(bad).error();
  std::map<std::string, double> all;
  if (!metric.all.empty()) {
    auto answer = co_await service_.metric_source->ask(metric.all);
    if (!answer) co_return std::move(answer).error();
    all = std::move(*answer);
  }
  auto host_of = [&](const std::string& label) {
    auto found = hosts_by_label_.find(label);
    if (found == hosts_by_label_.end()) found = hosts_by_label_.find(without_port(label));
    return found == hosts_by_label_.end() || found->second == several ? std::nullopt : std::optional(found->second);
  };
  // A counter that has counted nothing yet may be missing where the other one is there: nothing bad has happened.
  for (const auto& [label, value] : all) {
    if (auto host = host_of(label)) readings[*host] = MetricReading{0, value};
  }
  for (const auto& [label, value] : *bad) {
    auto host = host_of(label);
    if (!host || (!metric.all.empty() && !readings[*host])) continue;
    if (!readings[*host]) readings[*host].emplace();
    readings[*host]->bad = value;
  }
  co_return readings;
}

void Driver::tell_metrics() {
  live_.metrics.clear();
  for (const auto& metric : metrics_) {
    const auto& of = metric.options();
    live_.metrics.push_back({of.name, std::string(to_string(of.may)), metric.text(), metric.trouble(), metric.speaks_against(),
                             committed_.ignored.contains(of.name)});
  }
}

}  // namespace shiftd
