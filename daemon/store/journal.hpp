#pragma once

// Where everything that must outlive the daemon is kept: the records (the one truth about decisions), one overwritten
// verdict checkpoint per rollout, and a bounded series of counts per service.
//
// Calls may overlap; those that wait together share one commit. Used from the control thread only; an implementation
// may work on threads of its own, and posts back to the caller's executor: the loop outlives the journal. Destroying a
// journal first finishes what was asked of it.

#include <chrono>
#include <cstdint>
#include <map>
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
  std::string counts;  // JSON, one tick of one service; or some rows of a trace
};

// The series that records a rollout; it leaves with its rollout. No service is called so: names have no slash.
inline std::string recording_of(const std::string& rollout) { return "rollout/" + rollout; }

// Counted since the journal was opened.
struct JournalStats {
  std::uint64_t commits = 0;                // transactions that made records durable
  std::uint64_t appended_records = 0;       // by create and append
  std::chrono::microseconds committing{0};  // what those commits took, waiting in line excluded
  // How often it was opened to be written, this time included. A copy goes on from there, and so is told from what it was
  // copied from once one of them is opened again. 0: not counted.
  std::uint64_t epoch = 0;
  std::string notice;  // what people should hear about how it was opened; empty: nothing
};

// The texts that a journal takes; more is refused with bad_input. The largest record is the plan of a large fleet.
inline constexpr std::size_t most_record_bytes = std::size_t{64} << 20;
inline constexpr std::size_t most_name_bytes = 256;

class Journal {
 public:
  virtual ~Journal() = default;

  // All rollouts, oldest first.
  virtual Task<Result<std::vector<RolloutSummary>>> list() = 0;

  // Opens a new rollout with its first records (JSON texts, at least one; their sequence numbers start at 0). Durable
  // when it returns success. Fails as append does; conflict: there is one of that id.
  virtual Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records) = 0;

  // Appends at sequence number `expected`, all or none; `ended` closes the rollout with them. Durable when it returns
  // success.
  // Fails with: conflict: the rollout's next number is another one, or it has ended; not_found: no such rollout;
  // bad_input: no record, or one that is too large; exhausted / unavailable: the disk is full or read only, nothing was
  // appended. timed_out: unknown; read before deciding anything.
  // Cancelled: as timed_out.
  virtual Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) = 0;

  // At most `most` records from `from` on; none where there is none yet. Fails with not_found: no such rollout;
  // unavailable: the disk gave something else than was written.
  virtual Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most) = 0;

  // Overwrites the rollout's checkpoint. May be lost by a crash of the machine, never half written. Leaves with its
  // rollout.
  virtual Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint) = 0;
  virtual Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout) = 0;

  // How many of the rollout's records a reader of the journal (whoever announces them elsewhere) is done with. A crash of the
  // machine may bring an older number back. Leaves with its rollout.
  virtual Task<Result<void>> save_cursor(std::string reader, std::string rollout, std::uint64_t records) = 0;
  // By rollout.
  virtual Task<Result<std::map<std::string, std::uint64_t>>> load_cursors(std::string reader) = 0;

  // A series is a service's, or the recording of one rollout. Appends one point and drops what is older than `keep` before
  // it. Needs no fsync.
  virtual Task<Result<void>> add_counts(std::string series, CountsPoint point, Duration keep) = 0;
  // In the order of their time.
  virtual Task<Result<std::vector<CountsPoint>>> read_counts(std::string series, Instant from) = 0;
  virtual Task<Result<void>> drop_counts(std::string series) = 0;

  // Removes whole ended rollouts, oldest first, until at most `keep` ended ones are left; says how many went. Those
  // that still run neither go nor count.
  virtual Task<Result<std::size_t>> retain(std::size_t keep) = 0;

  // Whether records would become durable now: writes a page that changes nothing. Fails as append does.
  virtual Task<Result<void>> check() = 0;

  virtual JournalStats stats() const = 0;
};

// In memory, for tests and the simulator.
std::unique_ptr<Journal> make_memory_journal();

// SQLite in WAL mode with synchronous=FULL, on a thread of its own, locked for the life of the object. docs/journal.md
// says which files it keeps.
// Fails with: conflict: another daemon holds it (names its pid); bad_input: no such directory, not a journal, a damaged
// one, or one of a newer shiftd; unavailable, exhausted: the disk cannot be written.
Result<std::unique_ptr<Journal>> open_sqlite_journal(const std::string& path);

// Read without a lock and without changing a record: for `shiftctl rescue`, daemon or no daemon, original or copy. They
// block the caller. Fail with not_found: no such file or rollout; bad_input as above; unavailable.
Result<std::vector<std::string>> read_sqlite_journal(const std::string& path, const std::string& rollout);
Result<std::vector<RolloutSummary>> list_sqlite_journal(const std::string& path);

}  // namespace shiftd
