#include "daemon/config/sections.hpp"
#include "daemon/config/service_rules.hpp"
#include "daemon/config/values.hpp"
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

void read_haproxy_front_end(yaml::Section&, HaproxyStatFrontEnd&) {}

void read_haproxy_log_front_end(yaml::Section& at, HaproxyLogFrontEnd& front_end) {
  at.required("socket", front_end.options.socket, socket_path, "socket: /run/shiftd/haproxy-log.sock");
}

}  // namespace

std::optional<PoolConfig> read_pool(const yaml::Value& value) {
  return yaml::one_of<PoolConfig>("pool", {yaml::kind<PoolConfig>("haproxy", read_haproxy_pool)})(value);
}

std::optional<FrontEndConfig> read_front_end(const yaml::Value& value) {
  return yaml::one_of<FrontEndConfig>("front end", {yaml::kind<FrontEndConfig>("haproxy", read_haproxy_front_end),
                                                    yaml::kind<FrontEndConfig>("haproxy_log", read_haproxy_log_front_end)})(value);
}

}  // namespace shiftd
