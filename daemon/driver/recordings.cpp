// What is counted of services and rollouts: what plans are made with, and what is judged again.

#include <algorithm>

#include "daemon/driver/fleet.hpp"
#include "daemon/driver/history.hpp"
#include "daemon/driver/idle_counts.hpp"
#include "daemon/driver/supervisor.hpp"
#include "daemon/io/log.hpp"
#include "daemon/release/restart.hpp"

namespace shiftd {
namespace {

// Of each service's newest ended rollouts.
constexpr std::ptrdiff_t recordings_kept = 20;

}  // namespace

// Only from when it is known which rollouts count for themselves.
Task<> Supervisor::count_idle_services() {
  co_await recovered();
  for (const auto& service : services_) {
    auto rollout_counts = [this, its = service.get()] {
      auto counts = [its](const auto& each) { return each.second.service == its && each.second.driver->rollout().phase != Phase::queued; };
      return std::any_of(running_.begin(), running_.end(), counts);
    };
    drivers_.start("counts " + service->name, count_between_rollouts(clock_, journal_, *service, std::move(rollout_counts)));
  }
}

namespace {

// A host that was ill before would be a canary that tells nothing: cured by its restart, it would even hide a fault.
void put_ill_hosts_last(FleetSeen& seen, const std::vector<CountsPoint>& past, Duration length) {
  std::vector<std::string> names;
  for (const auto& host : seen.fleet.hosts) names.push_back(host.name);
  auto ill = ill_hosts(past, names, length);
  auto well = [&](const HostFound& host) { return std::find(ill.begin(), ill.end(), host.name) == ill.end(); };
  std::stable_partition(seen.fleet.hosts.begin(), seen.fleet.hosts.end(), well);
  for (const auto& name : ill) {
    seen.notes.push_back(name + " has failed far more often than the others on the old release: it is upgraded last, and is no canary");
  }
}

}  // namespace

Task<Result<Plan>> Supervisor::make_plan_for(Service& service, Request request) {
  auto checked = co_await service.releaser->check_source(request.release);
  if (!checked) co_return std::move(checked).error().during("read the release");
  request.release = std::move(*checked);
  auto seen = co_await look_at_fleet(clock_, service, stragglers_, request.release);
  if (!seen) co_return seen.error();
  std::vector<std::string> found;
  for (const auto& host : seen->fleet.hosts) found.push_back(host.digest);
  auto release = co_await service.releaser->complete(request.release, std::move(found));
  if (!release) co_return std::move(release).error();
  request.release = std::move(*release);
  auto tested = test_of(service, request);
  if (!tested) co_return std::move(tested).error();
  if (!tested->empty()) seen->notes.push_back(std::move(*tested));
  // Without its history a service is planned all the same.
  std::vector<CountsPoint> past;
  auto read = co_await journal_.read_counts(service.name, clock_.wall() - kept_history(service));
  if (read) past = std::move(*read);
  if (std::holds_alternative<HostQuota>(service.strategy.canary)) put_ill_hosts_last(*seen, past, service.pace.checkpoint);
  auto plan = make_plan(std::move(request), service.strategy, seen->fleet);
  if (!plan) co_return plan;
  plan_watch(*plan, service, past);
  auto power = power_notes(*plan, service.verdict, past, service.pace.checkpoint);
  for (auto* notes : {&seen->notes, &power}) std::move(notes->begin(), notes->end(), std::back_inserter(plan->notes));
  co_return plan;
}

// Where the release was tested, for people; empty where the service does not want to know.
Result<std::string> Supervisor::test_of(const Service& service, const Request& request) const {
  if (service.tested_in.empty() || is_restart(request.release)) return std::string();
  for (const auto& where : {service.tested_in, service.name}) {
    if (auto rollout = desired_.success_of(where, request.release.digest); !rollout.empty())
      return "tested: " + request.release.version + " has succeeded on " + where + " in rollout " + rollout;
  }
  auto missing = request.release.version + " has not succeeded on " + service.tested_in;
  if (request.untested) return "UNTESTED: " + missing + ", and goes on all the same: " + request.reason;
  return Failure{Errc::refused, service.name + " takes only what was tested, and " + missing + ": start exactly this code and " +
                                    "configuration there, or say --untested with a reason"};
}

Task<Result<std::string>> Supervisor::trace(std::string id) {
  auto status = co_await show(id);
  if (!status) co_return status.error();
  auto* service = find_service(status->rollout.request.service);
  if (service == nullptr) co_return Failure{Errc::not_found, "service " + status->rollout.request.service + " is no longer configured"};
  auto recording = co_await journal_.read_counts(recording_of(id), Instant::min());
  if (!recording) co_return std::move(recording).error().during("read the recording of " + id);
  if (recording->empty())
    co_return Failure{Errc::not_found, "nothing is recorded of " + id + ": it counted nothing, or newer rollouts' recordings are kept"};
  auto past = co_await journal_.read_counts(service->name, Instant::min());
  if (!past) co_return std::move(past).error().during("read the history of " + service->name);
  co_return rollout_trace(status->rollout, *service, *past, *recording);
}

Task<Result<std::string>> Supervisor::history(std::string name) {
  auto* service = find_service(name);
  if (service == nullptr) co_return Failure{Errc::not_found, "no service '" + name + "'"};
  auto past = co_await journal_.read_counts(name, clock_.wall() - kept_history(*service));
  if (!past) co_return std::move(past).error().during("read the history of " + name);
  co_return history_trace(*service, *past);
}

// Records are small and are kept long; the recording of what was counted is large.
Task<> Supervisor::drop_old_recording(std::string service) {
  std::vector<std::pair<Instant, std::string>> its;
  for (const auto& [id, brief] : ended_) {
    if (brief.service == service) its.emplace_back(brief.created, id);
  }
  if (std::ssize(its) <= recordings_kept) co_return;
  auto oldest = its.end() - recordings_kept - 1;
  std::nth_element(its.begin(), oldest, its.end());
  auto dropped = co_await journal_.drop_counts(recording_of(oldest->second));
  if (!dropped) log::warning("the recording of {} was not removed: {}", oldest->second, dropped.error().what);
}

}  // namespace shiftd
