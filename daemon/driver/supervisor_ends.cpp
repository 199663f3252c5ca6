// What remains of ended rollouts: notes of their success, what each host is to run, and hosts that missed it, which are asked
// whether they answer again, and then brought up to date by a rollout of their own.

#include <algorithm>
#include <vector>

#include "daemon/driver/fleet.hpp"
#include "daemon/driver/supervisor.hpp"
#include "daemon/io/log.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

// A host that answers, and fails all the same, is tried again ever more seldom.
constexpr int pauses_most = 2048;

}  // namespace

Task<Result<std::string>> Supervisor::desired(std::string name) {
  co_await recovered();
  auto* service = find_service(name);
  if (service == nullptr) co_return Failure{Errc::not_found, "no service " + name};
  std::map<std::string, std::string> hosts;
  for (const auto& host : service->hosts) hosts[host.place.name] = desired_.of(name, host.place.name);
  for (const auto& [id, running] : running_) {
    const auto& rollout = running.driver->rollout();
    if (running.service != service || rollout.phase == Phase::queued) continue;
    for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
      if (auto digest = desired_on(rollout, host); !digest.empty()) hosts[rollout.plan.hosts[host].name] = std::move(digest);
    }
  }
  auto at = std::chrono::floor<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  auto text = "shiftd-desired 1\nservice " + name + "\nat " + std::to_string(at) + "\n";
  for (const auto& [host, digest] : hosts) {
    if (!digest.empty()) text += "host " + host + " " + digest + "\n";
  }
  co_return text;
}

// In the release on each host, a few at a time; and whatever the service wants. Nothing of the rollout depends on it.
Task<> Supervisor::note_success(Service& service, Rollout rollout) {
  const auto& request = rollout.request;
  std::vector<HostPlace> places;
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
    if (rollout.hosts[host].phase != HostPhase::serving_new) continue;
    if (auto known = service.host_named(rollout.plan.hosts[host].name)) places.push_back((*known)->place);
  }
  const AskHost note = [&](const HostPlace& place) -> Task<Result<std::string>> {
    auto noted = co_await service.releaser->note_success(place, request.release.digest, request.rollout);
    if (!noted) co_return std::move(noted).error();
    co_return std::string();
  };
  auto noted = co_await ask_hosts(clock_, service.pace.reach_limit, places, note);
  for (std::size_t index = 0; index < noted.size(); ++index) {
    if (noted[index]) continue;
    log::warning("the success of {} was not noted on {}: {}", request.rollout, places[index].name, noted[index].error().what);
  }
  if (service.on_success) co_await service.on_success(std::move(rollout));
}

Task<> Supervisor::bring_back_stragglers(Service& service) {
  co_await recovered();
  while (true) {
    co_await clock_.sleep_for(service.stragglers.ask_every);
    auto missing = stragglers_.of(service.name);
    std::erase_if(returns_, [&](const auto& known) {
      auto same = [&](const Straggler& each) { return known.first == std::pair(service.name, each.host); };
      return known.first.first == service.name && std::none_of(missing.begin(), missing.end(), same);
    });
    for (const auto& straggler : missing) co_await bring_back(service, straggler);
  }
}

// One host, when it answers, nothing else acts on the service, and it has not just failed.
Task<> Supervisor::bring_back(Service& service, Straggler straggler) {
  auto& attempt = returns_[{service.name, straggler.host}];
  auto now = clock_.steady();
  if (attempt.pauses > 0 && now < attempt.not_before) co_return;
  if (!held_by(service).empty() || !ready()) co_return;
  auto host = service.host_named(straggler.host);
  if (!host) co_return;  // no host of the service any more
  auto asking = service.releaser->inspect((*host)->place);
  auto answer = co_await within(clock_, service.pace.reach_limit, std::move(asking));
  if (!answer || !held_by(service).empty()) co_return;
  attempt.pauses = std::clamp(2 * attempt.pauses, 1, pauses_most);
  attempt.not_before = clock_.steady() + attempt.pauses * service.stragglers.ask_every;
  StartRequest request{service.name, straggler.release, {straggler.host}, "shiftd", "", {}, true};
  request.reason = straggler.host + " answers again: it missed " + straggler.release.version + " in rollout " + straggler.rollout;
  auto plan = co_await make_plan_for(service, request_of(request, ""));
  auto returning = [](const PlannedHost& each) { return each.returning; };
  if (plan && std::none_of(plan->hosts.begin(), plan->hosts.end(), returning)) {
    log::info("{} answers again, and is left alone: somebody else has set it since rollout {}", straggler.host, straggler.rollout);
    co_return;
  }
  auto started = co_await start(std::move(request));
  if (started) log::info("rollout {} brings {} up to date: it answers again", *started, straggler.host);
  if (!started) log::warning("{} answers again and cannot be brought up to date: {}", straggler.host, started.error().what);
}

}  // namespace shiftd
