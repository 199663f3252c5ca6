#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>

#include "daemon/config/sections.hpp"
#include "daemon/config/service_rules.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_hosts = 20'000;
constexpr std::size_t most_pools = 100;
constexpr std::size_t most_checks = 100;

std::optional<std::string> agent_socket(const yaml::Value& value) {
  auto given = text(value);
  if (!given || *given != "$SSH_AUTH_SOCK") return given ? socket_path(value) : std::nullopt;
  const char* from_environment = std::getenv("SSH_AUTH_SOCK");
  if (!from_environment || !*from_environment) {
    return value.refuse("SSH_AUTH_SOCK is not set in shiftd's environment: set it, or write the path of the agent's socket");
  }
  return std::string(from_environment);
}

// A private key; or a public one, which says which of the agent's keys is meant.
std::optional<std::string> key_file(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  return given->ends_with(".pub") ? readable_file(value) : secret_file(value);
}

bool made_of(std::string_view text, std::string_view other_than_alphanumerics) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || other_than_alphanumerics.find(c) != std::string_view::npos;
  });
}

// As `ssh -J` takes it: "[user@]host[:port]", several with commas. Nothing in it means anything to a shell or to ssh's options.
std::optional<std::string> jump(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  if (given->front() == '-' || !made_of(*given, "._-@:[],")) {
    return value.refuse("must be a host to go through, such as \"deploy@bastion.example.net:22\", not " + in_quotes(*given));
  }
  return given;
}

void read_ssh(yaml::Section& at, SshOptions& ssh) {
  at.required("user", ssh.user, name, "user: deploy");
  at.optional("key_file", ssh.key_file, key_file);
  at.optional("agent", ssh.agent_socket, agent_socket);
  at.required("known_hosts", ssh.known_hosts, readable_file, "known_hosts: /etc/shiftd/known_hosts");
  at.optional("connect_timeout", ssh.connect_timeout, duration(100ms, 10min));
  at.optional("command_timeout", ssh.command_timeout, duration(100ms, 24h));
  at.optional("client", ssh.client, word<SshClient>({{"libssh2", SshClient::libssh2}, {"openssh", SshClient::openssh}}));
  at.optional("jump", ssh.jump, jump);
  if (at.has("jump") && ssh.client != SshClient::openssh) at.refuse("'jump' needs 'client: openssh': libssh2 knows no jumps");
  if (!at.has("key_file") && !at.has("agent")) at.refuse("names nothing to log in with: write 'key_file', 'agent' or both");
  if (ssh.key_file.ends_with(".pub") && !at.has("agent")) at.refuse("'key_file' is a public key, which needs 'agent' to log in with");
}

std::optional<SshTarget> ssh_target(const yaml::Value& value) {
  constexpr int ssh_port = 22;
  auto given = value.scalar("an address such as \"10.1.2.3:22\" or \"deploy@10.1.2.3:22\"");
  if (!given) return std::nullopt;
  auto at_sign = given->find('@');
  auto user = at_sign == std::string::npos ? std::string() : given->substr(0, at_sign);
  bool is_name = !user.empty() && user.front() != '-' && made_of(user, "._-");
  if (at_sign != std::string::npos && !is_name) return value.refuse(in_quotes(user) + " is no user: write one such as deploy@10.1.2.3:22");
  auto parsed = parse_host_port(at_sign == std::string::npos ? *given : given->substr(at_sign + 1), ssh_port);
  if (!parsed) return value.refuse(parsed.error().what);
  return SshTarget{"", parsed->host, parsed->port, user};
}

void read_host(yaml::Section& at, HostConfig& host) {
  at.required("name", host.name, name, "name: web1");
  at.required("address", host.address, plain_address, "address: \"10.1.2.3:8080\"");
  at.optional("ssh", host.ssh, ssh_target);
  at.optional("dc", host.dc, name);
  at.optional("cluster", host.cluster, name);
  host.ssh.host = host.name;
  if (host.ssh.address.empty()) host.ssh.address = host.name;
}

std::optional<std::string> address_of_hosts(const yaml::Value& value) {
  auto given = with_placeholders(text, {"host"})(value);
  if (!given) return std::nullopt;
  if (given->find("{{host}}") == std::string::npos)
    return value.refuse(in_quotes(*given) + " is the same for every host: write {{host}} in it");
  return given;
}

std::optional<std::string> service_of_hosts(const yaml::Value& value) {
  auto given = address_of_hosts(value);
  if (given && !parse_address(with_host(*given, "host")))
    return value.refuse(in_quotes(*given) + " is no address: write one such as \"{{host}}.example.net:8080\"");
  return given;
}

std::optional<std::string> ssh_of_hosts(const yaml::Value& value) {
  auto given = address_of_hosts(value);
  constexpr int ssh_port = 22;
  if (given && !parse_host_port(with_host(*given, "host"), ssh_port))
    return value.refuse(in_quotes(*given) + " is no address: write one such as \"{{host}}.example.net:22\"");
  return given;
}

void read_hosts_of_conftool(yaml::Section& at, HostsFrom& from) {
  at.required("dc", from.dc, name, "dc: eqiad");
  at.required("cluster", from.cluster, name, "cluster: cache_text");
  at.required("service", from.service, name, "service: cdn");
  at.required("address", from.address, service_of_hosts, "address: \"{{host}}.eqiad.wmnet:3128\"");
  at.optional("ssh", from.ssh, ssh_of_hosts);
}

void read_hosts_from(yaml::Section& at, HostsFrom& from) {
  at.required("conftool", from, yaml::section(read_hosts_of_conftool),
              "conftool: {dc: eqiad, cluster: cache_text, service: cdn, address: \"{{host}}.eqiad.wmnet:3128\"}");
}

std::optional<std::string> base_path(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  auto climbs = given->find("/../") != std::string::npos || given->ends_with("/..");
  if (given->front() != '/' || *given == "/" || climbs)
    return value.refuse("must be a whole path on the host such as /srv/web, not " + in_quotes(*given));
  return given;
}

std::optional<std::string> http_url(const yaml::Value& value) {
  auto given = text(value);
  if (given && !given->starts_with("http://")) {
    return value.refuse("must begin with http://, such as \"http://{{address}}/version\"; it is asked of the host itself");
  }
  return given;
}

void read_version(yaml::Section& at, ReleaseOptions& release) {
  const std::vector<std::string> known{"host", "address", "path"};
  at.optional("url", release.version_url, with_placeholders(http_url, known));
  at.optional("command", release.version_command, with_placeholders(command, known));
  if (at.has("url") == at.has("command")) at.refuse("must name one way to ask which release is running: write either 'url' or 'command'");
}

const std::vector<std::string> known_of_a_release{"host", "address", "release", "version", "path"};

void read_custom(yaml::Section& at, CustomSteps& custom) {
  auto step = with_placeholders(command, known_of_a_release);
  at.required("run", custom.run, step, "run: apt-get install -y web={{version}}");
  at.required("revert", custom.revert, step, "revert: apt-get install -y --allow-downgrades web={{version}}");
  at.optional("prepare", custom.prepare, step);
  at.optional("dry_run", custom.dry_run, step);
  using Where = CustomSteps::Where;
  at.optional("where", custom.where, word<Where>({{"host", Where::host}, {"shiftd", Where::shiftd}}));
}

std::optional<int> refuse_keep(const yaml::Value& value) {
  return value.refuse("is for tarballs; 'custom' steps keep what they like: take it out");
}

std::optional<std::string> refuse_reboot(const yaml::Value& value) {
  return value.refuse("is a job on the host, and this service's jobs are on shiftd's machine ('where: shiftd'): take it out");
}

void read_release(yaml::Section& at, ReleaseOptions& release) {
  ReleaseOptions version;
  at.required("path", release.path, with_placeholders(base_path, {"host"}), "path: /srv/web");
  at.optional("custom", release.custom, yaml::section(read_custom));
  auto restart = with_placeholders(command, known_of_a_release);
  if (at.has("custom")) {
    at.optional("restart", release.restart, restart);
    at.optional("keep", release.keep, refuse_keep);
  } else {
    at.required("restart", release.restart, restart, "restart: systemctl restart web");
    at.optional("keep", release.keep, whole(0, 100));
  }
  if (release.custom && release.custom->where == CustomSteps::Where::shiftd && release.path.find("{{host}}") == std::string::npos)
    at.refuse("'path' needs {{host}} where the steps run on shiftd's machine: each host's jobs have a place of their own");
  at.required("version", version, yaml::section(read_version), "version: {url: \"http://{{address}}/version\"}");
  at.optional("restart_limit", release.restart_limit, duration(1s, 1h));
  at.optional("prove_limit", release.prove_limit, duration(1s, 1h));
  if (release.custom && release.custom->where == CustomSteps::Where::shiftd) {
    at.optional("reboot", release.reboot, refuse_reboot);
  } else {
    at.optional("reboot", release.reboot, with_placeholders(command, {"host", "address", "path"}));
  }
  at.optional("reboot_limit", release.reboot_limit, duration(1s, 1h));
  at.optional("boot_id", release.boot_id, with_placeholders(base_path, {"host"}));
  release.version_url = version.version_url;
  release.version_command = version.version_command;
}

std::optional<std::string> local_socket(const yaml::Value& value) {
  auto given = text(value);
  if (!given || *given == "{{address}}") return given;
  auto colon = given->rfind(':');
  bool good = colon != std::string::npos && colon + 1 < given->size() &&
              given->find_first_not_of("0123456789", colon + 1) == std::string::npos &&
              given->find_first_not_of("0123456789abcdefABCDEF:.[]") == std::string::npos;
  if (!good)
    return value.refuse("must be a port such as \":443\", or an address and a port such as \"10.1.2.3:8080\", not " + in_quotes(*given));
  return given;
}

std::optional<std::string> ip_address(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  bool good = given->find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos && given->find_first_of(".:") != std::string::npos;
  if (!good) return value.refuse("must be an IP address such as 10.64.1.2, not " + in_quotes(*given));
  return given;
}

void read_idle(yaml::Section& at, IdleConfig& idle) {
  at.optional("by", idle.counts, word<bool>({{"connections", true}, {"grace", false}}));
  at.optional("sockets", idle.sockets, yaml::list(local_socket, 20, "a list such as [\":443\"]"));
  at.optional("ignore", idle.ignore, yaml::list(ip_address, 100, "a list of addresses"));
  if (!idle.counts && (at.has("sockets") || at.has("ignore")))
    at.refuse("'by: grace' counts no connections: leave 'sockets' and 'ignore' out");
}

void read_stragglers(yaml::Section& at, StragglersConfig& stragglers) {
  at.optional("bring_back", stragglers.bring_back, true_or_false);
  at.optional("ask_every", stragglers.ask_every, duration(1s, 24h));
}

std::vector<StageSpec> usual_stages() {
  std::vector<StageSpec> stages;
  for (auto basis_points : {100, 500, 2'500, 5'000, 10'000}) stages.push_back({BasisPoints{basis_points}, unsaid_bake});
  return stages;
}

void read_service(yaml::Section& at, ServiceConfig& service) {
  at.required("service", service.name, name, "service: web");
  at.optional("environment", service.environment, name);
  at.optional("dc", service.dc, name);
  at.optional("cluster", service.cluster, name);
  at.optional("tested_in", service.tested_in, name);
  at.optional("on_success", service.on_success, command);
  at.required("ssh", service.ssh, yaml::section(read_ssh), "ssh: {user: deploy, key_file: id_ed25519, known_hosts: known_hosts}");
  auto hosts = yaml::list(yaml::section(read_host), most_hosts, "a list of hosts");
  at.optional("hosts_from", service.hosts_from, yaml::section(read_hosts_from));
  if (at.has("hosts_from")) {
    at.optional("hosts", service.hosts, hosts);
  } else {
    at.required("hosts", service.hosts, hosts, "hosts: [{name: web1, address: \"10.1.2.3:8080\"}]");
  }
  at.required("pools", service.pools, yaml::list(read_pool, most_pools, "a list of pools"),
              "pools: [{haproxy: {name: lb1, socket: /run/haproxy/admin.sock, backend: app}}]");
  at.optional("front_end", service.front_end, read_front_end);
  at.required("release", service.release, yaml::section(read_release),
              "release: {path: /srv/web, restart: systemctl restart web, version: {url: \"http://{{address}}/version\"}}");
  at.required("checks", service.checks, yaml::list(read_check, most_checks, "a list of checks"), "checks: [{http: {path: /healthz}}]");
  at.optional("check_policy", service.check_policy, yaml::section(read_check_policy));
  at.optional("idle", service.idle, yaml::section(read_idle));
  at.optional("stragglers", service.stragglers, yaml::section(read_stragglers));
  at.optional("strategy", service.strategy, yaml::section(read_strategy));
  if (service.strategy.stages.empty()) service.strategy.stages = usual_stages();
  VerdictConfig verdict;
  at.optional("verdict", verdict, yaml::section(read_verdict));
  service.verdict = verdict.options;
  for (auto& stage : service.strategy.stages) {
    if (stage.bake == unsaid_bake) stage.bake = verdict.min_bake;
  }
  at.optional("metrics", service.metrics, yaml::section(read_metrics));
}

}  // namespace

ServiceConfig read_service_file(yaml::Document& document) {
  auto root = document.root();
  if (!root) return {};
  auto service = yaml::section(read_service)(*root).value_or(ServiceConfig{});
  service.file = document.file().string();
  complete(service);
  check_rules(service, document);
  return service;
}

}  // namespace shiftd
