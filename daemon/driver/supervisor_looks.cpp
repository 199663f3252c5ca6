// What the supervisor tells of the world and of itself: nothing here changes a rollout.

#include <algorithm>

#include "daemon/driver/supervisor.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {

Task<Result<std::vector<PoolStatus>>> Supervisor::pools(std::string name) {
  auto* service = find_service(name);
  if (service == nullptr) co_return Failure{Errc::not_found, "no service '" + name + "'"};
  auto acts = [&](const auto& each) { return each.second.service == service && each.second.driver->rollout().phase != Phase::queued; };
  auto running = std::find_if(running_.begin(), running_.end(), acts);
  const auto* rollout = running == running_.end() ? nullptr : &running->second.driver->rollout();
  co_return co_await look_at_pools(clock_, *service, rollout);
}

Task<Result<std::string>> Supervisor::logs(std::string id, std::string name) {
  auto running = running_.find(id);
  auto ended = ended_.find(id);
  if (running == running_.end() && ended == ended_.end()) co_return Failure{Errc::not_found, "no rollout " + id};
  auto* service = running != running_.end() ? running->second.service : find_service(ended->second.service);
  if (service == nullptr) co_return Failure{Errc::not_found, "the service of " + id + " is not configured any more"};
  auto host = std::find_if(service->hosts.begin(), service->hosts.end(), [&](const ServiceHost& each) { return each.place.name == name; });
  if (host == service->hosts.end()) co_return Failure{Errc::not_found, service->name + " has no host " + name};
  auto asking = service->releaser->logs(host->place, id);
  auto said = co_await within(clock_, service->pace.reach_limit, std::move(asking));
  if (!said) co_return std::move(said).error().during("the logs on " + name);
  co_return said;
}

DaemonStats Supervisor::stats() const {
  auto stats = counted_;
  stats.stopped = stopped_.size();
  for (const auto& service : services_) stats.stragglers[service->name] = stragglers_.of(service->name).size();
  for (const auto& [id, running] : running_) {
    const auto& rollout = running.driver->rollout();
    stats.records += rollout.records;
    stats.effects += running.driver->effects_performed();
    if (rollout.phase == Phase::queued) {
      ++stats.queued;
    } else if (rollout.phase == Phase::quarantined) {
      ++stats.quarantined;
    } else {
      ++stats.running;
    }
  }
  for (const auto& announcer : announcers_) stats.sinks.push_back(announcer.status());
  auto journal = journal_.stats();
  stats.commits = journal.commits;
  stats.committing = journal.committing;
  return stats;
}

}  // namespace shiftd
