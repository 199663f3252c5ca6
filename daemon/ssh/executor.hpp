#pragma once

// How commands reach one host.
//
// One Executor per host; it keeps one connection, opens it when needed, and may be used by many tasks at once (each call
// has a channel of its own). Everything waits on the one loop; nothing blocks it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct CommandResult {
  int exit_status = 0;  // 128 + signal when a signal ended it
  std::string out;      // bounded: at most `output_most` bytes of each, the rest is dropped and `truncated` is set
  std::string err;
  bool truncated = false;
};

inline constexpr std::size_t output_most = 256 * 1024;
inline constexpr std::size_t shells_left_most = 10;

// A detached job on the host, named by the id of the effect that asked for it. It survives our connection and our
// process; asking for the same id again re-attaches to it or returns its result, and never runs it twice.
struct RemoteJob {
  std::string id;           // [a-z0-9-]+, unique for all time: "<rollout>-<effect>"
  std::string script;       // POSIX sh
  std::string dir;          // where jobs keep their lock, output and result files; a path on the host. Those of one never overlap
  Duration limit;           // the job's own process group is ended after this
  std::uint64_t epoch = 0;  // of who asks: once a job of a later one has had the lock, no job of an earlier one gets it
};

class Executor {
 public:
  virtual ~Executor() = default;

  // Connects and authenticates if that has not been done. What is kept open here makes later calls cheap.
  // Fails with: unreachable, also when there is no session in time: nothing has been done there; unauthenticated (unknown
  // or changed host key with the command that would accept it, or no key accepted); bad_input (key or known_hosts file).
  virtual Task<Result<void>> open() = 0;

  // Has a shell wait on the host, so that the next job() begins there within one round trip. It costs the host one idle
  // process until then, or until close(). Of use or not: whatever stands in its way, the job meets it and says it.
  virtual Task<> stand_by() { co_return; }

  // Runs `command` with the host's sh and waits for its end. `input` is its standard input.
  // Fails as open(): it has not run; and with timed_out when it does not end in time or the connection is lost midway: it
  // may have run.
  virtual Task<Result<CommandResult>> run(std::string command, std::string input = {}) = 0;

  // Runs `command`, a question, as run() does without input. It may be asked twice, and not all of `err` need be there. Where it can
  // be, the shell that answers stays, as if it had been asked to stand by: on at most `shells_left_most` of a connector's hosts.
  virtual Task<Result<CommandResult>> ask(std::string command) { return run(std::move(command)); }

  // Runs `command` as run() does, with a local file as its standard input; or in the shell that stays since an ask(). There it takes the
  // file by calling shiftd_take, once, and its input is empty: `command` defines that as `cat` where it is not defined. Given up only when
  // nothing has moved for `silence`. A connection that breaks looks to the command like the end of its input.
  // Fails as run(), and with bad_input when there is no such local file.
  virtual Task<Result<CommandResult>> send(std::string local_path, std::string command, Duration silence) = 0;

  // Starts the job, or joins it if it runs already, or returns the result it left behind. Both its outputs are in `out`.
  // Fails with: refused (it was not started: the lock is held by another job, says whose, or the host cannot run jobs),
  // conflict (it was not started: the lock was held by a job of a later epoch),
  // unreachable / timed_out (the connection was lost: the job may go on; ask again with the same id), exhausted (the job's
  // limit passed and it was ended, or the disk is full), unavailable (the job vanished: it was started and is gone without
  // a result, so that nobody knows whether it finished; asking again says the same).
  virtual Task<Result<CommandResult>> job(RemoteJob job) = 0;

  // Looks without starting anything: nothing, when no job of that id was ever started there.
  // Fails as job(), and with unavailable when it runs still.
  virtual Task<Result<std::optional<CommandResult>>> job_result(std::string dir, std::string id) = 0;

  // The fingerprint of the key with which the present connection was authenticated, as ssh-keygen prints it ("SHA256:...");
  // empty: there is no connection, or it is not known.
  [[nodiscard]] virtual std::string key() const { return {}; }

  // Ends the connection. A later call opens a new one.
  virtual void close() = 0;
};

}  // namespace shiftd
