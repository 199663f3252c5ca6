#pragma once

// What the journal keeps beside its records, and may lose: one checkpoint per rollout, how far the readers of its records have
// come, and the counts series.
//
// It has a file, a connection and a thread of its own, so that a tick of 10,000 hosts neither waits for an fsync nor
// puts bytes into the WAL that the next append would have to sync. WAL with synchronous=NORMAL: a commit costs no
// fsync, a killed daemon loses nothing, a machine that loses power loses the last seconds and never sees half a value.
// (synchronous=OFF would save the rare fsync of a WAL checkpoint too, but may tear pages; nobody waits on this thread.)

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/store/journal.hpp"
#include "daemon/store/sqlite.hpp"
#include "daemon/store/work_thread.hpp"

namespace shiftd {

class Evidence {
 public:
  // A file that cannot be used (damaged, of a newer version, not ours) is set aside as "<path>.unreadable" and an empty
  // one begun: nothing in it decides. `notice` then says so.
  static Result<std::unique_ptr<Evidence>> open(const std::string& path, std::string& notice);

  Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint);
  Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout);
  Task<Result<void>> save_cursor(std::string reader, std::string rollout, std::uint64_t records);
  Task<Result<std::map<std::string, std::uint64_t>>> load_cursors(std::string reader);
  // Their checkpoints, cursors and recordings.
  Task<Result<void>> forget(std::vector<std::string> rollouts);
  Task<Result<void>> add_counts(std::string service, CountsPoint point, Duration keep);
  Task<Result<std::vector<CountsPoint>>> read_counts(std::string service, Instant from);
  Task<Result<void>> drop_counts(std::string series);

 private:
  explicit Evidence(std::unique_ptr<Database> database) : database_(std::move(database)) {}

  // On the thread: all of `work` in one transaction.
  Result<void> in_transaction(const std::function<Result<void>()>& work);

  std::unique_ptr<Database> database_;
  WorkThread thread_;  // last: it ends before what it works on
};

}  // namespace shiftd
