#include "daemon/metrics/metrics.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace shiftd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// One reading of the daemon, shared by all metrics.
struct Reading {
  DaemonStats stats;
  std::vector<RunningRollout> running;
  bool ready = false;
};

using Labels = std::vector<ClientMetric::Label>;

class Samples {
 public:
  explicit Samples(MetricFamily& family) : family_(family) {}

  void add(double value, Labels labels = {}) {
    ClientMetric sample;
    sample.label = std::move(labels);
    (family_.type == MetricType::Counter ? sample.counter.value : sample.gauge.value) = value;
    family_.metric.push_back(std::move(sample));
  }
  // The same of every rollout that runs; a service has at most one that acts.
  template <class Measure>
  void of_each(const Reading& reading, Measure measure) {
    std::set<std::string> seen;
    for (const auto& status : reading.running) {
      const auto& service = status.rollout.request.service;
      if (status.rollout.phase != Phase::queued && seen.insert(service).second)
        add(static_cast<double>(measure(status)), {{"service", service}});
    }
  }

 private:
  MetricFamily& family_;
};

struct Metric {
  const char* name;
  MetricType type;
  const char* help;
  void (*measure)(const Reading&, Samples&);
};

bool is_planned(const Rollout& rollout) { return rollout.stage < rollout.plan.stages.size(); }

constexpr std::array phases = {Phase::queued,       Phase::shifting, Phase::baking, Phase::gated,      Phase::finishing,
                               Phase::rolling_back, Phase::aborting, Phase::ended,  Phase::quarantined};
static_assert(phases.size() == rollout_phases);

void measure_phases(const Reading& reading, Samples& samples) {
  for (const auto& status : reading.running) {
    for (auto phase : phases) {
      if (phase == Phase::ended) continue;
      samples.add(status.rollout.phase == phase ? 1 : 0, {{"service", status.rollout.request.service},
                                                          {"rollout", status.rollout.request.rollout},
                                                          {"phase", std::string(to_string(phase))}});
    }
  }
}

void measure_hosts(const Reading& reading, Samples& samples) {
  for (const auto& status : reading.running) {
    if (status.rollout.phase == Phase::queued) continue;
    for (std::size_t phase = 0; phase < host_phases; ++phase) {
      samples.add(status.rollout.count[phase], {{"service", status.rollout.request.service},
                                                {"rollout", status.rollout.request.rollout},
                                                {"phase", std::string(to_string(static_cast<HostPhase>(phase)))}});
    }
  }
}

void measure_lost(const Reading& reading, Samples& samples) {
  for (const auto& status : reading.running) {
    for (const auto& [source, why] : status.rollout.lost) {
      samples.add(1, {{"service", status.rollout.request.service}, {"rollout", status.rollout.request.rollout}, {"source", source}});
    }
  }
}

void measure_closed(const Reading& reading, Samples& samples) {
  for (const auto& status : reading.running) {
    const auto& rollout = status.rollout;
    for (const auto& [pool, why] : rollout.closed) {
      samples.add(1, {{"service", rollout.request.service}, {"rollout", rollout.request.rollout}, {"pool", rollout.plan.pools[pool].name}});
    }
  }
}

// Of each place where announcements are told.
template <class Measure>
void of_each_sink(const Reading& reading, Samples& samples, Measure measure) {
  for (const auto& sink : reading.stats.sinks) samples.add(static_cast<double>(measure(sink)), {{"sink", sink.name}});
}

// For each pool of each rollout that has a plan.
template <class F>
void measure_pools(const Reading& reading, Samples& samples, F value) {
  for (const auto& status : reading.running) {
    const auto& rollout = status.rollout;
    for (PoolIndex pool = 0; pool < rollout.flows.size(); ++pool) {
      samples.add(value(rollout, pool),
                  {{"service", rollout.request.service}, {"rollout", rollout.request.rollout}, {"pool", rollout.plan.pools[pool].name}});
    }
  }
}

void measure_serving(const Reading& reading, Samples& samples) {
  measure_pools(reading, samples, [](const Rollout& rollout, PoolIndex pool) { return static_cast<double>(rollout.flows[pool].serving); });
}

void measure_needed(const Reading& reading, Samples& samples) {
  measure_pools(reading, samples, [](const Rollout& rollout, PoolIndex pool) {
    const auto& threshold = rollout.thresholds[pool];
    const auto& planned = rollout.plan.pools[pool];
    return static_cast<double>(threshold.view.empty() ? planned.least_serving : threshold.needs(planned.margin));
  });
}

void measure_info(const Reading& reading, Samples& samples) {
  for (const auto& status : reading.running) {
    const auto& request = status.rollout.request;
    samples.add(1, {{"service", request.service}, {"rollout", request.rollout}, {"version", request.release.version}});
  }
}

std::ptrdiff_t held_by_others(const RunningRollout& status) {
  const auto& members = status.rollout.members;
  return std::count_if(members.begin(), members.end(), [](const auto& member) { return member.holder == Holder::theirs; });
}

// clang-format off
constexpr auto counter = MetricType::Counter;
constexpr auto gauge = MetricType::Gauge;
const std::array table = {
    Metric{"shiftd_build_info", gauge, "Always 1; the version is a label.",
           [](const Reading&, Samples& out) { out.add(1, {{"version", SHIFTD_VERSION}}); }},
    Metric{"shiftd_ready", gauge, "1 when the daemon can do its work, as /-/ready says.",
           [](const Reading& seen, Samples& out) { out.add(seen.ready ? 1 : 0); }},
    Metric{"shiftd_rollouts_started_total", counter, "Rollouts since the daemon began, those it took over from the journal included.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.started)); }},
    Metric{"shiftd_rollouts_ended_total", counter, "Rollouts that ended since the daemon began, by outcome.",
           [](const Reading& seen, Samples& out) {
             out.add(static_cast<double>(seen.stats.succeeded), {{"outcome", "succeeded"}});
             out.add(static_cast<double>(seen.stats.rolled_back), {{"outcome", "rolled_back"}});
             out.add(static_cast<double>(seen.stats.failed), {{"outcome", "failed"}});
             out.add(static_cast<double>(seen.stats.aborted), {{"outcome", "aborted"}});
           }},
    Metric{"shiftd_rollouts_running", gauge, "Rollouts that act now.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.running)); }},
    Metric{"shiftd_rollouts_queued", gauge, "Rollouts that wait for another one to let go of their hosts.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.queued)); }},
    Metric{"shiftd_rollouts_quarantined", gauge, "Rollouts in which an invariant was broken: nothing is done any more until somebody aborts them.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.quarantined)); }},
    Metric{"shiftd_rollouts_stopped", gauge, "Rollouts under way by the journal that this daemon does not drive: `shiftctl list` says why.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.stopped)); }},
    Metric{"shiftd_stragglers", gauge, "Hosts of the service that missed a release and are out of their pools until they have it.",
           [](const Reading& seen, Samples& out) {
             for (const auto& [service, hosts] : seen.stats.stragglers) out.add(static_cast<double>(hosts), {{"service", service}});
           }},
    Metric{"shiftd_rollout_info", gauge, "Always 1 for a rollout that has not ended; its id and version are labels.", measure_info},
    Metric{"shiftd_rollout_phase", gauge, "1 for the phase that a rollout is in, 0 for the others.", measure_phases},
    Metric{"shiftd_rollout_stage", gauge, "The stage that the service's rollout is in; the first is 1.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.rollout.stage + 1; }); }},
    Metric{"shiftd_rollout_stages", gauge, "How many stages the service's rollout has.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.rollout.plan.stages.size(); }); }},
    Metric{"shiftd_rollout_share_asked", gauge, "The share of traffic that the stage asks for, 0 to 1.",
           [](const Reading& seen, Samples& out) {
             out.of_each(seen, [](const auto& status) { return is_planned(status.rollout) ? status.rollout.current_stage().asked.fraction() : 0; });
           }},
    Metric{"shiftd_rollout_share_achievable", gauge, "The share that integer weights can give at this stage, 0 to 1.",
           [](const Reading& seen, Samples& out) {
             out.of_each(seen, [](const auto& status) { return is_planned(status.rollout) ? status.rollout.current_stage().achievable : 0; });
           }},
    Metric{"shiftd_rollout_share_served", gauge, "The share of requests that the front end saw upgraded hosts serve over the last ticks, 0 to 1.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.live.served_share; }); }},
    Metric{"shiftd_paused", gauge, "1 while somebody has paused the service's rollout.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.rollout.paused ? 1 : 0; }); }},
    Metric{"shiftd_held", gauge, "1 while nothing moves in the service's rollout though nobody paused it.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.rollout.held.empty() ? 0 : 1; }); }},
    Metric{"shiftd_hosts", gauge, "Hosts to upgrade, by the phase they are in.", measure_hosts},
    Metric{"shiftd_hosts_failed", gauge, "Hosts that count against max_failed.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.rollout.failed; }); }},
    Metric{"shiftd_members_held_by_others", gauge, "Members that somebody else changed: not touched until release-hold or take.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, held_by_others); }},
    Metric{"shiftd_source_lost", gauge, "1 for each pool store, view or front end that does not answer; absent when it does.", measure_lost},
    Metric{"shiftd_pool_members_serving", gauge, "Members of the pool in traffic, by what was decided and told.", measure_serving},
    Metric{"shiftd_pool_members_needed", gauge, "Of those, how many the pool's load balancers need to be able to take out a failing one: no host leaves below that.", measure_needed},
    Metric{"shiftd_pool_closed", gauge, "1 for each pool to which nothing may be written now, but the traffic movement of a roll back; absent otherwise.", measure_closed},
    Metric{"shiftd_canary_requests_total", counter, "Requests that the front end saw the canary serve, since the rollout began.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.live.canary_requests; }); }},
    Metric{"shiftd_canary_failures_total", counter, "Those of them that failed (5xx).",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.live.canary_failures; }); }},
    Metric{"shiftd_baseline_requests_total", counter, "Requests that the front end saw the baseline serve, since the rollout began.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.live.baseline_requests; }); }},
    Metric{"shiftd_baseline_failures_total", counter, "Those of them that failed (5xx).",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.live.baseline_failures; }); }},
    Metric{"shiftd_verdict_e_value", gauge, "The evidence against the release; the verdict's page says from which value on it is rolled back.",
           [](const Reading& seen, Samples& out) { out.of_each(seen, [](const auto& status) { return status.live.e_value; }); }},
    Metric{"shiftd_journal_records_total", counter, "Records that this daemon appended to the journal.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.records)); }},
    Metric{"shiftd_journal_commits_total", counter, "Transactions that made records durable.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.commits)); }},
    Metric{"shiftd_journal_commit_seconds_total", counter, "What those transactions took, fsync included.",
           [](const Reading& seen, Samples& out) { out.add(std::chrono::duration<double>(seen.stats.committing).count()); }},
    Metric{"shiftd_effects_total", counter, "Effects that were begun: steps of hosts and writes of members, repeated ones included.",
           [](const Reading& seen, Samples& out) { out.add(static_cast<double>(seen.stats.effects)); }},
    Metric{"shiftd_announcements_total", counter, "Announcements that a sink has taken since the daemon began.",
           [](const Reading& seen, Samples& out) { of_each_sink(seen, out, [](const auto& sink) { return sink.told; }); }},
    Metric{"shiftd_announcements_refused_total", counter, "Announcements that a sink will never take, and that were left out.",
           [](const Reading& seen, Samples& out) { of_each_sink(seen, out, [](const auto& sink) { return sink.refused; }); }},
    Metric{"shiftd_announcement_failures_total", counter, "Attempts to tell a sink an announcement that failed and are repeated.",
           [](const Reading& seen, Samples& out) { of_each_sink(seen, out, [](const auto& sink) { return sink.failures; }); }},
    Metric{"shiftd_announcements_wait", gauge, "1 while a sink does not take what it is told; announcements wait in the journal.",
           [](const Reading& seen, Samples& out) { of_each_sink(seen, out, [](const auto& sink) { return sink.trouble.empty() ? 0 : 1; }); }},
};
// clang-format on

}  // namespace

std::vector<MetricWords> metric_words() {
  std::vector<MetricWords> words;
  words.reserve(std::size(table));
  for (const auto& metric : table) words.push_back({metric.name, metric.type == counter ? "counter" : "gauge", metric.help});
  return words;
}

std::string metrics_text(const Control& control) {
  Reading reading{control.stats(), control.running(), control.ready().has_value()};
  std::vector<MetricFamily> families;
  for (const auto& metric : table) {
    auto& family = families.emplace_back(MetricFamily{metric.name, metric.help, metric.type, {}});
    Samples samples(family);
    metric.measure(reading, samples);
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace shiftd
