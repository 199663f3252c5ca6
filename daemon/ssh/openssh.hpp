#pragma once

// Connections by ssh(1): one child for each host, which logs in, keeps the connection (ControlMaster) and is asked for
// commands over its control socket. So its ciphers, keys, jumps and certificates are OpenSSH's, and a command costs no
// process.
//
// All that a child is told stands in one ssh_config, in a directory of our own: no file of the user or the machine is
// read, and `ssh -F <it> <address>` by hand does the same. The host keys are checked by ssh(1), against the same
// known_hosts. Children end with their connection, and with this process.

#include <cstdint>
#include <memory>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/connection.hpp"
#include "daemon/ssh/ssh.hpp"

namespace shiftd {

class OpensshClient {
 public:
  // `options` outlives this.
  OpensshClient(Clock& clock, const SshOptions& options) : clock_(clock), options_(options) {}
  // Removes the directory. The connections have gone.
  ~OpensshClient();
  OpensshClient(const OpensshClient&) = delete;
  OpensshClient& operator=(const OpensshClient&) = delete;

  // As connect_session(): tries for `connect_timeout`, again only while sshd closes the connection before it has spoken.
  Task<Result<std::shared_ptr<Connection>>> connect(SshTarget target);

 private:
  Result<void> prepare();

  Clock& clock_;
  const SshOptions& options_;
  std::string directory_;  // empty until it is needed
  std::uint64_t connections_ = 0;
};

}  // namespace shiftd
