#include "daemon/config/sections.hpp"
#include "daemon/config/service_rules.hpp"
#include "daemon/config/values.hpp"
#include "lb-adapters/conftool/member_value.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

std::optional<std::string> haproxy_name(const yaml::Value& value) {
  auto given = text(value);
  if (given && !haproxy::is_name(*given)) {
    return value.refuse(in_quotes(*given) + " is no name that HAProxy knows: write letters, digits, '.', '_', '-' or ':'");
  }
  return given;
}

std::optional<std::string> server_name(const yaml::Value& value) {
  auto given = with_placeholders(text, {"host"})(value);
  if (given && !haproxy::is_name(with_host(*given, "host"))) {
    return value.refuse(in_quotes(*given) +
                        " names no server of HAProxy: write {{host}}, with letters, digits, '.', '_', '-' or ':' around it");
  }
  return given;
}

void read_haproxy_pool(yaml::Section& at, HaproxyPool& pool) {
  at.required("name", pool.options.name, name, "name: lb1");
  at.required("socket", pool.options.socket, socket_or_address, "socket: /run/haproxy/admin.sock");
  at.required("backend", pool.options.backend, haproxy_name, "backend: app");
  at.optional("server", pool.server, server_name);
  at.optional("timeout", pool.options.timeout, duration(10ms, 1min));
  at.optional("master_socket", pool.options.master_socket, socket_or_address);
}

std::optional<std::string> endpoint(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  auto scheme = given->find("://");
  auto known = given->starts_with("https://") || given->starts_with("http://");
  auto parsed = parse_address(std::string_view(*given).substr(scheme == std::string::npos ? 0 : scheme + 3));
  if (!known || !parsed || !parsed->path.empty()) return value.refuse(in_quotes(*given) + " is no endpoint: write https://host:port");
  auto is_loopback = parsed->host == "localhost" || parsed->host == "::1" || parsed->host.starts_with("127.");
  if (given->starts_with("http://") && !is_loopback)
    return value.refuse(in_quotes(*given) + " would send passwords and pool states in the clear: write https://, or a loopback address");
  return given;
}

std::optional<std::string> key_part(const yaml::Value& value) {
  auto given = text(value);
  if (given && !conftool::is_key_part(*given))
    return value.refuse(in_quotes(*given) + " is no name that conftool knows: write letters, digits, '.', '_' or '-'");
  return given;
}

std::optional<std::string> key_prefix(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  std::string_view rest = *given;
  bool good = !rest.empty();
  while (good && !rest.empty()) {
    auto end = rest.find('/', 1);
    good = rest.front() == '/' && conftool::is_key_part(rest.substr(1, end == std::string_view::npos ? end : end - 1));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
  if (!good) return value.refuse(in_quotes(*given) + " is no folder in etcd: write one such as /conftool/v1/pools");
  return given;
}

std::optional<std::string> conftool_host(const yaml::Value& value) {
  auto given = with_placeholders(text, {"host"})(value);
  if (given && !conftool::is_key_part(with_host(*given, "host")))
    return value.refuse(in_quotes(*given) + " names no host: write {{host}}, with letters, digits, '.', '_' or '-' around it");
  return given;
}

void read_pybal(yaml::Section& at, PybalOptions& pybal) {
  at.required("name", pybal.name, name, "name: lvs1013");
  at.required("address", pybal.address, plain_address, "address: \"lvs1013:9090\"");
  at.required("pool", pybal.pool, name, "pool: cdn_443");
  at.optional("monitors", pybal.monitors, yaml::list(name, 20, "a list of PyBal's monitors"));
  at.optional("monitor_round", pybal.monitor_round, duration(100ms, 10min));
  at.optional("timeout", pybal.timeout, duration(10ms, 1min));
}

void read_count_at(yaml::Section& at, HaproxyOptions& haproxy) {
  at.required("name", haproxy.name, name, "name: lb1");
  at.required("socket", haproxy.socket, socket_or_address, "socket: /run/haproxy/admin.sock");
  at.required("backend", haproxy.backend, haproxy_name, "backend: app");
}

void read_conftool_pool(yaml::Section& at, ConftoolPool& pool) {
  auto& options = pool.options;
  constexpr std::size_t most_endpoints = 20;
  constexpr std::size_t most_pybals = 50;
  at.required("endpoints", options.endpoints, yaml::list(endpoint, most_endpoints, "a list of etcd's endpoints"),
              "endpoints: [\"https://conf1007:4001\"]");
  at.required("dc", options.dc, key_part, "dc: eqiad");
  at.required("cluster", options.cluster, key_part, "cluster: cache_text");
  at.required("service", options.service, key_part, "service: cdn");
  at.optional("prefix", options.prefix, key_prefix);
  at.optional("host", pool.host, conftool_host);
  at.optional("credentials", options.credentials, secret_file);
  at.optional("ca", options.tls.ca, readable_file);
  at.optional("certificate", options.tls.certificate, readable_file);
  at.optional("key", options.tls.key, secret_file);
  at.optional("weight_most", options.weight_most, whole(1, 2'147'483'647));
  at.optional("shares_requests", options.shares_requests, true_or_false);
  at.optional("cuts_connections", options.cuts_connections, true_or_false);
  at.optional("writes_per_second", options.writes_per_second, whole(1, 10'000));
  at.optional("timeout", options.timeout, duration(100ms, 1min));
  at.required("pybal", pool.pybal, yaml::list(yaml::section(read_pybal), most_pybals, "a list of PyBals"),
              "pybal: [{name: lvs1013, address: \"lvs1013:9090\", pool: cdn_443}]");
  at.optional("count_at", pool.count_at, yaml::section(read_count_at));
  if (at.has("certificate") != at.has("key")) at.refuse("'certificate' and 'key' belong together: write both or none");
}

void read_haproxy_front_end(yaml::Section&, HaproxyStatFrontEnd&) {}

void read_haproxy_log_front_end(yaml::Section& at, HaproxyLogFrontEnd& front_end) {
  at.required("socket", front_end.options.socket, socket_path, "socket: /run/shiftd/haproxy-log.sock");
}

}  // namespace

std::optional<PoolConfig> read_pool(const yaml::Value& value) {
  return yaml::one_of<PoolConfig>(
      "pool", {yaml::kind<PoolConfig>("haproxy", read_haproxy_pool), yaml::kind<PoolConfig>("conftool", read_conftool_pool)})(value);
}

std::optional<FrontEndConfig> read_front_end(const yaml::Value& value) {
  return yaml::one_of<FrontEndConfig>("front end", {yaml::kind<FrontEndConfig>("haproxy", read_haproxy_front_end),
                                                    yaml::kind<FrontEndConfig>("haproxy_log", read_haproxy_log_front_end)})(value);
}

}  // namespace shiftd
