#include "daemon/driver/history.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "daemon/analysis/power.hpp"
#include "daemon/analysis/trace.hpp"

namespace shiftd {
namespace {

// Points that are asked for the service's rate of late.
constexpr std::size_t recent_points = 60;
constexpr std::size_t few_points = 3;

// Host-points that are kept of a service: six hours of 1,600 hosts, an hour of 10,000.
constexpr std::int64_t host_points_most = 3'600'000;

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

// The analysis has this many fresh starts to spread over a rollout (docs/verdict.md); they should last until its end.
constexpr int restarts_most = 64;

// A generous guess: what its bakes take, gates and waiting included, and a minute for each batch.
Duration planned_duration(const Plan& plan) {
  Duration bakes{0};
  for (const auto& stage : plan.stages) bakes += stage.bake;
  Duration writes{0};
  for (PoolIndex pool = 0; pool < plan.pools.size(); ++pool) writes = std::max(writes, planned_write_time(plan, pool));
  return 2 * bakes + writes + std::chrono::minutes(1) * static_cast<int>(plan.hosts_to_upgrade() / plan.batch + 1);
}

// Each point of the history, in order, as a tick of these hosts.
template <class Say>
void each_tick(const std::vector<CountsPoint>& points, std::vector<HostTick>& hosts, Duration length, const Say& say) {
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
    say(TickFrame{point.at, length, Season::before, 0, 1});
  }
}

std::string rows_of(const std::vector<CountsPoint>& points, const std::vector<std::string>& names, Duration length) {
  std::string text;
  auto hosts = ticks_of(names);
  each_tick(points, hosts, length, [&](const TickFrame& frame) { text += trace_row({frame, false, hosts}); });
  return text;
}

// With the canary requests that come in that time.
std::string within_about(const std::optional<Duration>& time, double canary_per_s) {
  if (!time) return "not within a day";
  auto rounded = *time < std::chrono::minutes(2) ? Duration(std::chrono::ceil<std::chrono::seconds>(*time))
                                                 : Duration(std::chrono::ceil<std::chrono::minutes>(*time));
  return "about " + to_string(rounded) + " (" + std::to_string(std::llround(canary_per_s * seconds(*time))) + " canary requests)";
}

}  // namespace

Duration kept_history(const Service& service) {
  auto hosts = std::max<std::int64_t>(1, static_cast<std::int64_t>(service.hosts.size()));
  auto affordable = service.pace.checkpoint * (host_points_most / hosts);
  return std::max(std::min(service.pace.keep_counts, affordable), service.verdict.watch_first);
}

Duration known_history(const std::vector<CountsPoint>& points, Duration length) {
  auto says_something = [](const CountsPoint& point) { return point.counts.size() > std::string_view("{}").size(); };
  return length * std::count_if(points.begin(), points.end(), says_something);
}

void plan_watch(Plan& plan, const Service& service, const std::vector<CountsPoint>& points) {
  auto is_judged = [](const PlannedStage& stage) { return stage.judged; };
  auto counts = [](const ServicePool& pool) { return pool.front_end != nullptr; };
  auto wanted = service.verdict.watch_first;
  if (std::none_of(plan.stages.begin(), plan.stages.end(), is_judged)) return;
  if (std::none_of(service.pools.begin(), service.pools.end(), counts)) return;
  auto known = known_history(points, service.pace.checkpoint);
  if (known >= wanted) return;
  auto short_by = "of the hosts' history, " + to_string(known) + " of " + to_string(wanted) + " are known: ";
  if (plan.request.no_watch) {
    plan.notes.push_back(short_by +
                         "the first host leaves all the same, as asked; bursts that were not seen yet count against the release");
    return;
  }
  plan.watch = wanted;
  plan.notes.push_back(short_by + "the first host leaves in about " + to_string(wanted - known) +
                       ", so that the verdict knows their bursts; `start --no-watch` does not wait");
}

AnalysisOptions options_for(const Plan& plan, const Service& service) {
  auto options = service.verdict;
  std::vector<MetricOptions> metrics;
  for (const auto& metric : service.metrics) metrics.push_back(metric.options);
  options.confidence = 1 - (1 - options.confidence) * weight_of_5xx(metrics);
  options.restart_every = std::max(options.restart_every, planned_duration(plan) / restarts_most);
  // Quick rollouts are judged in shorter blocks.
  for (const auto& stage : plan.stages) {
    if (stage.judged) options.min_bake = std::min(options.min_bake, stage.bake);
  }
  options.block = std::clamp(options.min_bake, Duration(std::chrono::seconds(1)), options.block);
  return options;
}

std::string rollout_trace(const Rollout& rollout, const Service& service, const std::vector<CountsPoint>& history,
                          const std::vector<CountsPoint>& recording) {
  std::vector<std::string> names;
  for (const auto& host : rollout.plan.hosts) names.push_back(host.name);
  auto learnt = history;
  std::erase_if(learnt, [&](const CountsPoint& point) { return point.at > rollout.created; });
  auto text =
      trace_head(rollout.request.rollout, names, options_for(rollout.plan, service)) + rows_of(learnt, names, service.pace.checkpoint);
  for (const auto& part : recording) text += part.counts;
  return text;
}

std::string history_trace(const Service& service, const std::vector<CountsPoint>& history) {
  std::vector<std::string> names;
  for (const auto& host : service.hosts) names.push_back(host.place.name);
  return trace_head(service.name, names, service.verdict) + rows_of(history, names, service.pace.checkpoint);
}

void teach(CanaryTest& test, const std::vector<CountsPoint>& points, std::vector<HostTick> hosts, Duration length) {
  each_tick(points, hosts, length, [&](const TickFrame& frame) { test.tick(frame, hosts); });
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
    auto within = [&](const std::optional<Duration>& time) { return within_about(time, traffic.canary_per_s); };
    auto proof = time_to_promote(options, traffic);
    auto note = "stage " + to_string(stage.asked) + ": at the " + std::to_string(std::llround(per_s)) +
                " requests a second of late, of which " + percent(rate) + " fail, a release that fails ";
    if (rate > 0) {
      note += "twice as often is caught in " + within(time_to_roll_back(options, traffic, 2 * rate)) + ", five times in " +
              within(time_to_roll_back(options, traffic, 5 * rate)) + ", ";
    }
    note += "1% more in " + within(time_to_roll_back(options, traffic, rate + 0.01)) + "; a good one is proven in " + within(proof);
    if (auto longest = std::max(stage.bake, options.max_bake); !proof || *proof > longest) {
      note += ", which is more than its longest bake of " + to_string(longest) + ": a larger share or a longer max_bake would help";
    }
    notes.push_back(std::move(note));
  }
  return notes;
}

}  // namespace shiftd
