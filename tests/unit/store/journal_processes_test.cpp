// The journal when processes die, disks fill up and rights are missing: each in a child that really has that trouble.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"
#include "tests/fakes/forked.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using testing::HasSubstr;
using Records = std::vector<std::string>;

constexpr uid_t nobody = 65534;

std::unique_ptr<Journal> open(const std::string& path) {
  auto opened = open_sqlite_journal(path);
  if (!opened) throw std::runtime_error(opened.error().what);
  return std::move(*opened);
}

// A user who may not write in `directory`: root becomes another one, since root may write everywhere.
void lose_the_right_to_write_in(const std::string& directory) {
  if (::geteuid() != 0) {
    std::filesystem::permissions(directory, std::filesystem::perms(0555));
  } else if (::setegid(nobody) != 0 || ::seteuid(nobody) != 0) {
    throw std::runtime_error("cannot become nobody");
  }
}

// A disk of 2 MB at `directory`, that only this process sees and that goes with it. An ordinary user needs a user
// namespace for it, as whose root he counts.
bool mount_a_small_disk(const std::string& directory) {
  auto user = std::to_string(::geteuid());
  auto group = std::to_string(::getegid());
  auto ordinary = ::geteuid() != 0;
  if (::unshare(ordinary ? CLONE_NEWNS | CLONE_NEWUSER : CLONE_NEWNS) != 0) return false;
  if (ordinary) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " + user + " 1";
    std::ofstream("/proc/self/gid_map") << "0 " + group + " 1";
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=2m") == 0;
}

// Appends one record after the other, up to `most`, and gives the failure that ended it.
Failure append_until_it_fails(boost::asio::io_context& loop, Journal& journal, std::uint64_t& next, std::uint64_t most) {
  for (; next < most; ++next) {
    auto appended = run_task(loop, journal.append("r1", next, {std::string(16'000, 'x')}, false));
    if (!appended) return appended.error();
  }
  return {Errc::unexpected_reply, "every append succeeded"};
}

// What must be so after an append was refused, and again once there is room.
std::string disagreement_after(boost::asio::io_context& loop, Journal& journal, std::uint64_t next) {
  auto records = run_task(loop, journal.read("r1", 0, 1'000'000));
  if (!records) return "read: " + records.error().what;
  if (records->size() != next)
    return std::to_string(records->size()) + " records are there, " + std::to_string(next) + " were acknowledged";
  return "none";
}

TEST(JournalProcesses, ASecondDaemonIsRefusedAndToldThePidOfTheFirst) {
  TemporaryDirectory directory;
  auto path = directory.path() + "/journal.db";
  Forked first([&](const Forked::Output& output) {
    auto journal = open(path);
    output.line("open");
    ::pause();
  });
  ASSERT_EQ(first.line(), "open");
  auto second = open_sqlite_journal(path);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::conflict);
  EXPECT_THAT(second.error().what, HasSubstr("is held by process " + std::to_string(first.pid()) + ":"));

  first.kill();
  EXPECT_TRUE(std::filesystem::exists(path + ".lock"));
  auto third = open_sqlite_journal(path);
  EXPECT_TRUE(third) << "a dead daemon's lock file blocks nobody: " << third.error();
}

TEST(JournalProcesses, EveryAcknowledgedRecordSurvivesKill9) {
  for (int acknowledgements : {1, 40, 150}) {
    SCOPED_TRACE(acknowledgements);
    TemporaryDirectory directory;
    auto path = directory.path() + "/journal.db";
    Forked daemon([&](const Forked::Output& output) {
      boost::asio::io_context loop(1);
      auto journal = open(path);
      auto rollout = [](Journal& into, std::string name, Forked::Output to) -> Task<> {
        auto created = co_await into.create(name, "web", Records(1, name + " 0"));
        for (std::uint64_t next = 1; created; ++next) {
          created = co_await into.append(name, next, Records(1, name + " " + std::to_string(next)), false);
          if (created) to.line(name + " " + std::to_string(next));
        }
      };
      auto all = [&]() -> Task<> {
        TaskGroup tasks(loop.get_executor());
        for (auto name : {"r1", "r2", "r3"}) tasks.start(name, rollout(*journal, name, output));
        co_await tasks.join();
      };
      run_task(loop, all());
    });

    std::map<std::string, std::uint64_t> acknowledged;
    int seen = 0;
    for (auto line = daemon.line(); line; line = daemon.line()) {
      acknowledged[line->substr(0, 2)] = std::stoull(line->substr(3));
      if (++seen == acknowledgements) daemon.kill();
    }
    ASSERT_GE(seen, acknowledgements);

    // First as a person without a daemon, beside the WAL that was left; then as the next daemon.
    for (const auto& [name, last] : acknowledged) {
      auto rescued = read_sqlite_journal(path, name);
      ASSERT_TRUE(rescued) << rescued.error();
      ASSERT_GT(rescued->size(), last);
      for (std::size_t i = 0; i < rescued->size(); ++i) EXPECT_EQ((*rescued)[i], name + " " + std::to_string(i));
      boost::asio::io_context loop(1);
      auto journal = open(path);
      EXPECT_EQ(*run_task(loop, journal->read(name, 0, 1'000'000)), *rescued);
    }
  }
}

TEST(JournalProcesses, AFullDiskRefusesAppendsUntilThereIsRoomAgain) {
  TemporaryDirectory directory;
  Forked daemon([&](const Forked::Output& output) {
    if (!mount_a_small_disk(directory.path())) return output.line("no mount");
    std::ofstream(directory.path() + "/ballast") << std::string(1 << 20, 'b') << std::flush;
    boost::asio::io_context loop(1);
    auto journal = open(directory.path() + "/journal.db");
    (void)run_task(loop, journal->create("r1", "web", {"plan"}));
    std::uint64_t next = 1;
    auto failure = append_until_it_fails(loop, *journal, next, 1'000);
    output.line(std::string(to_string(failure.code)) + " " + failure.what);
    output.line(disagreement_after(loop, *journal, next));
    // Pages are left in the log that earlier appends made long: what fits there is durable all the same.
    auto checked = run_task(loop, journal->check());
    for (int i = 0; checked && i < 2'000; ++i) checked = run_task(loop, journal->check());
    output.line(checked ? "checked" : std::string(to_string(checked.error().code)));
    std::filesystem::remove(directory.path() + "/ballast");
    auto recovered = run_task(loop, journal->check());
    output.line(recovered ? "checked" : recovered.error().what);
    auto again = run_task(loop, journal->append("r1", next, {"there is room again"}, true));
    output.line(again ? "appended" : again.error().what);
    journal.reset();
    journal = open(directory.path() + "/journal.db");
    output.line(disagreement_after(loop, *journal, next + 1));
  });
  auto refused = daemon.line();
  ASSERT_TRUE(refused);
  if (refused == "no mount") GTEST_SKIP() << "this machine allows no mount of one's own";
  EXPECT_EQ(*refused, "exhausted " + directory.path() + "/journal.db: the disk is full");
  EXPECT_EQ(daemon.line(), "none");
  EXPECT_EQ(daemon.line(), "exhausted");
  EXPECT_EQ(daemon.line(), "checked");
  EXPECT_EQ(daemon.line(), "appended");
  EXPECT_EQ(daemon.line(), "none");
}

TEST(JournalProcesses, AFailedWriteRefusesAppendsUntilWritesSucceedAgain) {
  TemporaryDirectory directory;
  auto path = directory.path() + "/journal.db";
  Forked daemon([&](const Forked::Output& output) {
    std::signal(SIGXFSZ, SIG_IGN);
    boost::asio::io_context loop(1);
    auto journal = open(path);
    (void)run_task(loop, journal->create("r1", "web", {"plan"}));
    rlimit before = {};
    ::getrlimit(RLIMIT_FSIZE, &before);
    rlimit small = {rlim_t{1} << 20, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    std::uint64_t next = 1;
    auto failure = append_until_it_fails(loop, *journal, next, 1'000);
    output.line(std::string(to_string(failure.code)) + " " + failure.what);
    output.line(disagreement_after(loop, *journal, next));
    ::setrlimit(RLIMIT_FSIZE, &before);
    auto again = run_task(loop, journal->append("r1", next, {"it can be written again"}, true));
    output.line(again ? "appended" : again.error().what);
    journal.reset();
    journal = open(path);
    output.line(disagreement_after(loop, *journal, next + 1));
  });
  auto refused = daemon.line();
  ASSERT_TRUE(refused);
  EXPECT_THAT(*refused, HasSubstr("unavailable " + path + ": disk I/O error"));
  EXPECT_EQ(daemon.line(), "none");
  EXPECT_EQ(daemon.line(), "appended");
  EXPECT_EQ(daemon.line(), "none");
}

TEST(JournalProcesses, ADirectoryThatCannotBeWrittenIsRefused) {
  TemporaryDirectory directory;
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  Forked daemon([&](const Forked::Output& output) {
    lose_the_right_to_write_in(directory.path());
    auto opened = open_sqlite_journal(directory.path() + "/journal.db");
    output.line(opened ? "opened" : std::string(to_string(opened.error().code)) + " " + opened.error().what);
  });
  EXPECT_EQ(daemon.line(), "unavailable journal: " + directory.path() + "/journal.db.lock cannot be written: Permission denied");
  daemon.kill();
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
}

TEST(JournalProcesses, IsReadWhereNothingCanBeWritten) {
  TemporaryDirectory directory;
  auto path = directory.path() + "/journal.db";
  {
    Forked killed([&](const Forked::Output& output) {
      boost::asio::io_context loop(1);
      auto journal = open(path);
      (void)run_task(loop, journal->create("r1", "web", {"plan"}));
      output.line("created");
      ::pause();
    });
    ASSERT_EQ(killed.line(), "created");
  }
  // As on a snapshot: the log is there, its index is not.
  std::filesystem::remove(path + "-shm");
  ASSERT_GT(std::filesystem::file_size(path + "-wal"), 0u);
  for (const auto& file : {path, path + "-wal"}) {
    std::filesystem::permissions(file, std::filesystem::perms(0400));
    if (::geteuid() == 0) {
      ASSERT_EQ(::chown(file.c_str(), nobody, nobody), 0);
    }
  }
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  Forked person([&](const Forked::Output& output) {
    lose_the_right_to_write_in(directory.path());
    auto records = read_sqlite_journal(path, "r1");
    output.line(records ? std::to_string(records->size()) + " " + records->front() : records.error().what);
  });
  EXPECT_EQ(person.line(), "1 plan");
  person.kill();
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
}

}  // namespace
}  // namespace shiftd
