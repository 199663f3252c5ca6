#pragma once

// How one host is brought to a release, and back.
//
// Layout on the host, below the service's base path:
//   releases/<digest>/    one directory per release, complete or absent; with a configuration <code>-<configuration>
//   current -> releases/<digest>      swapped by rename, never unlinked
//   previous -> releases/<digest>     what `current` was before the last swap
//   .shiftd/              lock, jobs, uploads in progress

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/engine/release.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

// One host as the releaser needs it. Placeholders {{host}}, {{address}}, {{release}}, {{version}} and {{path}} in paths,
// commands and URLs are replaced by the host's own, quoted for the shell where a shell reads them.
struct HostPlace {
  std::string name;
  std::string address;  // where its checks and version proof are asked: "10.1.2.3:8080"
};

// What a preparation has found and made on a host.
struct Prepared {
  std::string current;   // the digest that `current` names; empty: there is none yet
  std::string rendered;  // the digest of the configuration's files as they were rendered for it; empty: the release has none

  bool operator==(const Prepared&) const = default;
};

class Releaser {
 public:
  virtual ~Releaser() = default;

  // The digest that `current` names on the host; empty when there is none yet. Changes nothing.
  virtual Task<Result<std::string>> inspect(HostPlace host) = 0;

  // Before anything begins: whether the release can be read on the daemon's machine and has the digest that it is asked
  // by. Returns it with what may change later frozen: a configuration's directory has become the digest of its copy.
  // Fails with bad_input. A releaser that reads nothing there has nothing to say.
  virtual Task<Result<Release>> check_source(Release release) { co_return release; }

  // The release as it is brought to hosts, with all that was left out when it was asked for; `found`: the releases that the
  // hosts have. Called after check_source(), before anything is planned. Fails with bad_input.
  virtual Task<Result<Release>> complete(Release release, std::vector<std::string> /*found*/) { co_return release; }

  // What an upgrade to `release` would change on the host, for people; empty: nothing to say. Changes nothing.
  // Fails as a command on the host does, and with refused when it says that it cannot tell.
  virtual Task<Result<std::string>> dry_run(HostPlace /*host*/, Release /*release*/) { co_return std::string(); }

  // While the host still serves: opens its connection, checks the disk, brings the code to releases/<digest> and proves
  // its digest. May be repeated.
  virtual Task<Result<Prepared>> prepare(HostPlace host, Release release) = 0;

  // For a host that is prepared and whose turn is near: has what its upgrade begins with wait there, so that it begins at
  // once. Of use or not, as Executor::stand_by(); a releaser that has no use for it does nothing.
  virtual Task<> stand_by(HostPlace /*host*/) { co_return; }

  // Swaps `current` to `release` and restarts the service, as one detached job named by `job_id`. Repeating it with the
  // same id never runs it twice.
  // Fails with: refused (not swapped, or the restart failed or passed its limit: its output), unavailable (the job was not
  // let in: nothing was done), unreachable / timed_out (unknown whether it ran, or whether it finished).
  virtual Task<Result<void>> upgrade(HostPlace host, Release release, std::string job_id) = 0;

  // The same swap back to releases/<digest>, which the plan froze for this host.
  virtual Task<Result<void>> revert(HostPlace host, std::string digest, std::string job_id) = 0;

  // Leaves a note of the rollout in the release, once that rollout has succeeded. May be repeated. Fails as a command on the
  // host does. A releaser that has no place for it leaves none.
  virtual Task<Result<void>> note_success(HostPlace /*host*/, std::string /*digest*/, std::string /*rollout*/) { co_return Result<void>{}; }

  // What the jobs of a rollout have said on the host (job_logs.hpp). Fails as a command on the host does.
  virtual Task<Result<std::string>> logs(HostPlace /*host*/, std::string /*rollout*/) { co_return std::string(); }

  // Asks the service itself which release answers, until it answers or the limit passes.
  // Fails with: refused (another release answers: says which), timed_out, unreachable.
  virtual Task<Result<void>> prove_running(HostPlace host, std::string digest) = 0;
};

}  // namespace shiftd
