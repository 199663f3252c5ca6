#include "daemon/wiring.hpp"

#include <algorithm>
#include <map>

#include <boost/asio/ip/host_name.hpp>

#include "daemon/driver/connections.hpp"
#include "daemon/io/child_process.hpp"
#include "daemon/io/log.hpp"
#include "daemon/release/configured.hpp"
#include "daemon/release/custom.hpp"
#include "daemon/release/host_commands.hpp"
#include "daemon/release/reboot.hpp"
#include "daemon/release/restart.hpp"
#include "daemon/release/tarball.hpp"
#include "daemon/release/version_question.hpp"
#include "daemon/ssh/ssh.hpp"
#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/haproxy/haproxy.hpp"
#include "lb-adapters/pybal/pybal.hpp"

namespace shiftd {
namespace {

// One connection for each host, for as long as the service lives.
class Connections final : public Hosts {
 public:
  Connections(Clock& clock, const SshOptions& options) : connector_(make_ssh_connector(clock, options)) {}

  Executor& add(const HostConfig& host) { return *executors_.emplace(host.name, connector_->to(host.ssh)).first->second; }

  Executor& executor(const std::string& host) override { return *executors_.at(host); }

 private:
  std::unique_ptr<SshConnector> connector_;
  std::map<std::string, std::unique_ptr<Executor>> executors_;
};

Result<void> add_haproxy(Clock& clock, const ServiceConfig& config, const HaproxyPool& pool, Service& service) {
  const auto& options = pool.options;
  ServicePool made;
  made.store = make_haproxy_pool_store(clock, options);
  made.views.push_back(make_haproxy_view(clock, options));
  if (const auto* log = std::get_if<HaproxyLogFrontEnd>(&config.front_end)) {
    auto log_options = log->options;
    log_options.name = options.name;
    log_options.backend = options.backend;
    log_options.runtime_socket = options.socket;
    auto front_end = make_haproxy_log_front_end(clock, log_options);
    if (!front_end) return front_end.error();
    made.front_end = std::move(*front_end);
  } else {
    made.front_end = make_haproxy_front_end(clock, options);
  }
  service.claims.push_back("pool " + options.socket + " " + options.backend);
  service.pools.push_back(std::move(made));
  return {};
}

void add_conftool(Clock& clock, const ConftoolPool& pool, Service& service) {
  ServicePool made;
  made.store = make_conftool_pool_store(clock, pool.options);
  for (const auto& pybal : pool.pybal) made.views.push_back(make_pybal_view(clock, pybal));
  if (pool.count_at) made.front_end = make_haproxy_front_end(clock, *pool.count_at);
  service.claims.push_back("pool " + pool.options.prefix + "/" + made.store->name());
  service.pools.push_back(std::move(made));
}

ServiceHost make_host(const HostConfig& host, Connections& connections) {
  ServiceHost made;
  made.place = {host.name, host.address};
  made.executor = &connections.add(host);
  for (std::size_t pool = 0; pool < host.members.size(); ++pool) made.members.emplace_back(pool, host.members[pool]);
  return made;
}

std::string claim_of(const HostConfig& host) { return "host " + host.ssh.address + ":" + std::to_string(host.ssh.port); }

// What hosts_from says, as the driver asks for it.
FoundHosts found_hosts(const ServiceConfig& config, Service& service, std::shared_ptr<Connections> connections) {
  FoundHosts found;
  found.pool = pool_of_hosts(config).value();
  found.host_of = [name = std::get<ConftoolPool>(config.pools[found.pool]).host](std::string_view member) { return host_in(name, member); };
  found.make = [config, &service, connections = std::move(connections)](const std::string& name) -> Result<ServiceHost> {
    auto host = found_host(config, name);
    if (!host) return std::move(host).error();
    service.claims.push_back(claim_of(*host));
    return make_host(*host, *connections);
  };
  return found;
}

// What a configuration's templates may say of each host; one that is found later is of the service's.
std::function<HostFacts(const HostPlace&)> facts_of(const ServiceConfig& config) {
  HostFacts common{config.name, config.environment, config.dc, config.cluster, "", ""};
  std::map<std::string, HostFacts> known;
  for (const auto& host : config.hosts) {
    auto facts = common;
    if (!host.dc.empty()) facts.dc = host.dc;
    if (!host.cluster.empty()) facts.cluster = host.cluster;
    known.emplace(host.name, std::move(facts));
  }
  return [common = std::move(common), known = std::move(known)](const HostPlace& host) {
    auto found = known.find(host.name);
    auto facts = found == known.end() ? common : found->second;
    facts.host = host.name;
    facts.address = host.address;
    return facts;
  };
}

IdleOptions idle_of(const IdleConfig& config) {
  IdleOptions idle;
  idle.counts = config.counts;
  idle.sockets = config.sockets;
  idle.ignore = config.ignore;
  return idle;
}

constexpr Duration hook_limit = std::chrono::minutes(1);

// What it is told by its environment needs no quoting.
std::function<Task<>(Rollout)> hook(Clock& clock, const std::string& command) {
  return [&clock, command](Rollout rollout) -> Task<> {
    const auto& request = rollout.request;
    Program program{{"/bin/sh", "-c", command}, own_environment()};
    for (const auto& [name, value] :
         {std::pair("ROLLOUT", request.rollout), std::pair("SERVICE", request.service), std::pair("VERSION", request.release.version),
          std::pair("RELEASE", request.release.digest), std::pair("BY", request.by), std::pair("REASON", request.reason)})
      program.environment.push_back(std::string("SHIFTD_") + name + "=" + value);
    auto result = co_await run_program(clock, std::move(program), {}, hook_limit, 4096);
    if (!result) log::error("on_success of {}: {}", request.rollout, result.error().what);
    if (result && result->exit_status != 0)
      log::error("on_success of {} ended with {}: {}", request.rollout, result->exit_status, last_words(result->err));
  };
}

std::unique_ptr<Releaser> make_releaser(Clock& clock, const ServiceConfig& config, const ReleaseOptions& options, Hosts& hosts,
                                        std::shared_ptr<ConfigurationStore> configurations) {
  if (options.custom) return make_custom_releaser(clock, options, hosts);
  auto tarballs = make_tarball_releaser(clock, options, hosts);
  return with_configurations(std::move(tarballs), options, hosts, std::move(configurations), facts_of(config));
}

}  // namespace

Result<std::unique_ptr<Service>> make_service(Clock& clock, const ServiceConfig& config, std::shared_ptr<ConfigurationStore> configurations,
                                              std::uint64_t epoch) {
  auto service = std::make_unique<Service>();
  service->name = config.name;
  service->tested_in = config.tested_in;
  if (!config.on_success.empty()) service->on_success = hook(clock, config.on_success);
  service->strategy = config.strategy;
  service->verdict = config.verdict;
  service->verdict.min_requests = static_cast<std::uint64_t>(config.strategy.min_requests);
  service->check_policy = config.check_policy;
  service->idle = idle_of(config.idle);
  service->stragglers = {config.stragglers.bring_back, config.stragglers.ask_every};
  for (const auto& spec : config.checks) {
    auto check = make_check(clock, spec);
    if (!check) return std::move(check).error().during(config.name);
    service->checks.push_back(std::move(*check));
  }
  for (const auto& pool : config.pools) {
    if (const auto* conftool = std::get_if<ConftoolPool>(&pool)) {
      add_conftool(clock, *conftool, *service);
    } else if (auto added = add_haproxy(clock, config, std::get<HaproxyPool>(pool), *service); !added) {
      return std::move(added).error().during(config.name);
    }
  }
  if (!config.metrics.of.empty()) service->metric_source = make_prometheus(clock, config.metrics.prometheus);
  service->pace.metrics = config.metrics.every;
  for (const auto& metric : config.metrics.of) service->metrics.push_back({metric.options, metric.bad, metric.all});
  auto connections = std::make_shared<Connections>(clock, config.ssh);
  for (const auto& host : config.hosts) {
    service->claims.push_back(claim_of(host));
    service->hosts.push_back(make_host(host, *connections));
  }
  if (config.hosts_from) service->found = found_hosts(config, *service, connections);
  auto release = config.release;
  release.epoch = epoch;
  service->reboot_limit = release.reboot_limit;
  service->releaser = with_restarts(make_releaser(clock, config, release, *connections, std::move(configurations)),
                                    make_reboot(clock, release, *connections));
  service->owned = std::move(connections);
  return service;
}

Result<std::string> host_commands(const Config& config, const std::string& service, const std::string& host) {
  auto named = std::ranges::find(config.services, service, &ServiceConfig::name);
  if (named == config.services.end()) return Failure{Errc::not_found, "there is no service '" + service + "'"};
  auto known = std::ranges::find(named->hosts, host, &HostConfig::name);
  bool is_listed = known != named->hosts.end();
  if (!is_listed && !named->hosts_from) return Failure{Errc::not_found, service + " has no host '" + host + "'"};
  auto found = is_listed ? Result<HostConfig>(*known) : found_host(*named, host);
  if (!found) return std::move(found).error();
  HostPlace place{found->name, found->address};
  auto commands = release_commands(named->release, place);
  if (!commands) return std::move(commands).error().during(service);
  for (const auto& check : named->checks) {
    if (const auto* command = std::get_if<CommandCheck>(&check))
      commands->push_back({"check-" + std::to_string(commands->size()), false, command_on(*command, place.name, place.address)});
  }
  if (auto counting = connections_command(place, idle_of(named->idle))) commands->push_back({"connections", false, std::move(*counting)});
  return list_of(*commands);
}

std::vector<std::unique_ptr<Sink>> make_sinks(Clock& clock, const DaemonConfig& config) {
  std::vector<std::unique_ptr<Sink>> sinks;
  auto from = "shiftd@" + boost::asio::ip::host_name();
  for (const auto& options : config.announce) sinks.push_back(make_sink(clock, options, from));
  return sinks;
}

Selectors selectors_of(const std::vector<ServiceConfig>& services) {
  Selectors selectors;
  for (const auto& service : services) {
    for (const auto& pool : service.pools) {
      const auto* conftool = std::get_if<ConftoolPool>(&pool);
      if (conftool == nullptr) continue;
      const auto& options = conftool->options;
      selectors[name_of(pool)] = "dc=" + options.dc + ",cluster=" + options.cluster + ",service=" + options.service;
    }
  }
  return selectors;
}

}  // namespace shiftd
