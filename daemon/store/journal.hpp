#pragma once

// Where everything that must outlive the daemon is kept: the records (the one truth about decisions), one overwritten
// verdict checkpoint per rollout, and a bounded series of counts per service.
//
// Calls may overlap; those that wait together share one commit. Used from the control thread only; an implementation
// may work on a thread of its own.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct RolloutSummary {
  std::string rollout;  // id
  std::string service;
  std::uint64_t records = 0;
  bool ended = false;
};

struct CountsPoint {
  Instant at;
  std::string counts;  // JSON, one tick of one service
};

class Journal {
 public:
  virtual ~Journal() = default;

  // All rollouts, oldest first.
  virtual Task<Result<std::vector<RolloutSummary>>> list() = 0;

  // Opens a new rollout with its first records (JSON texts; their sequence numbers start at 0).
  // Fails with conflict: there is one of that id.
  virtual Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records) = 0;

  // Appends at sequence number `expected`, all or none; `ended` closes the rollout with them. Durable when it returns
  // success.
  // Fails with: conflict: the rollout's next number is another one, or it has ended; exhausted / unavailable: the disk
  // is full or read only, nothing was appended. timed_out: unknown; read before deciding anything.
  // Cancelled: as timed_out.
  virtual Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) = 0;

  // At most `most` records from `from` on.
  virtual Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most) = 0;

  // Overwrites the rollout's checkpoint. May be lost by a crash, never half written.
  virtual Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint) = 0;
  virtual Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout) = 0;

  // Appends one tick and drops what is older than `keep`. Needs no fsync.
  virtual Task<Result<void>> add_counts(std::string service, CountsPoint point, Duration keep) = 0;
  virtual Task<Result<std::vector<CountsPoint>>> read_counts(std::string service, Instant from) = 0;

  // Removes whole ended rollouts, oldest first, until at most `keep` are left.
  virtual Task<Result<std::size_t>> retain(std::size_t keep) = 0;
};

// In memory, for tests and the simulator.
std::unique_ptr<Journal> make_memory_journal();

// SQLite in WAL mode with synchronous=FULL, on a thread of its own, locked for the life of the object.
// Fails with: conflict: another daemon holds it (names its pid); unavailable, exhausted, bad_input: cannot be opened.
Result<std::unique_ptr<Journal>> open_sqlite_journal(const std::string& path);

// Reads without a lock and without changing anything: for `shiftctl rescue`, daemon or no daemon.
Result<std::vector<std::string>> read_sqlite_journal(const std::string& path, const std::string& rollout);
Result<std::vector<RolloutSummary>> list_sqlite_journal(const std::string& path);

}  // namespace shiftd
