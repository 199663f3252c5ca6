#pragma once

// SSH to the hosts of a fleet: with libssh2 inside of this process, or with ssh(1) as a child for the hosts that libssh2 1.10
// cannot speak to. docs/hosts.md says what works with which.

#include <memory>
#include <string>

#include "daemon/io/clock.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

enum class SshClient { libssh2, openssh };

struct SshOptions {
  std::string user;
  std::string key_file;      // private key without passphrase, asked first; a .pub: that key of the agent only; empty: the agent
  std::string agent_socket;  // SSH_AUTH_SOCK; empty: no agent
  std::string known_hosts;   // path; a host that is not in it is refused
  Duration connect_timeout{std::chrono::seconds(10)};  // to be connected and authenticated
  Duration command_timeout{std::chrono::seconds(60)};  // for one run() or the silence of a transfer
  Duration keepalive{std::chrono::seconds(15)};
  SshClient client = SshClient::libssh2;
  std::string jump{};  // as `ssh -J` takes it: "[user@]host[:port],..."; openssh only

  bool operator==(const SshOptions&) const = default;
};

struct SshTarget {
  std::string host;     // as people name it, for messages
  std::string address;  // name or IP
  int port = 22;
  std::string user{};  // empty: the options' user

  bool operator==(const SshTarget&) const = default;
};

// All hosts of a fleet share one: it bounds unauthenticated connections to eight per address, and spreads retries.
class SshConnector {
 public:
  virtual ~SshConnector() = default;
  // The executor lives as long as the connector at most.
  virtual std::unique_ptr<Executor> to(SshTarget target) = 0;
};

std::unique_ptr<SshConnector> make_ssh_connector(Clock& clock, SshOptions options);

}  // namespace shiftd
