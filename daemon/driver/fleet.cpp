#include "daemon/driver/fleet.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "daemon/io/task_group.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

constexpr std::size_t hosts_at_once = 32;
constexpr Duration dry_run_limit = std::chrono::minutes(2);
constexpr std::size_t dry_runs_most = 1 << 20;  // bytes

Task<> ask_host(Clock& clock, Duration limit, const HostPlace& place, const AskHost& ask, Result<std::string>& answer) {
  answer = co_await within(clock, limit, ask(place));
}

using Names = std::set<std::string_view>;

// The service's hosts by their names in the pool.
Names names_in(const Service& service, std::size_t pool) {
  Names names;
  for (const auto& host : service.hosts) {
    for (const auto& [in, name] : host.members) {
      if (in == pool) names.insert(name);
    }
  }
  return names;
}

// Members in traffic that belong to no host of the service.
std::uint32_t strangers_in(const PoolReading& reading, const Names& ours) {
  auto strange = [&](const PoolReading::Member& member) {
    return member.observed.setting.pooled == Pooled::yes && member.observed.setting.weight > 0 && !ours.contains(member.name);
  };
  return static_cast<std::uint32_t>(std::count_if(reading.members.begin(), reading.members.end(), strange));
}

Task<> ask_view(Clock& clock, Duration limit, TrafficView& view, Result<ViewReading>& answer) {
  answer = co_await within(clock, limit, view.read());
}

// The strictest threshold that the pool's views say. A view that does not answer is a note: the rollout waits for it anyway.
Task<DepoolThreshold> ask_threshold(Clock& clock, Service& service, std::size_t pool, const Names& names, std::vector<std::string>& notes) {
  const auto& views = service.pools[pool].views;
  std::vector<Result<ViewReading>> answers(views.size(), Result<ViewReading>(Failure{Errc::unreachable, "not asked"}));
  TaskGroup asking(co_await boost::asio::this_coro::executor);
  for (std::size_t view = 0; view < views.size(); ++view)
    asking.start("view", ask_view(clock, service.pace.call_limit, *views[view], answers[view]));
  co_await asking.join();
  auto ours = [&](std::string_view member) { return names.contains(member); };
  DepoolThreshold strictest;
  for (std::size_t view = 0; view < views.size(); ++view) {
    if (!answers[view]) {
      notes.push_back(views[view]->name() + " could not be asked: " + answers[view].error().what);
      continue;
    }
    auto threshold = threshold_of(views[view]->name(), *answers[view], ours);
    if (strictest.view.empty() || threshold.needs(1) > strictest.needs(1)) strictest = std::move(threshold);
  }
  co_return strictest;
}

// The hosts that the configuration names, and then those that their pool holds now.
Result<std::vector<const ServiceHost*>> hosts_now(Service& service, const std::vector<PoolReading>& readings,
                                                  std::vector<std::string>& notes) {
  std::set<std::string> present;
  if (service.found) {
    const auto& pool = service.pools[service.found->pool];
    auto named = names_in(service, service.found->pool);
    for (const auto& member : readings[service.found->pool].members) {
      auto host = service.found->host_of(member.name);
      if (!host && !named.contains(member.name))
        notes.push_back(pool.store->name() + "/" + member.name + " is left alone: no host of this service could be called so there");
      if (!host) continue;
      if (auto made = service.host_named(*host); !made) return made.error();
      present.insert(std::move(*host));
    }
  }
  std::vector<const ServiceHost*> hosts;
  for (const auto& host : service.hosts) {
    if (!host.found || present.contains(host.place.name)) hosts.push_back(&host);
  }
  return hosts;
}

std::vector<HostPlace> places_of(const std::vector<const ServiceHost*>& hosts) {
  std::vector<HostPlace> places;
  places.reserve(hosts.size());
  for (const auto* host : hosts) places.push_back(host->place);
  return places;
}

std::vector<HostPlace> places_to_upgrade(const Service& service, const Plan& plan) {
  std::map<std::string, HostPlace> known;
  for (const auto& host : service.hosts) known.emplace(host.place.name, host.place);
  std::vector<HostPlace> places;
  for (const auto& host : plan.hosts)
    if (auto found = known.find(host.name); found != known.end() && host.role == Role::upgrade) places.push_back(found->second);
  return places;
}

}  // namespace

Task<std::vector<Result<std::string>>> ask_hosts(Clock& clock, Duration limit, std::vector<HostPlace> places, const AskHost& ask) {
  std::vector<Result<std::string>> answers(places.size());
  auto executor = co_await boost::asio::this_coro::executor;
  for (std::size_t from = 0; from < places.size(); from += hosts_at_once) {
    TaskGroup asking(executor);
    for (auto at = from; at < std::min(places.size(), from + hosts_at_once); ++at)
      asking.start("ask", ask_host(clock, limit, places[at], ask, answers[at]));
    co_await asking.join();
  }
  co_return answers;
}

Task<Result<FleetSeen>> look_at_fleet(Clock& clock, Service& service, const Stragglers& stragglers, const Release& release) {
  FleetSeen seen;
  std::vector<PoolReading> readings;
  for (auto& pool : service.pools) {
    auto reading = co_await within(clock, service.pace.call_limit, pool.store->read());
    if (!reading) co_return std::move(reading).error().during("read " + pool.store->name());
    seen.fleet.pools.push_back({pool.store->name(), pool.store->capabilities(), 0});
    readings.push_back(std::move(*reading));
  }
  auto hosts = hosts_now(service, readings, seen.notes);
  if (!hosts) co_return hosts.error();
  if (hosts->empty()) co_return Failure{Errc::bad_input, service.name + " has no hosts: its pools hold none"};
  for (std::size_t pool = 0; pool < readings.size(); ++pool) {
    auto ours = names_in(service, pool);
    seen.fleet.pools[pool].strangers = strangers_in(readings[pool], ours);
    seen.fleet.pools[pool].threshold = co_await ask_threshold(clock, service, pool, ours, seen.notes);
  }
  const AskHost inspect = [&service](const HostPlace& place) { return service.releaser->inspect(place); };
  auto answers = co_await ask_hosts(clock, service.pace.reach_limit, places_of(*hosts), inspect);
  std::size_t asked = 0;
  for (std::size_t index = 0; index < hosts->size(); ++index) {
    const auto& host = *(*hosts)[index];
    const auto& answer = answers[index];
    if (answer) ++asked;
    if (!answer) seen.notes.push_back(host.place.name + " could not be asked for its release: " + answer.error().what);
    seen.fleet.hosts.push_back({host.place.name, host.place.address, answer ? *answer : std::string(), answer.has_value()});
    for (const auto& [pool, name] : host.members) {
      const auto& store = *service.pools[pool].store;
      const auto* member = readings[pool].find(name);
      // One that is found in its pool need not be in the others.
      if (member == nullptr && host.found) continue;
      if (member == nullptr) co_return Failure{Errc::not_found, store.name() + " has no member " + name + " for host " + host.place.name};
      if (!member->malformed.empty())
        co_return Failure{Errc::bad_input, store.name() + "/" + name + " holds a value that cannot be understood: " + member->malformed};
      seen.fleet.members.push_back({host.place.name, store.name(), name, member->observed, store.restore_command(name, member->observed),
                                    stragglers.owed(store.name(), name, member->observed, release)});
    }
  }
  if (asked == 0) co_return Failure{Errc::unreachable, "no host could be asked: " + seen.notes.front()};
  co_return seen;
}

Task<std::vector<DryRun>> dry_runs(Clock& clock, Service& service, const Plan& plan) {
  const auto& release = plan.request.release;
  const AskHost ask = [&](const HostPlace& place) { return service.releaser->dry_run(place, release); };
  std::vector<DryRun> said;
  std::map<std::string, std::size_t, std::less<>> known;  // what, and where it stands in `said`
  std::size_t bytes = 0;
  std::size_t untold = 0;
  auto places = places_to_upgrade(service, plan);
  // In parts, so that what ten thousand hosts say does not lie in memory at once.
  for (std::size_t from = 0; from < places.size(); from += hosts_at_once) {
    auto until = places.begin() + static_cast<std::ptrdiff_t>(std::min(places.size(), from + hosts_at_once));
    std::vector<HostPlace> part(places.begin() + static_cast<std::ptrdiff_t>(from), until);
    auto answers = co_await ask_hosts(clock, dry_run_limit, part, ask);
    for (std::size_t index = 0; index < part.size(); ++index) {
      auto what = answers[index] ? std::move(*answers[index]) : "cannot say what would change: " + answers[index].error().what;
      if (what.empty()) continue;
      // It ends on somebody's terminal.
      std::replace_if(
          what.begin(), what.end(), [](unsigned char c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f; }, ' ');
      auto same = known.find(what);
      if (same != known.end()) {
        said[same->second].hosts.push_back(part[index].name);
      } else if (bytes + what.size() > dry_runs_most) {
        ++untold;
      } else {
        bytes += what.size();
        known.emplace(what, said.size());
        said.push_back({{part[index].name}, std::move(what)});
      }
    }
  }
  if (untold > 0) said.push_back({{}, "and other changes on " + std::to_string(untold) + " more hosts, too long to be shown here"});
  co_return said;
}

}  // namespace shiftd
