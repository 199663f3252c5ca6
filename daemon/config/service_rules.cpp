#include "daemon/config/service_rules.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "daemon/config/capacity.hpp"
#include "daemon/config/units.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

std::string element(std::string_view list, std::size_t index, std::string_view key = "") {
  return std::string(list) + "[" + std::to_string(index) + "]" + (key.empty() ? "" : "." + std::string(key));
}

// Reports every value that was there before, at its own key, saying who has it. Empty ones could not be read.
class NoTwice {
 public:
  explicit NoTwice(yaml::Document& document) : document_(document) {}

  // Whether it is new.
  bool see(const std::string& value, const std::string& key, std::string_view what) {
    if (value.empty()) return true;
    auto [first, is_new] = seen_.emplace(value, key);
    if (!is_new)
      document_.refuse_at(key, in_quotes(value) + " is " + std::string(what) + " of " + first->second + " too: each must have its own");
    return is_new;
  }

 private:
  yaml::Document& document_;
  std::map<std::string, std::string> seen_;
};

void check_hosts(const ServiceConfig& service, yaml::Document& document) {
  NoTwice names(document);
  NoTwice addresses(document);
  for (std::size_t i = 0; i < service.hosts.size(); ++i) {
    names.see(service.hosts[i].name, element("hosts", i, "name"), "the name");
    addresses.see(service.hosts[i].address, element("hosts", i, "address"), "the address");
  }
}

void check_hosts_from(const ServiceConfig& service, yaml::Document& document) {
  if (!service.hosts_from) return;
  const auto& from = *service.hosts_from;
  auto pool = from.dc + "/" + from.cluster + "/" + from.service;
  bool readable = !service.pools.empty() && !from.dc.empty() && !from.cluster.empty() && !from.service.empty();
  if (readable && !pool_of_hosts(service))
    document.refuse_at("hosts_from.conftool.service", in_quotes(pool) + " is no pool of this service: write the tags of one from 'pools'");
  if (!service.strategy.max_members)
    document.refuse_at("hosts_from",
                       "takes whatever hosts conftool has: write 'strategy.max_members', the most that one rollout may touch");
}

void check_pools(const ServiceConfig& service, yaml::Document& document) {
  NoTwice names(document);
  NoTwice backends(document);
  bool counted = false;
  for (std::size_t i = 0; i < service.pools.size(); ++i) {
    auto one_for_all = [&](const std::string& text, std::string_view key) {
      if ((service.hosts.size() > 1 || service.hosts_from) && text.find("{{host}}") == std::string::npos)
        document.refuse_at(element("pools", i, key), in_quotes(text) + " is the same for every host: write {{host}} in it");
    };
    if (const auto* conftool = std::get_if<ConftoolPool>(&service.pools[i])) {
      one_for_all(conftool->host, "conftool.host");
      if (!conftool->options.service.empty()) names.see(name_of(service.pools[i]), element("pools", i, "conftool.service"), "the pool");
      counted |= conftool->count_at.has_value();
      continue;
    }
    const auto& pool = std::get<HaproxyPool>(service.pools[i]);
    counted = true;
    one_for_all(pool.server, "haproxy.server");
    if (pool.options.name.empty() || pool.options.socket.empty()) continue;  // could not be read
    if (names.see(name_of(service.pools[i]), element("pools", i, "haproxy.name"), "the pool")) {
      backends.see(pool.options.backend + " at " + pool.options.socket, element("pools", i, "haproxy.backend"), "the backend");
    }
  }
  if (!counted && !service.pools.empty())
    document.refuse_at("pools", "nobody counts the requests of any of them, so no release could ever be judged: write 'count_at' in one");
}

void check_front_end(const ServiceConfig& service, yaml::Document& document) {
  if (std::holds_alternative<HaproxyLogFrontEnd>(service.front_end) && service.pools.size() > 1) {
    document.refuse_at("front_end.haproxy_log", "one log stream counts one pool, and this service has " +
                                                    std::to_string(service.pools.size()) + ": write 'haproxy: {}', which asks them all");
  } else if (std::holds_alternative<HaproxyLogFrontEnd>(service.front_end) && !service.pools.empty() &&
             !std::holds_alternative<HaproxyPool>(service.pools.front())) {
    document.refuse_at("front_end.haproxy_log", "counts a pool of kind haproxy, which this service does not have");
  }
}

void check_canary_names(const ServiceConfig& service, const std::vector<std::string>& canaries, yaml::Document& document) {
  NoTwice names(document);
  for (std::size_t i = 0; i < canaries.size(); ++i) {
    auto known = std::any_of(service.hosts.begin(), service.hosts.end(), [&](const HostConfig& host) { return host.name == canaries[i]; });
    if (!known && !service.hosts_from)
      document.refuse_at(element("strategy.canary", i), in_quotes(canaries[i]) + " is no host of this service: write a name from 'hosts'");
    names.see(canaries[i], element("strategy.canary", i), "the name");
  }
}

void check_quota(const HostQuota& quota, int hosts, const std::string& key, yaml::Document& document) {
  if (quota.count <= hosts) return;
  document.refuse_at(key, std::to_string(quota.count) + " hosts are more than this service has: write at most " + std::to_string(hosts));
}

void check_strategy(const ServiceConfig& service, yaml::Document& document) {
  // An error that stands already; or how many there are is known when a rollout is planned.
  if (service.hosts.empty() || service.hosts_from) return;
  auto hosts = static_cast<int>(service.hosts.size());
  const auto& strategy = service.strategy;
  if (const auto* names = std::get_if<std::vector<std::string>>(&strategy.canary)) {
    check_canary_names(service, *names, document);
  } else {
    check_quota(std::get<HostQuota>(strategy.canary), hosts, "strategy.canary", document);
  }
  check_quota(strategy.batch, hosts, "strategy.batch", document);
  check_quota(strategy.max_failed, hosts, "strategy.max_failed", document);
}

void check_checks(const ServiceConfig& service, yaml::Document& document) {
  NoTwice names(document);
  for (std::size_t i = 0; i < service.checks.size(); ++i) {
    const auto& check_name = std::visit([](const auto& check) -> const std::string& { return check.name; }, service.checks[i]);
    names.see(check_name, element("checks", i), "the name");
  }
}

// Checks that nobody named are called by their kind: "http", "http 2".
void name_checks(std::vector<CheckSpec>& checks) {
  std::map<std::string, int> unnamed;
  for (auto& check : checks) {
    auto kind = std::holds_alternative<PortCheck>(check) ? "port" : std::holds_alternative<HttpCheck>(check) ? "http" : "command";
    auto& check_name = std::visit([](auto& each) -> std::string& { return each.name; }, check);
    if (!check_name.empty()) continue;
    auto count = ++unnamed[kind];
    check_name = count == 1 ? kind : kind + (" " + std::to_string(count));
  }
}

}  // namespace

std::string with_host(std::string text, const std::string& host) {
  constexpr std::string_view placeholder = "{{host}}";
  for (auto at = text.find(placeholder); at != std::string::npos; at = text.find(placeholder, at + host.size())) {
    text.replace(at, placeholder.size(), host);
  }
  return text;
}

std::optional<std::string> host_in(const std::string& text, std::string_view name) {
  constexpr std::string_view placeholder = "{{host}}";
  auto before = text.find(placeholder);
  if (before == std::string::npos) return std::nullopt;
  // Where it stands more than once, all are of one length.
  std::size_t times = 0;
  for (auto at = before; at != std::string::npos; at = text.find(placeholder, at + placeholder.size())) ++times;
  auto around = text.size() - times * placeholder.size();
  if (name.size() <= around || (name.size() - around) % times != 0) return std::nullopt;
  auto host = std::string(name.substr(before, (name.size() - around) / times));
  if (with_host(text, host) != name || !is_name(host)) return std::nullopt;
  return host;
}

namespace {

const std::string& member_of(const PoolConfig& pool) {
  const auto* haproxy = std::get_if<HaproxyPool>(&pool);
  return haproxy != nullptr ? haproxy->server : std::get<ConftoolPool>(pool).host;
}

void name_members(const ServiceConfig& service, HostConfig& host) {
  for (const auto& pool : service.pools) host.members.push_back(with_host(member_of(pool), host.name));
}

}  // namespace

std::optional<std::size_t> pool_of_hosts(const ServiceConfig& service) {
  if (!service.hosts_from) return std::nullopt;
  const auto& from = *service.hosts_from;
  for (std::size_t index = 0; index < service.pools.size(); ++index) {
    const auto* pool = std::get_if<ConftoolPool>(&service.pools[index]);
    if (pool == nullptr) continue;
    const auto& options = pool->options;
    if (options.dc == from.dc && options.cluster == from.cluster && options.service == from.service) return index;
  }
  return std::nullopt;
}

Result<HostConfig> found_host(const ServiceConfig& service, const std::string& name) {
  constexpr int ssh_port = 22;
  HostConfig host;
  host.name = name;
  auto address = parse_address(with_host(service.hosts_from->address, name));
  auto ssh = parse_host_port(with_host(service.hosts_from->ssh, name), ssh_port);
  if (!address) return std::move(address).error().during("host " + name);
  if (!ssh) return std::move(ssh).error().during("host " + name);
  host.address = to_string(*address);
  host.ssh = {name, ssh->host, ssh->port};
  name_members(service, host);
  return host;
}

void complete(ServiceConfig& service) {
  for (auto& host : service.hosts) name_members(service, host);
  name_checks(service.checks);
  if (auto* log = std::get_if<HaproxyLogFrontEnd>(&service.front_end); log && !service.pools.empty()) {
    if (const auto* pool = std::get_if<HaproxyPool>(&service.pools.front())) {
      log->options.name = pool->options.name;
      log->options.timeout = pool->options.timeout;
      log->options.backend = pool->options.backend;
      log->options.runtime_socket = pool->options.socket;
    }
  }
  service.verdict.min_requests = static_cast<std::uint64_t>(service.strategy.min_requests);
}

void check_rules(const ServiceConfig& service, yaml::Document& document) {
  check_hosts(service, document);
  check_hosts_from(service, document);
  check_pools(service, document);
  check_front_end(service, document);
  check_strategy(service, document);
  check_checks(service, document);
  if (service.hosts_from) return;          // the sums are done when a rollout is planned
  if (!document.errors().empty()) return;  // a sum with values that are wrong would only add confusion
  for (const auto& [key, text] : check_capacity(service)) document.refuse_at(key, text);
}

}  // namespace shiftd
