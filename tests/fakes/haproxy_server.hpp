#pragma once

// A real HAProxy on loopback ports, in master-worker mode, with its sockets in a directory of its own. It ends with its
// fixture, and with the test program if that dies.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace shiftd {

struct HaproxyServerOptions {
  struct Server {
    std::string name;
    std::uint16_t port = 0;
    std::string settings = "weight 100";  // what follows the address on its line
  };
  std::vector<Server> servers;                 // of the backend `app`
  std::string backend = "balance roundrobin";  // further lines of the backend; `\n` between them
  std::string log_socket = {};                 // not empty: logs one JSON line per request there
};

class HaproxyServer {
 public:
  explicit HaproxyServer(HaproxyServerOptions options);
  ~HaproxyServer();
  HaproxyServer(const HaproxyServer&) = delete;
  HaproxyServer& operator=(const HaproxyServer&) = delete;

  [[nodiscard]] std::string admin_socket() const { return (directory_ / "admin.sock").string(); }
  [[nodiscard]] std::string user_socket() const { return (directory_ / "user.sock").string(); }
  [[nodiscard]] std::string master_socket() const { return (directory_ / "master.sock").string(); }
  [[nodiscard]] std::string tcp_socket() const { return "127.0.0.1:" + std::to_string(tcp_port_); }
  [[nodiscard]] std::uint16_t port() const { return static_cast<std::uint16_t>(http_port_); }

  // What a person at the socket would type, and what HAProxy says.
  std::string command(const std::string& line) const;
  // One column of `show stat app 6 -1`.
  std::string stat(const std::string& server, const std::string& column) const;

  // A new worker has taken over when it returns; the old one lives on while it has sessions.
  void reload();
  void stop();
  void start();
  // All workers stop running, with their sockets open.
  void freeze();
  void thaw();

 private:
  [[nodiscard]] pid_t worker() const;
  void write_configuration();
  bool try_to_start();

  HaproxyServerOptions options_;
  std::filesystem::path directory_;
  int http_port_ = 0;
  int tcp_port_ = 0;
  pid_t master_ = 0;
  pid_t frozen_ = 0;
};

// The log-format of docs/haproxy.md.
extern const char* const haproxy_log_format;

// Looks every 5 ms until `condition` holds; false after a minute and more, so that a busy machine fails nothing.
template <class Condition>
bool eventually(Condition condition);

// Used by eventually().
void pause_between_looks();

template <class Condition>
bool eventually(Condition condition) {
  for (int looks = 0; looks < 12'000; ++looks) {
    if (condition()) return true;
    pause_between_looks();
  }
  return false;
}

}  // namespace shiftd
