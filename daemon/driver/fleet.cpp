#include "daemon/driver/fleet.hpp"

#include <algorithm>
#include <set>
#include <string_view>

#include "daemon/io/task_group.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

constexpr std::size_t hosts_at_once = 32;

Task<> ask_host(Clock& clock, Service& service, std::size_t index, std::vector<Result<std::string>>& answers) {
  auto limit = service.pace.reach_limit;
  answers[index] = co_await within(clock, limit, service.releaser->inspect(service.hosts[index].place));
}

Task<std::vector<Result<std::string>>> ask_hosts(Clock& clock, Service& service) {
  std::vector<Result<std::string>> answers(service.hosts.size());
  auto executor = co_await boost::asio::this_coro::executor;
  for (std::size_t from = 0; from < service.hosts.size(); from += hosts_at_once) {
    TaskGroup asking(executor);
    for (auto at = from; at < std::min(service.hosts.size(), from + hosts_at_once); ++at)
      asking.start("inspect", ask_host(clock, service, at, answers));
    co_await asking.join();
  }
  co_return answers;
}

// Members in traffic that belong to no host of the service.
std::uint32_t strangers_in(const PoolReading& reading, std::size_t pool, const Service& service) {
  std::set<std::string_view> ours;
  for (const auto& host : service.hosts) {
    for (const auto& [in, name] : host.members) {
      if (in == pool) ours.insert(name);
    }
  }
  auto strange = [&](const PoolReading::Member& member) {
    return member.observed.setting.pooled == Pooled::yes && member.observed.setting.weight > 0 && !ours.contains(member.name);
  };
  return static_cast<std::uint32_t>(std::count_if(reading.members.begin(), reading.members.end(), strange));
}

}  // namespace

Task<Result<FleetSeen>> look_at_fleet(Clock& clock, Service& service) {
  FleetSeen seen;
  std::vector<PoolReading> readings;
  for (auto& pool : service.pools) {
    auto reading = co_await within(clock, service.pace.call_limit, pool.store->read());
    if (!reading) co_return std::move(reading).error().during("read " + pool.store->name());
    seen.fleet.pools.push_back({pool.store->name(), pool.store->capabilities(), 0});
    readings.push_back(std::move(*reading));
  }
  for (std::size_t pool = 0; pool < readings.size(); ++pool) seen.fleet.pools[pool].strangers = strangers_in(readings[pool], pool, service);
  auto answers = co_await ask_hosts(clock, service);
  std::size_t asked = 0;
  for (std::size_t index = 0; index < service.hosts.size(); ++index) {
    const auto& host = service.hosts[index];
    const auto& answer = answers[index];
    if (answer) ++asked;
    if (!answer) seen.notes.push_back(host.place.name + " could not be asked for its release: " + answer.error().what);
    seen.fleet.hosts.push_back({host.place.name, host.place.address, answer ? *answer : std::string()});
    for (const auto& [pool, name] : host.members) {
      const auto& store = *service.pools[pool].store;
      const auto* member = readings[pool].find(name);
      if (member == nullptr) co_return Failure{Errc::not_found, store.name() + " has no member " + name + " for host " + host.place.name};
      if (!member->malformed.empty())
        co_return Failure{Errc::bad_input, store.name() + "/" + name + " holds a value that cannot be understood: " + member->malformed};
      seen.fleet.members.push_back({host.place.name, store.name(), name, member->observed, store.restore_command(name, member->observed)});
    }
  }
  if (asked == 0) co_return Failure{Errc::unreachable, "no host could be asked: " + seen.notes.front()};
  co_return seen;
}

}  // namespace shiftd
