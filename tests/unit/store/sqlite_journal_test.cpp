#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/temporary_directory.hpp"
#include "tests/unit/store/sqlite_file.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Records = std::vector<std::string>;

class SqliteJournal : public testing::Test {
 protected:
  std::unique_ptr<Journal> open() {
    auto opened = open_sqlite_journal(path_);
    if (!opened) throw std::runtime_error(opened.error().what);
    return std::move(*opened);
  }

  Failure refusal() {
    auto opened = open_sqlite_journal(path_);
    return opened ? Failure{Errc::unexpected_reply, "it was opened"} : opened.error();
  }

  template <class T>
  T run(Task<T> task) {
    return run_task(loop_, std::move(task));
  }

  void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

  boost::asio::io_context loop_{1};
  TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/journal.db";
};

TEST_F(SqliteJournal, StillHasEverythingWhenItIsOpenedAgain) {
  {
    auto journal = open();
    ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
    ASSERT_TRUE(run(journal->append("r1", 1, {"end"}, true)));
    ASSERT_TRUE(run(journal->save_checkpoint("r1", "evidence")));
    ASSERT_TRUE(run(journal->add_counts("web", CountsPoint{Instant(5s), "{}"}, 1h)));
  }
  auto journal = open();
  EXPECT_EQ(*run(journal->read("r1", 0, 10)), (Records{"plan", "end"}));
  EXPECT_TRUE(run(journal->list())->at(0).ended);
  EXPECT_EQ(*run(journal->load_checkpoint("r1")), "evidence");
  EXPECT_EQ(run(journal->read_counts("web", Instant(0s)))->size(), 1u);
  EXPECT_EQ(journal->stats().commits, 0u);
}

TEST_F(SqliteJournal, IsInALaterEpochWithEveryOpeningAndSoIsACopyOfIt) {
  EXPECT_EQ(open()->stats().epoch, 1u);
  EXPECT_EQ(open()->stats().epoch, 2u);
  auto original = path_;
  path_ = directory_.path() + "/copy.db";
  std::filesystem::copy_file(original, path_);
  EXPECT_EQ(open()->stats().epoch, 3u);
}

TEST_F(SqliteJournal, StaysInItsEpochAndSaysSoWhereAnOpeningCannotBeCounted) {
  EXPECT_EQ(open()->stats().notice, "");
  SqliteFile(path_).run("CREATE TRIGGER no_room BEFORE UPDATE ON openings BEGIN SELECT RAISE(ABORT, 'no room'); END");
  auto stats = open()->stats();
  EXPECT_EQ(stats.epoch, 1u);
  EXPECT_THAT(stats.notice, HasSubstr("this start could not be counted"));
  EXPECT_THAT(stats.notice, HasSubstr("no room"));
}

TEST_F(SqliteJournal, KeepsItsFilesToItsUser) {
  write(path_, "");
  std::filesystem::permissions(path_, std::filesystem::perms(0644));
  auto journal = open();
  ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
  ASSERT_TRUE(run(journal->save_checkpoint("r1", "evidence")));
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(directory_.path())) {
    EXPECT_EQ(file.status().permissions(), std::filesystem::perms(0600)) << file.path();
    ++files;
  }
  EXPECT_EQ(files, 7);  // the lock, and two databases with their WAL and its index
}

TEST_F(SqliteJournal, WaitingAppendsShareOneCommitAndFailAlone) {
  constexpr int rollouts = 64;
  auto journal = open();
  for (int i = 0; i < rollouts; ++i) ASSERT_TRUE(run(journal->create("r" + std::to_string(i), "web", {"plan"})));
  auto before = journal->stats();

  // Nothing can be committed until all of them have been asked for.
  SqliteFile outsider(path_);
  outsider.run("BEGIN IMMEDIATE");
  int succeeded = 0;
  int conflicts = 0;
  auto append = [](Journal& to, int number, int* won, int* lost) -> Task<> {
    auto wrong = number % 8 == 0;
    auto appended = co_await to.append("r" + std::to_string(number), wrong ? 7 : 1, Records(1, "x"), false);
    if (appended) ++*won;
    if (!appended && appended.error().code == Errc::conflict) ++*lost;
  };
  auto release = [](SqliteFile* held) -> Task<> {
    held->run("COMMIT");
    co_return;
  };
  auto all = [&]() -> Task<> {
    TaskGroup tasks(loop_.get_executor());
    for (int i = 0; i < rollouts; ++i) tasks.start("append", append(*journal, i, &succeeded, &conflicts));
    tasks.start("release", release(&outsider));
    co_await tasks.join();
  };
  run(all());

  EXPECT_EQ(conflicts, rollouts / 8);
  EXPECT_EQ(succeeded, rollouts - rollouts / 8);
  auto after = journal->stats();
  EXPECT_EQ(after.appended_records - before.appended_records, static_cast<std::uint64_t>(succeeded));
  EXPECT_LE(after.commits - before.commits, 2u);
  EXPECT_GT(after.committing, before.committing);
  EXPECT_EQ(run(journal->read("r0", 0, 10))->size(), 1u);
  EXPECT_EQ(run(journal->read("r1", 0, 10))->size(), 2u);
}

TEST_F(SqliteJournal, ACancelledAppendUnwindsAndMayStillLand) {
  auto journal = open();
  ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
  SqliteFile outsider(path_);
  outsider.run("BEGIN IMMEDIATE");
  bool returned = false;
  auto append = [](Journal& to, bool* after) -> Task<> {
    (void)co_await to.append("r1", 1, Records(1, "landed"), false);
    *after = true;
  };
  auto cancelled = [&]() -> Task<> {
    TaskGroup tasks(loop_.get_executor());
    tasks.start("append", append(*journal, &returned));
    co_await boost::asio::post(loop_, boost::asio::use_awaitable);
    co_await boost::asio::post(loop_, boost::asio::use_awaitable);
    tasks.stop();
    co_await tasks.join();
  };
  run(cancelled());
  EXPECT_FALSE(returned);
  outsider.run("COMMIT");
  EXPECT_EQ(*run(journal->read("r1", 0, 10)), (Records{"plan", "landed"}));
}

TEST_F(SqliteJournal, FinishesWhatWasAskedBeforeItGoes) {
  auto journal = open();
  ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
  boost::asio::co_spawn(loop_, journal->append("r1", 1, {"last"}, false), [](std::exception_ptr, Result<void>) {});
  loop_.restart();
  loop_.poll_one();  // starts the coroutine, which hands its records over
  journal.reset();
  EXPECT_EQ(*read_sqlite_journal(path_, "r1"), (Records{"plan", "last"}));
  loop_.run();
}

TEST_F(SqliteJournal, ASecondOneIsRefusedInTheSameProcess) {
  auto journal = open();
  auto second = refusal();
  EXPECT_EQ(second.code, Errc::conflict);
  EXPECT_THAT(second.what, HasSubstr("is held by process " + std::to_string(::getpid())));

  std::filesystem::create_symlink(path_, directory_.path() + "/another-name.db");
  path_ = directory_.path() + "/another-name.db";
  EXPECT_EQ(refusal().code, Errc::conflict) << "through a second name";
}

TEST_F(SqliteJournal, SaysWhatIsWrongWithAFileThatItCannotUse) {
  auto here = directory_.path();
  open();
  SqliteFile(path_).run("PRAGMA user_version = 99");
  SqliteFile(here + "/foreign.db").run("CREATE TABLE theirs (x)");
  write(here + "/text.db", "this is no database, but a text that is longer than the hundred bytes of the header of an SQLite file is");
  std::filesystem::create_directory(here + "/directory.db");
  struct {
    std::string_view name;
    std::string path;
    std::string what;
  } const cases[] = {
      {"no directory", here + "/missing/journal.db", "there is no directory " + here + "/missing: make it, mode 0700"},
      {"a newer shiftd's", path_, "was written by a newer shiftd: it has schema version 99, this shiftd knows up to 1"},
      {"somebody else's database", here + "/foreign.db", "is an SQLite database, but not one of this kind of shiftd's"},
      {"no database", here + "/text.db", "text.db is not a journal: file is not a database"},
      {"a directory", here + "/directory.db", "directory.db is not a regular file"},
  };
  for (const auto& [name, path, what] : cases) {
    SCOPED_TRACE(name);
    path_ = path;
    auto refused = refusal();
    EXPECT_EQ(refused.code, Errc::bad_input);
    EXPECT_THAT(refused.what, HasSubstr(what));
  }
  EXPECT_EQ(SqliteFile(here + "/foreign.db").value("SELECT count(*) FROM sqlite_schema"), "1") << "left as it was";
}

TEST_F(SqliteJournal, DoesNotDecideOnADamagedTruth) {
  {
    auto journal = open();
    ASSERT_TRUE(run(journal->create("r1", "web", Records(500, std::string(200, 'x')))));
  }
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5 * 4096);
    file << std::string(4096, '\x5a');
  }
  auto refused = refusal();
  EXPECT_EQ(refused.code, Errc::bad_input);
  EXPECT_THAT(refused.what, HasSubstr("journal.db is damaged: "));
  EXPECT_THAT(refused.what, HasSubstr("docs/journal.md"));
}

TEST_F(SqliteJournal, NeverStepsOverAMissingRecord) {
  {
    auto journal = open();
    ASSERT_TRUE(run(journal->create("middle", "web", {"0", "1", "2", "3"})));
    ASSERT_TRUE(run(journal->create("end", "web", {"0", "1", "2", "3"})));
  }
  SqliteFile(path_).run("DELETE FROM records WHERE rollout = 1 AND seq = 2 OR rollout = 2 AND seq = 3");
  auto journal = open();
  for (const auto& [rollout, missing] : {std::pair("middle", "2"), std::pair("end", "3")}) {
    SCOPED_TRACE(rollout);
    auto records = run(journal->read(rollout, 1, 10));
    ASSERT_FALSE(records);
    EXPECT_EQ(records.error().code, Errc::unavailable);
    EXPECT_THAT(records.error().what, HasSubstr(std::string("is damaged: record ") + missing + " of rollout " + rollout + " is missing"));
    EXPECT_EQ(read_sqlite_journal(path_, rollout).error().code, Errc::bad_input);
  }
  EXPECT_EQ(*run(journal->read("middle", 0, 2)), (Records{"0", "1"}));
}

TEST_F(SqliteJournal, SetsUnreadableEvidenceAsideAndSaysSo) {
  {
    auto journal = open();
    ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
    ASSERT_TRUE(run(journal->save_checkpoint("r1", "evidence")));
  }
  write(path_ + ".evidence", std::string(8192, 'x'));
  auto journal = open();
  EXPECT_THAT(journal->stats().notice, HasSubstr(".evidence is not a journal"));
  EXPECT_THAT(journal->stats().notice, HasSubstr("set aside as " + path_ + ".evidence.unreadable"));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".evidence.unreadable"));
  EXPECT_EQ(*run(journal->load_checkpoint("r1")), std::nullopt);
  EXPECT_EQ(*run(journal->read("r1", 0, 10)), (Records{"plan"}));
}

TEST_F(SqliteJournal, FreesALargeRolloutInStepsAndFinishesAnInterruptedRemoval) {
  {
    auto journal = open();
    ASSERT_TRUE(run(journal->create("large", "web", Records(12'000, "x"))));
    ASSERT_TRUE(run(journal->append("large", 12'000, {"end"}, true)));
    ASSERT_TRUE(run(journal->create("interrupted", "web", {"plan"})));
    ASSERT_TRUE(run(journal->append("interrupted", 1, {"end"}, true)));
    ASSERT_TRUE(run(journal->create("running", "web", {"plan"})));
  }
  SqliteFile(path_).run("UPDATE rollouts SET id = NULL WHERE id = 'interrupted'");
  {
    auto journal = open();
    EXPECT_EQ(run(journal->list())->size(), 2u);
    EXPECT_EQ(*run(journal->retain(0)), 1u);
  }
  SqliteFile file(path_);
  EXPECT_EQ(file.value("SELECT count(*) FROM records"), "1");
  EXPECT_EQ(file.value("SELECT count(*) FROM rollouts"), "1");
}

TEST_F(SqliteJournal, MovesItsLogIntoTheFileBeforeItGrowsLarge) {
  auto journal = open();
  ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
  for (std::uint64_t i = 1; i <= 40; ++i) ASSERT_TRUE(run(journal->append("r1", i, {std::string(1 << 20, 'x')}, false)));
  EXPECT_LT(std::filesystem::file_size(path_ + "-wal"), std::uintmax_t{8} << 20);
}

TEST_F(SqliteJournal, IsReadBesideItsDaemon) {
  auto journal = open();
  ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
  ASSERT_TRUE(run(journal->append("r1", 1, {"second"}, false)));
  auto records = read_sqlite_journal(path_, "r1");
  ASSERT_TRUE(records) << records.error();
  EXPECT_EQ(*records, (Records{"plan", "second"}));
  auto rollouts = list_sqlite_journal(path_);
  ASSERT_TRUE(rollouts) << rollouts.error();
  ASSERT_EQ(rollouts->size(), 1u);
  EXPECT_EQ(rollouts->front().records, 2u);
  EXPECT_TRUE(run(journal->append("r1", 2, {"third"}, false))) << "the reader left no lock";
}

TEST_F(SqliteJournal, IsReadAsACopyWithItsLog) {
  auto journal = open();
  ASSERT_TRUE(run(journal->create("r1", "web", {"plan"})));
  auto copy = directory_.path() + "/copy.db";
  std::filesystem::copy_file(path_, copy);
  std::filesystem::copy_file(path_ + "-wal", copy + "-wal");
  auto records = read_sqlite_journal(copy, "r1");
  ASSERT_TRUE(records) << records.error();
  EXPECT_EQ(*records, (Records{"plan"}));
}

TEST_F(SqliteJournal, ReadingSaysWhatIsNotThere) {
  auto nothing = list_sqlite_journal(path_);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error(), (Failure{Errc::not_found, "there is no journal " + path_}));
  EXPECT_FALSE(std::filesystem::exists(path_));
  open();
  auto rollout = read_sqlite_journal(path_, "r9");
  ASSERT_FALSE(rollout);
  EXPECT_EQ(rollout.error(), (Failure{Errc::not_found, "the journal has no rollout r9"}));
  write(directory_.path() + "/empty.db", "");
  auto empty = list_sqlite_journal(directory_.path() + "/empty.db");
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, Errc::bad_input);
}

}  // namespace
}  // namespace shiftd
