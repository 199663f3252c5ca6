#include <arpa/inet.h>

#include <set>

#include "daemon/config/sections.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

bool is_loopback(const Address& address) {
  in_addr v4{};
  if (address.host == "localhost" || address.host == "::1") return true;
  return inet_pton(AF_INET, address.host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

std::optional<Address> loopback_address(const yaml::Value& value) {
  auto given = address(value);
  if (!given) return std::nullopt;
  if (!is_loopback(*given)) {
    return value.refuse(
        "must be a loopback address such as \"127.0.0.1:7070\", as the API speaks plain HTTP: for other machines put a proxy "
        "with TLS in front");
  }
  return given;
}

void read_api(yaml::Section& at, ApiConfig& api) {
  at.optional("socket", api.socket, socket_path);
  at.optional("listen", api.listen, loopback_address);
  at.optional("token_file", api.token_file, secret_file);
  at.optional("desired_token_file", api.desired_token_file, secret_file);
  if (at.has("listen") && !at.has("token_file"))
    at.refuse("'listen' needs 'token_file': whoever can connect to the port must show the token");
  if (at.has("desired_token_file") && !at.has("listen")) at.refuse("'desired_token_file' needs 'listen': the socket asks for no token");
}

void read_log(yaml::Section& at, LogConfig& log) {
  at.optional(
      "level", log.level,
      word<LogLevel>({{"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warning", LogLevel::warning}, {"error", LogLevel::error}}));
}

// Under its name the journal keeps how far a sink has come, and metrics show it.
std::optional<std::vector<SinkOptions>> sinks(const yaml::Value& value) {
  constexpr std::size_t most_sinks = 20;
  auto given = yaml::list(read_sink, most_sinks, "a list of sinks")(value);
  if (!given) return std::nullopt;
  std::set<std::string> names;
  for (const auto& sink : *given) {
    if (!sink.name.empty() && !names.insert(sink.name).second)
      return value.refuse("two sinks are named " + in_quotes(sink.name) + ": give one of them a 'name' of its own");
  }
  return given;
}

void read_daemon(yaml::Section& at, DaemonConfig& daemon) {
  constexpr std::size_t most_services = 1'000;
  at.required("journal", daemon.journal, path, "journal: /var/lib/shiftd/journal.db");
  daemon.configurations = (std::filesystem::path(daemon.journal).parent_path() / "configurations").string();
  at.optional("configurations", daemon.configurations, path);
  at.optional("api", daemon.api, yaml::section(read_api));
  at.required("services", daemon.services, yaml::list(path, most_services, "a list of service files"), "services: [web.yaml]");
  at.optional("log", daemon.log, yaml::section(read_log));
  at.optional("announce", daemon.announce, sinks);
  at.optional("keep_rollouts", daemon.keep_rollouts, whole(1, 1'000'000));
}

}  // namespace

DaemonConfig read_daemon_file(yaml::Document& document) {
  auto root = document.root();
  if (!root) return {};
  return yaml::section(read_daemon)(*root).value_or(DaemonConfig{});
}

}  // namespace shiftd
