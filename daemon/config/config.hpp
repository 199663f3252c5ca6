#pragma once

// What people write in shiftd.yaml and in one file per service, as the types that the rest of the daemon takes.
//
// Loading looks at everything and gathers every error, because whoever runs `shiftd --check-config` wants to fix a file
// once. What a value means and what it is when left out stands in docs/configuration.md.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <boost/system/result.hpp>

#include "checks/checks.hpp"
#include "checks/metric_source.hpp"
#include "daemon/analysis/metric.hpp"
#include "daemon/analysis/verdict.hpp"
#include "daemon/announce/sink.hpp"
#include "daemon/engine/strategy.hpp"
#include "daemon/io/connect.hpp"
#include "daemon/release/tarball.hpp"
#include "daemon/ssh/ssh.hpp"
#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/haproxy/haproxy.hpp"
#include "lb-adapters/pybal/pybal.hpp"

namespace shiftd {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct ApiConfig {
  std::string socket = "/run/shiftd/shiftd.sock";
  std::optional<Address> listen;   // loopback only, and never without a token
  std::string token_file;          // read by the API, never by the configuration
  std::string desired_token_file;  // as token_file
};

struct LogConfig {
  LogLevel level = LogLevel::info;
};

struct DaemonConfig {
  std::string journal;
  std::string configurations;  // where copies of releases' configurations are kept
  ApiConfig api;
  std::vector<std::string> services;  // the service files that were found, in order
  LogConfig log;
  std::vector<SinkOptions> announce;
  int keep_rollouts = 500;  // per service; older ones leave the journal whole
};

struct HostConfig {
  std::string name;
  std::string address;  // where its checks are asked: "10.1.2.3:8080"
  SshTarget ssh;
  std::string dc;                    // for templates; empty: the service's
  std::string cluster;               // the same
  std::vector<std::string> members;  // its name in each of the service's pools, in their order
};

// One backend of one HAProxy.
struct HaproxyPool {
  HaproxyOptions options;
  std::string server = "{{host}}";  // what the backend calls a host
};

// One service of conftool, in etcd, and the load balancers that follow it.
struct ConftoolPool {
  ConftoolOptions options;
  std::string host = "{{host}}";           // what conftool calls a host
  std::vector<PybalOptions> pybal;         // each of their pools that these objects feed; every one has to show a change
  std::optional<HaproxyOptions> count_at;  // whose `show stat` counts its requests; none: they are not counted
};

using PoolConfig = std::variant<HaproxyPool, ConftoolPool>;

// The pool as messages name it: "lb1/app", "eqiad/cache_text/cdn".
std::string name_of(const PoolConfig& pool);

// Counts come from the pools' own `show stat`.
struct HaproxyStatFrontEnd {};

struct HaproxyLogFrontEnd {
  HaproxyLogOptions options;
};

using FrontEndConfig = std::variant<HaproxyStatFrontEnd, HaproxyLogFrontEnd>;

// Hosts that a pool of the service names, besides those that are named in the file: the members of one conftool service,
// as its store holds them when a rollout is planned.
struct HostsFrom {
  std::string dc;
  std::string cluster;
  std::string service;
  std::string address;           // with {{host}}: where a host's checks are asked
  std::string ssh = "{{host}}";  // with {{host}}
};

// How a host is known to be idle before it leaves a pool that cuts its connections.
struct IdleConfig {
  bool counts = true;  // false: after the strategy's drain_grace
  std::vector<std::string> sockets;
  std::vector<std::string> ignore;
};

struct MetricConfig {
  MetricOptions options;
  std::string bad;  // a ratio's queries, each of a counter for each host; a threshold's, which gives a value
  std::string all;
};

// What is judged beside 5xx.
struct MetricsConfig {
  PrometheusOptions prometheus;
  Duration every{std::chrono::seconds(5)};
  std::vector<MetricConfig> of;
};

// Hosts that missed a release because they did not answer.
struct StragglersConfig {
  bool bring_back = true;  // false: only when somebody starts a rollout of them
  Duration ask_every{std::chrono::seconds(30)};
};

struct ServiceConfig {
  std::string name;
  std::string file;         // where it was read from
  std::string environment;  // what configurations may name: production, staging ...
  std::string dc;
  std::string cluster;
  std::string on_success;  // command on shiftd's machine, when a rollout has succeeded; empty: none
  std::string tested_in;   // the service on which a release must have succeeded before; empty: none
  SshOptions ssh;
  std::vector<HostConfig> hosts;
  std::optional<HostsFrom> hosts_from;
  std::vector<PoolConfig> pools;
  FrontEndConfig front_end;
  ReleaseOptions release;
  std::vector<CheckSpec> checks;
  CheckPolicy check_policy;
  IdleConfig idle;
  StragglersConfig stragglers;
  Strategy strategy;
  AnalysisOptions verdict;
  MetricsConfig metrics;
};

struct Config {
  DaemonConfig daemon;
  std::vector<ServiceConfig> services;
};

// {{host}} replaced.
std::string with_host(std::string text, const std::string& host);
// The host that makes `name` of a text with {{host}}: "web1" of "web1.example.net" and "{{host}}.example.net". None: no host
// does, or none with a name that could stand in the file.
std::optional<std::string> host_in(const std::string& text, std::string_view name);
// The host that hosts_from makes of a name, with its members in the service's pools. Fails with bad_input: an address that
// is none.
Result<HostConfig> found_host(const ServiceConfig& service, const std::string& name);
// The place in `pools` of the pool that hosts_from names; none: it names none of them.
std::optional<std::size_t> pool_of_hosts(const ServiceConfig& service);

struct ConfigError {
  std::string file;
  int line = 1;  // both from 1, as editors count
  int column = 1;
  std::string text;  // what is wrong, and what would be right

  bool operator==(const ConfigError&) const = default;
};

// "web.yaml:12:5: strategy.batch: ..."
std::string to_string(const ConfigError& error);

// Ordered by file, line and column. Never empty.
struct ConfigErrors {
  std::vector<ConfigError> all;
};

// One error to a line.
std::string to_string(const ConfigErrors& errors);
[[noreturn]] void throw_exception_from_error(const ConfigErrors& errors, const boost::source_location& where);

// Reads shiftd.yaml and every service file that it names. Looks at the files that are named (keys, known_hosts, token),
// and never at their contents; asks nothing of the network. Paths in a file are relative to that file's folder.
boost::system::result<Config, ConfigErrors> load_config(const std::filesystem::path& shiftd_yaml);

}  // namespace shiftd
