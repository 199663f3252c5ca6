#pragma once

// One authenticated connection to a host, over which commands run: what libssh2 and ssh(1) have in common.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/command.hpp"
#include "daemon/ssh/executor.hpp"
#include "daemon/ssh/ssh.hpp"

namespace shiftd {

class Connection {
 public:
  virtual ~Connection() = default;

  // False: the next call needs another.
  [[nodiscard]] virtual bool alive() = 0;

  // Runs `command` with the login's shell; the connection outlives the call. Many at once.
  // Fails with: unavailable (the connection was found dead before anything was asked of the host or taken from `input`),
  // unreachable (the host did not answer and nothing was asked of it), refused (it opens no more channels), and
  // otherwise as run_command().
  virtual Task<Result<CommandResult>> run(std::string command, Input& input, Patience patience, std::size_t output_kept) = 0;

  // Starts `command` now, for the next run() of the same. Best effort; a connection that cannot does nothing.
  virtual Task<> stand_by(std::string command) = 0;

  // Has a shell run `program`, and stand by for the next run() of `command`, which starts one. Nothing: there is none that can.
  // Fails as run(); the shell ends then.
  virtual Task<Result<std::optional<CommandResult>>> ask(std::string command, std::string program, Patience patience) = 0;

  // Has the shell that stands by since an ask() run `program` as feed_shell() does, and stand by again when that ended with 0. Nothing: no
  // such shell does, and nothing was taken of `input`.
  // Fails as feed_shell().
  virtual Task<Result<std::optional<CommandResult>>> feed(std::string program, SizedInput& input, Patience patience) = 0;

  // The command line that has the host's sh run `command` and tells how that ended, also when a signal ended it.
  [[nodiscard]] virtual std::string by_sh(const std::string& command) const = 0;

  // As Executor::key().
  [[nodiscard]] virtual std::string key() const = 0;

  virtual void end() = 0;
};

// Makes one. Fails as Executor::open().
using Connect = std::function<Task<Result<std::shared_ptr<Connection>>>(SshTarget target)>;

}  // namespace shiftd
