#include "daemon/driver/history.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "daemon/analysis/power.hpp"

namespace shiftd {
namespace {

// Points that are asked for the service's rate of late.
constexpr std::size_t recent_points = 60;
constexpr std::size_t few_points = 3;

using nlohmann::json;

std::optional<HostBlock> counts_of(const json& counts, const std::string& host) {
  auto found = counts.find(host);
  if (found == counts.end() || !found->is_array() || found->size() != 2) return std::nullopt;
  if (!(*found)[0].is_number_unsigned() || !(*found)[1].is_number_unsigned()) return std::nullopt;
  return HostBlock{static_cast<double>((*found)[0].get<std::uint64_t>()), static_cast<double>((*found)[1].get<std::uint64_t>())};
}

std::vector<HostTick> ticks_of(const std::vector<std::string>& names) {
  std::vector<HostTick> ticks;
  ticks.reserve(names.size());
  for (const auto& name : names) ticks.push_back({name, Cohort::baseline, false, 0, 0});
  return ticks;
}

std::string within_about(const std::optional<Duration>& time) {
  if (!time) return "not within a day";
  auto rounded = *time < std::chrono::minutes(2) ? Duration(std::chrono::ceil<std::chrono::seconds>(*time))
                                                 : Duration(std::chrono::ceil<std::chrono::minutes>(*time));
  return "about " + to_string(rounded);
}

}  // namespace

void teach(CanaryTest& test, const std::vector<CountsPoint>& points, std::vector<HostTick> hosts, Duration length) {
  auto before = Instant::min();
  for (const auto& point : points) {
    auto counts = json::parse(point.counts, nullptr, false);
    if (!counts.is_object() || point.at <= before) continue;
    before = point.at;
    for (auto& tick : hosts) {
      auto past = counts_of(counts, tick.host);
      tick.cohort = past ? Cohort::baseline : Cohort::neither;
      tick.requests = past ? static_cast<std::uint64_t>(past->requests) : 0;
      tick.failures = past ? static_cast<std::uint64_t>(past->failures) : 0;
    }
    test.tick({point.at, length, Season::before, 0, 1}, hosts);
  }
}

std::vector<std::string> ill_hosts(const std::vector<CountsPoint>& points, const std::vector<std::string>& hosts, Duration length) {
  AnalysisOptions options;
  options.block = length;
  CanaryTest test(options);
  teach(test, points, ticks_of(hosts), length);
  std::vector<std::string> ill;
  for (std::uint32_t host = 0; host < hosts.size(); ++host) {
    if (test.was_ill_before(host)) ill.push_back(hosts[host]);
  }
  return ill;
}

std::vector<std::string> power_notes(const Plan& plan, const AnalysisOptions& options, const std::vector<CountsPoint>& points,
                                     Duration length) {
  HostBlock each;  // of one host in one point, summed
  double host_points = 0;
  auto from = points.size() > recent_points ? points.size() - recent_points : 0;
  for (auto at = from; at < points.size(); ++at) {
    auto counts = json::parse(points[at].counts, nullptr, false);
    if (!counts.is_object()) continue;
    for (const auto& host : plan.hosts) {
      auto past = counts_of(counts, host.name);
      if (!past) continue;
      each.requests += past->requests;
      each.failures += past->failures;
      host_points += 1;
    }
  }
  std::vector<std::string> notes;
  if (points.size() - from < few_points || each.requests <= 0) return notes;
  // A host that has left its old release is not in the points: the others stand for it.
  auto per_s = each.requests / host_points / seconds(length) * static_cast<double>(plan.hosts.size());
  auto rate = each.failures / each.requests;
  for (std::size_t index = 0; index < plan.stages.size(); ++index) {
    const auto& stage = plan.stages[index];
    if (!stage.judged) continue;
    StageTraffic traffic;
    traffic.canary_per_s = per_s * stage.achievable;
    traffic.baseline_per_s = per_s * (1 - stage.achievable);
    traffic.failure_rate = rate;
    traffic.next_share = index + 1 < plan.stages.size() ? std::max(plan.stages[index + 1].achievable, 1e-4) : 1;
    auto proof = time_to_promote(options, traffic);
    auto note = "stage " + to_string(stage.asked) + ": at the " + std::to_string(std::llround(per_s)) +
                " requests a second of late, of which " + percent(rate) + " fail, a release that fails ";
    if (rate > 0) {
      note += "twice as often is caught in " + within_about(time_to_roll_back(options, traffic, 2 * rate)) + ", five times in " +
              within_about(time_to_roll_back(options, traffic, 5 * rate)) + ", ";
    }
    note +=
        "1% more in " + within_about(time_to_roll_back(options, traffic, rate + 0.01)) + "; a good one is proven in " + within_about(proof);
    if (auto longest = std::max(stage.bake, options.max_bake); !proof || *proof > longest) {
      note += ", which is more than its longest bake of " + to_string(longest) + ": a larger share or a longer max_bake would help";
    }
    notes.push_back(std::move(note));
  }
  return notes;
}

}  // namespace shiftd
