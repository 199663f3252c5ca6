#pragma once

// The real sshd on a loopback port of its own, with a host key and a user key of its own. Works as root and as an
// ordinary user (who logs in as himself). Ended by its pid, with the sessions that it still has.

#include <memory>
#include <string>
#include <vector>

#include "daemon/ssh/ssh.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {

class SshdServer {
 public:
  struct Options {
    std::string max_startups = "100";
    std::string more_config;           // further lines of sshd_config
    unsigned long file_size_most = 0;  // as a disk that is full: no file grows beyond
    std::string environment{};         // "NAME=value ..." that its sessions see
  };

  SshdServer() : SshdServer(Options()) {}
  explicit SshdServer(Options options);
  ~SshdServer();

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] const std::string& directory() const { return dir_.path(); }
  // A file of that name in the server's own directory.
  [[nodiscard]] std::string file(const std::string& name) const { return dir_.path() + "/" + name; }
  [[nodiscard]] std::string log() const { return read_text(file("sshd.log")); }
  // Options and target that are accepted.
  [[nodiscard]] SshOptions client() const;
  [[nodiscard]] SshTarget target() const { return {"web1", "127.0.0.1", port_}; }

  // The processes that serve a connection each.
  [[nodiscard]] std::vector<int> sessions() const;
  void kill_sessions() const;
  // Stops the server and its sessions where they stand; the kernel still takes connections.
  void freeze() const;
  void thaw() const;
  void restart();
  // The server and its sessions end, as without power; the server begins again.
  void power_off();
  void power_on() { start(); }
  // Gives the server another host key, as a reinstalled host has.
  void change_host_key();

 private:
  void start();
  void each(int signal) const;

  Options options_;
  TemporaryDirectory dir_;
  int port_ = 0;
  std::unique_ptr<Process> process_;
};

std::string user_name();

}  // namespace shiftd
