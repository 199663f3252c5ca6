// A disk that takes the bytes and then cannot confirm them: fsync of the write-ahead log fails.

#include <sqlite3.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/store/journal.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using testing::HasSubstr;
using Records = std::vector<std::string>;

int syncs_to_fail = 0;
sqlite3_vfs* real = nullptr;
sqlite3_io_methods log_methods;
int (*real_sync)(sqlite3_file*, int) = nullptr;

int sync_or_fail(sqlite3_file* file, int flags) {
  if (syncs_to_fail == 0) return real_sync(file, flags);
  --syncs_to_fail;
  return SQLITE_IOERR_FSYNC;
}

int open_with_failing_log(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
  auto code = real->xOpen(real, name, file, flags, out);
  if (code == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0) {
    log_methods = *file->pMethods;
    real_sync = log_methods.xSync;
    log_methods.xSync = sync_or_fail;
    file->pMethods = &log_methods;
  }
  return code;
}

// SQLite's own files, but for the fsync of its logs. Fails as often as syncs_to_fail says.
class FailedSync : public testing::Test {
 protected:
  FailedSync() {
    real = sqlite3_vfs_find(nullptr);
    vfs_ = *real;
    vfs_.zName = "failing-log";
    vfs_.xOpen = open_with_failing_log;
    sqlite3_vfs_register(&vfs_, 1);
    auto opened = open_sqlite_journal(path_);
    if (!opened) throw std::runtime_error(opened.error().what);
    journal_ = std::move(*opened);
    if (!run_task(loop_, journal_->create("r1", "web", {"plan"}))) throw std::runtime_error("create");
  }
  ~FailedSync() override {
    syncs_to_fail = 0;
    journal_.reset();
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real, 1);
  }

  // What a daemon would find if this one were killed now.
  Records after_a_crash() {
    auto copy = directory_.path() + "/crashed.db";
    for (const auto* part : {"", "-wal"}) {
      std::filesystem::copy_file(path_ + part, copy + part, std::filesystem::copy_options::overwrite_existing);
    }
    std::filesystem::remove(copy + "-shm");
    auto records = read_sqlite_journal(copy, "r1");
    return records ? *records : Records{records.error().what};
  }

  boost::asio::io_context loop_{1};
  TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/journal.db";
  sqlite3_vfs vfs_;
  std::unique_ptr<Journal> journal_;
};

TEST_F(FailedSync, AppendsNothingAndNoCrashBringsItBack) {
  syncs_to_fail = 1;
  auto refused = run_task(loop_, journal_->append("r1", 1, {"unconfirmed"}, false));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable) << refused.error();
  EXPECT_EQ(after_a_crash(), (Records{"plan"}));
  EXPECT_TRUE(run_task(loop_, journal_->append("r1", 1, {"confirmed"}, false)));
  EXPECT_EQ(after_a_crash(), (Records{"plan", "confirmed"}));
}

TEST_F(FailedSync, SaysUnknownWhenTheLogCannotBeEmptiedEither) {
  syncs_to_fail = 1'000;
  auto unknown = run_task(loop_, journal_->append("r1", 1, {"unconfirmed"}, false));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::timed_out);
  EXPECT_THAT(unknown.error().what, HasSubstr("whether it was kept is unknown"));
  EXPECT_EQ(*run_task(loop_, journal_->read("r1", 0, 10)), (Records{"plan"})) << "this process has not seen it";

  syncs_to_fail = 0;
  EXPECT_TRUE(run_task(loop_, journal_->append("r1", 1, {"confirmed"}, false)));
  EXPECT_EQ(after_a_crash(), (Records{"plan", "confirmed"}));
}

}  // namespace
}  // namespace shiftd
