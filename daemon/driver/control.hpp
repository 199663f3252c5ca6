#pragma once

// What people may ask of the daemon: all that the HTTP API and the metrics are made from.
//
// Called on the control thread; calls may overlap. Whatever is answered has been committed to the journal before.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/driver/pool_status.hpp"
#include "daemon/engine/decide.hpp"
#include "daemon/engine/plan.hpp"
#include "daemon/engine/rollout.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct StartRequest {
  std::string service;
  Release release;
  std::vector<std::string> limit;  // only these hosts; empty: the whole fleet
  std::string by;                  // who asks
  std::string reason;
  std::string if_plan{};  // start: only when the plan is the one of this plan_digest(); empty: whatever the plan
  bool no_watch = false;  // the first host may leave although its service's history is short
  bool untested = false;  // although it has not succeeded where the service wants it to have; needs a reason
};

// What would change on some hosts, in the words of the tool that looked; the same on each of them.
struct DryRun {
  std::vector<std::string> hosts;
  std::string text;
};

// A plan for people to say yes to.
struct Proposal {
  Plan plan;
  std::vector<DryRun> dry_runs;  // bounded; of hosts that are not in them nothing is known, or nothing would change
};

struct CommandRequest {
  Verb verb = Verb::pause;
  std::string host;  // for release_hold and take
  std::string by;
  std::string reason;
  bool instead_of_verdict = false;  // for promote: in place of the stage's evidence; needs a reason
  bool instead_of_views = false;    // for roll_back: as engine/event.hpp's Command; needs a reason
  std::string metric = {};          // for ignore_metric
};

struct RolloutBrief {
  std::string rollout;
  std::string service;
  std::string version;
  std::string phase;    // engine/rollout.hpp's words, or "stopped": under way, and this daemon does not drive it: the reason says why
  std::string outcome;  // "none" until it has ended
  std::string reason;
  Instant created;
  Instant changed;
};

// What the front end counted for one host since the rollout began.
struct HostLive {
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
};

// One metric beside 5xx.
struct MetricLive {
  std::string name;
  std::string may;
  std::string text;
  std::string trouble;  // why it is not known; empty: it is
  bool speaks_against = false;
  bool ignored = false;
};

// What is measured meanwhile, and not part of the record.
struct Live {
  std::vector<HostLive> hosts;  // as in the plan
  double served_share = 0;      // of the canary, over the last ticks; 0 without traffic
  std::uint64_t canary_requests = 0;
  std::uint64_t canary_failures = 0;
  std::uint64_t baseline_requests = 0;
  std::uint64_t baseline_failures = 0;
  double e_value = 0;
  std::string evidence;  // the verdict's line
  std::vector<MetricLive> metrics;
  Duration watched{0};  // of the hosts' history on their old releases
};

struct RolloutStatus {
  Rollout rollout;
  Live live;  // empty for a rollout that has ended before this daemon started
};

// As its driver has it now: it changes as soon as the caller waits for anything, and may be gone then.
struct RunningRollout {
  const Rollout& rollout;
  const Live& live;
};

// Records as the journal keeps them, from number `from` on.
struct FeedPart {
  std::uint64_t from = 0;
  std::vector<std::string> records;
  bool ended = false;  // the last of them ends the rollout
};

// One place where announcements are told.
struct SinkStatus {
  std::string name;
  std::uint64_t told = 0;      // announcements it has taken
  std::uint64_t refused = 0;   // that it will never take: left out
  std::uint64_t failures = 0;  // attempts that failed otherwise, and are repeated
  std::string trouble;         // why it takes nothing now; empty: it does
  Instant since;               // for how long

  bool operator==(const SinkStatus&) const = default;
};

struct DaemonStats {
  std::uint64_t started = 0;  // rollouts since the daemon began, recovered ones included
  std::uint64_t succeeded = 0;
  std::uint64_t rolled_back = 0;
  std::uint64_t failed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t running = 0;
  std::uint64_t queued = 0;
  std::uint64_t quarantined = 0;
  std::uint64_t stopped = 0;  // under way by the journal, and not driven by this daemon
  std::uint64_t records = 0;  // appended by this daemon
  std::uint64_t commits = 0;
  std::chrono::microseconds committing{0};
  std::uint64_t effects = 0;
  std::vector<SinkStatus> sinks;
  std::map<std::string, std::size_t> stragglers;  // by service: hosts that missed a release, and are still out
};

class Control {
 public:
  virtual ~Control() = default;

  [[nodiscard]] virtual std::vector<std::string> services() const = 0;

  // Looks at the service's pools now; changes nothing. A store or view that does not answer is said in its place.
  // Fails with not_found: no such service.
  virtual Task<Result<std::vector<PoolStatus>>> pools(std::string service) = 0;

  // Looks at the fleet and plans; changes nothing anywhere.
  // Fails with: not_found (no such service), bad_input (what was asked cannot be done: says the sum), unreachable ...
  virtual Task<Result<Proposal>> plan(StartRequest request) = 0;

  // Returns the new rollout's id once it is in the journal.
  // Fails with: as plan(); conflict: another rollout holds the service's hosts or pools (says which), or the plan is no
  // longer the one of `if_plan`.
  virtual Task<Result<std::string>> start(StartRequest request) = 0;

  // Fails with: not_found, conflict (not in this phase: says why); unavailable: the journal cannot be written, or this
  // daemon does not drive the rollout.
  virtual Task<Result<void>> command(std::string rollout, CommandRequest request) = 0;

  // The newest first, at most `most`.
  virtual Task<Result<std::vector<RolloutBrief>>> list(std::size_t most) = 0;
  virtual Task<Result<RolloutStatus>> show(std::string rollout) = 0;

  // What the jobs of the rollout have said on one host, masked and bounded; asks the host now. Empty: none ran there.
  // Fails with: not_found (no such rollout, or no such host in its service), unreachable ...
  virtual Task<Result<std::string>> logs(std::string rollout, std::string host) = 0;

  // Waits until there is a record from `from` on, or for `at_most`: then `records` is empty.
  // Fails with not_found; unavailable: the rollout is stopped, and this was all. Cancelled: leaves nothing behind.
  virtual Task<Result<FeedPart>> follow(std::string rollout, std::uint64_t from, Duration at_most) = 0;

  // As text for `shiftctl verdict`: a rollout with what it was judged by, a service's history. Fail with not_found: no such
  // rollout or service, or nothing was recorded; unavailable: the journal cannot be read.
  virtual Task<Result<std::string>> trace(std::string rollout) = 0;
  virtual Task<Result<std::string>> history(std::string service) = 0;

  // Which release each of the service's hosts is to run, as text: docs/api.md has its lines. Hosts of which nothing is known
  // are left out. Fails with not_found: no such service.
  virtual Task<Result<std::string>> desired(std::string service) = 0;

  [[nodiscard]] virtual DaemonStats stats() const = 0;
  // Rollouts that this daemon drives now, for the gauges of the metrics.
  [[nodiscard]] virtual std::vector<RunningRollout> running() const = 0;

  // Whether it can do its work. Fails with unavailable, saying why not: the journal cannot be written ...
  [[nodiscard]] virtual Result<void> ready() const = 0;
};

}  // namespace shiftd
