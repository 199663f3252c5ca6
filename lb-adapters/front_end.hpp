#pragma once

// Where requests and failed requests per host are counted, as users got them.
//
// Counts are differences between two polls. All hosts of one reading are read at one instant. A counter that was reset
// between two polls gives what it has counted since; what came before it is lost and the reading says `reset`.

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct HostCounts {
  std::string member;          // as the pool's members are named
  std::uint64_t requests = 0;  // completed since the last poll
  std::uint64_t failures = 0;  // of these, 5xx as the user saw them, the front end's own 502, 503, 504 included

  bool operator==(const HostCounts&) const = default;
};

struct CountsReading {
  std::vector<HostCounts> hosts;   // ordered by member; absent: this front end does not know the member
  std::uint64_t unattributed = 0;  // failures that no host answered for
  bool first = false;              // no earlier reading to compare with: every count is 0 and means nothing
  bool reset = false;              // counters were reset since the last poll
  std::uint64_t lost = 0;          // requests known to be missing here (dropped log lines)
};

class FrontEnd {
 public:
  virtual ~FrontEnd() = default;

  [[nodiscard]] virtual const std::string& name() const = 0;

  // Calls never overlap. After a failure the next success covers the time since the last success.
  // Fails with: unreachable, timed_out, unexpected_reply, not_found.
  virtual Task<Result<CountsReading>> poll() = 0;

  // What has to go on between polls, for a front end that is told instead of asking. The owner runs it in a TaskGroup
  // for as long as it polls. Ends at once where there is nothing to do, else only by being cancelled.
  virtual Task<> serve() { co_return; }

  // The last readings, to be given to restore() of the same front end after a restart of the daemon: the next poll then
  // counts from there. restore() fails with bad_input on what it cannot use, and changes nothing.
  [[nodiscard]] virtual std::string checkpoint() const = 0;
  virtual Result<void> restore(const std::string& checkpoint) = 0;
};

}  // namespace shiftd
