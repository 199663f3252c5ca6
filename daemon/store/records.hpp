#pragma once

// The records of the embedded journal: one SQLite file in WAL mode, synchronous=FULL, on a thread of its own.
//
// Group commit: a write takes its place in `waiting_` and posts a job. The job that comes first takes everybody who
// waits by then into one transaction, with one fsync; the jobs of those find nothing left to do. So while one group is
// being synced the next one gathers, and nobody waits for company.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "daemon/store/journal.hpp"
#include "daemon/store/sqlite.hpp"
#include "daemon/store/work_thread.hpp"

namespace shiftd {

extern const Schema records_schema;

// Used by the reader without a daemon, too.
Result<std::vector<RolloutSummary>> list_rollouts(Database& database);
Result<std::vector<std::string>> read_records(Database& database, const std::string& rollout, std::uint64_t from, std::size_t most);

class Records {
 public:
  // Fails as open_sqlite_journal does. `notice` says what people should hear of it.
  static Result<std::unique_ptr<Records>> open(const std::string& path, std::string& notice);

  Task<Result<std::vector<RolloutSummary>>> list();
  Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records);
  Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended);
  Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most);

  Task<Result<void>> check();

  // The ended rollouts that have to go for `keep` ended ones to be left, oldest first.
  Task<Result<std::vector<std::string>>> surplus(std::size_t keep);
  // Removes these whole. They are gone at once, together; their space is freed in small steps that let appends pass.
  Task<Result<void>> remove(std::vector<std::string> rollouts);

  // As JournalStats.
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t commits() const { return commits_; }
  [[nodiscard]] std::uint64_t appended() const { return appended_; }
  // What the commits took, waiting in line excluded.
  [[nodiscard]] std::chrono::microseconds committing() const { return std::chrono::microseconds(committing_us_); }

 private:
  struct Write {
    std::string rollout;
    std::string service;  // of a create
    std::uint64_t expected = 0;
    std::vector<std::string> records;
    bool creates = false;
    bool ended = false;
    std::shared_ptr<Answer<Result<void>>> answer;
    Result<void> outcome = {};
  };

  Records(std::unique_ptr<Database> database, std::uint64_t epoch) : database_(std::move(database)), epoch_(epoch) {}

  Task<Result<void>> write(Write write);

  // On the thread:
  void commit_waiting();
  Result<void> commit(std::vector<Write>& group);
  Result<void> put(Write& write);
  Result<std::int64_t> free_some();
  void checkpoint_when_due();

  std::unique_ptr<Database> database_;
  std::uint64_t epoch_;
  std::mutex mutex_;
  std::vector<Write> waiting_;  // guarded by mutex_
  std::atomic<std::uint64_t> commits_ = 0;
  std::atomic<std::uint64_t> appended_ = 0;
  std::atomic<std::int64_t> committing_us_ = 0;
  WorkThread thread_;  // last: it ends before what it works on
};

}  // namespace shiftd
