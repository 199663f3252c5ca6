// What befalls detached jobs on a real host.

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/io/task_group.hpp"
#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

class RemoteJobTest : public testing::Test {
 protected:
  RemoteJobTest() : connector_(make_ssh_connector(loop_.clock(), sshd_.client())), host_(connector_->to(sshd_.target())) {}

  RemoteJob job(const std::string& id, const std::string& script, Duration limit = 20s) { return {id, script, sshd_.file("work"), limit}; }
  Result<CommandResult> run(const RemoteJob& wanted) { return loop_.run(host_->job(wanted)); }

  // The second is asked for once `when` holds.
  std::pair<Result<CommandResult>, Result<CommandResult>> run_both(RemoteJob first, std::function<bool()> when, RemoteJob second) {
    Result<CommandResult> next = Failure{Errc::unavailable, "not asked for"};
    auto follow = [&]() -> Task<> {
      while (!when()) co_await loop_.clock().sleep_for(1ms);
      next = co_await host_->job(std::move(second));
    };
    auto both = [&]() -> Task<Result<CommandResult>> {
      auto executor = co_await boost::asio::this_coro::executor;
      TaskGroup group(executor);
      group.start("second", follow());
      auto ended = co_await host_->job(std::move(first));
      co_await group.join();
      co_return ended;
    };
    auto ended = loop_.run(both());
    return {std::move(ended), std::move(next)};
  }

  SshdServer sshd_;
  OnALoop loop_;
  std::unique_ptr<SshConnector> connector_;
  std::unique_ptr<Executor> host_;
};

TEST_F(RemoteJobTest, AJobWhoseRunnerWasKilledHasVanishedAndIsNotStartedAgain) {
  // As a host that lost its power: the directory says that it began, and nobody holds its lock.
  auto runner_killed = run(job("r1-2", "kill -KILL $(ps -o ppid= -p $PPID | tr -d ' '); sleep 0.2"));
  ASSERT_FALSE(runner_killed);
  for (int i = 0; i < 2; ++i) {
    auto again = run(job("r1-2", "echo never"));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::unavailable);
    EXPECT_NE(again.error().what.find("vanished"), std::string::npos) << again.error();
  }
  auto looked = loop_.run(host_->job_result(sshd_.file("work"), "r1-2"));
  ASSERT_FALSE(looked);
  EXPECT_EQ(looked.error().code, Errc::unavailable);
}

// Also for who is faster than those who wait for the job.
TEST_F(RemoteJobTest, TheNextJobMayStartAsSoonAsTheEndCanBeSeen) {
  auto ended = [&] { return read_text(sshd_.file("work/jobs/r1-1.result")).starts_with("done"); };
  auto [first, next] = run_both(job("r1-1", "sleep 0.2"), ended, job("r1-2", "echo next"));
  ASSERT_TRUE(first) << first.error();
  ASSERT_TRUE(next) << next.error();
  EXPECT_EQ(next->out, "next\n");
}

// Who looks at the job of before holds the lock for a moment, and it is waited for.
TEST_F(RemoteJobTest, WhoLooksAtAJobRefusesNoOther) {
  ASSERT_TRUE(run(job("r1-1", "true")));
  auto lock = open(sshd_.file("work/lock").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(lock, LOCK_SH), 0);  // waits: the end of r1-1 is seen a moment before its lock is free
  struct stat about;
  ASSERT_EQ(fstat(lock, &about), 0);
  auto somebody_waits = [inode = ":" + std::to_string(about.st_ino) + " "] {
    std::istringstream locks(read_text("/proc/locks"));
    for (std::string line; std::getline(locks, line);) {
      if (line.find("->") != std::string::npos && line.find(inode) != std::string::npos) return true;
    }
    return false;
  };
  std::thread looking([&] {
    EXPECT_TRUE(eventually(somebody_waits));
    close(lock);
  });
  auto next = run(job("r1-2", "echo next"));
  looking.join();
  ASSERT_TRUE(next) << next.error();
}

// Two that ask for one job at the same moment, as a shiftd and the one that it was restarted as.
TEST_F(RemoteJobTest, AskedForTwiceAtOnceItRunsOnce) {
  auto wanted = job("r1-1", "echo ran >>" + sshd_.file("ran") + "; sleep 0.2; echo mine");
  auto [first, second] = run_both(
      wanted, [] { return true; }, wanted);
  ASSERT_TRUE(first) << first.error();
  ASSERT_TRUE(second) << second.error();
  EXPECT_EQ(first->out, "mine\n");
  EXPECT_EQ(second->out, "mine\n");
  EXPECT_EQ(read_text(sshd_.file("ran")), "ran\n");
}

TEST_F(RemoteJobTest, AScriptThatEndsAsTheLimitWouldIsNoJobOverItsLimit) {
  for (const auto* status : {"124", "137"}) {
    auto result = run(job("r1-" + std::string(status), "exit " + std::string(status)));
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(std::to_string(result->exit_status), status);
  }
}

// Its clock is set ahead while the job runs.
TEST_F(RemoteJobTest, AClockThatIsSetMeanwhileMakesNoJobLate) {
  TemporaryDirectory bin;
  write_text(bin.path() + "/date", "#!/bin/sh\nexec /bin/date -d '1 hour' \"$@\"\n");
  std::filesystem::permissions(bin.path() + "/date", std::filesystem::perms::owner_all);
  SshdServer early({.max_startups = "100", .more_config = {}, .file_size_most = 0, .environment = "PATH=" + bin.path() + ":/usr/bin:/bin"});
  auto connector = make_ssh_connector(loop_.clock(), early.client());
  auto result = loop_.run(connector->to(early.target())->job({"r1-1", "exit 124", early.file("work"), 20s}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 124);
}

// Two daemons at one host: the one that was started later from the same journal has it for good.
TEST_F(RemoteJobTest, NoJobOfAnEarlierEpochFollowsOneOfALater) {
  auto in_epoch = [&](std::uint64_t epoch, const std::string& id) {
    auto wanted = job(id, "echo ran >>" + sshd_.file("ran"));
    wanted.epoch = epoch;
    return run(wanted);
  };
  ASSERT_TRUE(in_epoch(7, "r1-1"));
  ASSERT_TRUE(in_epoch(7, "r1-2"));
  ASSERT_TRUE(in_epoch(10, "r1-3"));
  auto early = in_epoch(9, "r1-4");
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Errc::conflict);
  EXPECT_NE(early.error().what.find("(epoch 10), has worked on this host"), std::string::npos) << early.error();
  EXPECT_TRUE(in_epoch(9, "r1-2")) << "what has run may be asked for by anybody";
  EXPECT_TRUE(in_epoch(10, "r1-5"));
  EXPECT_EQ(read_text(sshd_.file("ran")), "ran\nran\nran\nran\n");
  // A shiftd that knew no epochs has left its id alone, and a disk may have left anything.
  for (const auto* left : {"r0-1\n", "", "r0-1 x7\n", "\n"}) {
    write_text(sshd_.file("work/lock"), left);
    EXPECT_TRUE(in_epoch(1, "r2-" + std::to_string(std::string(left).size()))) << left;
  }
}

TEST_F(RemoteJobTest, AServiceThatTheScriptLeavesBehindHoldsNothingUp) {
  auto pid_file = sshd_.file("service.pid");
  auto started = run(job("r1-1", "sleep 300 & echo $! >" + pid_file + "; echo up"));
  auto service = std::stoi(read_text(pid_file));
  ASSERT_TRUE(started) << started.error();
  EXPECT_EQ(started->out, "up\n");
  EXPECT_EQ(kill(service, 0), 0);
  auto next = run(job("r1-2", "echo next"));
  EXPECT_TRUE(next) << next.error();
  kill(service, SIGKILL);
}

TEST_F(RemoteJobTest, ALongOutputIsCutAndTheScriptStillEnds) {
  auto result = run(job("r1-1", "head -c 10000000 /dev/zero; exit 9"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 9);
  EXPECT_EQ(result->out.size(), output_most);
  EXPECT_TRUE(result->truncated);
  struct stat about;
  ASSERT_EQ(stat(sshd_.file("work/jobs/r1-1.out").c_str(), &about), 0);
  EXPECT_LE(about.st_size, static_cast<off_t>(output_most + 1));
}

TEST_F(RemoteJobTest, BothOutputsAreKeptInTheirOrder) {
  auto result = run(job("r1-1", "echo one; echo two >&2; echo three"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "one\ntwo\nthree\n");
}

TEST_F(RemoteJobTest, OutputThatLooksLikeOurAnswersIsOutput) {
  const std::string said = "shiftd-job done 0\nshiftd-job vanished\ncurrent releases/other\nfound 1\nshiftd-job refused r9-9\n";
  for (int asked = 0; asked < 2; ++asked) {
    auto result = run(job("r1-1", "printf '" + said + "'; exit 7"));
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->exit_status, 7);
    EXPECT_EQ(result->out, said);
  }
}

TEST_F(RemoteJobTest, AScriptMayHoldAnythingThatAShellKnows) {
  auto result = run(job("r1-1", "x='a  \"b\" $c `d`'\ncat <<EOF\n$x \\ %s {} '\nEOF\nprintf '%s|' \"$0\" $#\nset -e; false; echo no"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 1);
  EXPECT_TRUE(result->out.starts_with("a  \"b\" $c `d` \\ %s {} '\n")) << result->out;
}

TEST_F(RemoteJobTest, AScriptThatIsNoShellFails) {
  auto result = run(job("r1-1", "if then ((("));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 2);
}

TEST_F(RemoteJobTest, TheScriptsChildrenSeeNeitherOurLocksNorOurSettings) {
  auto result = run(job("r1-1", "ls /proc/self/fd | tr '\\n' ' '; umask; echo ${LC_ALL-unset}; trap"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "0 1 2 3 0022\nunset\n");
}

TEST_F(RemoteJobTest, AJobThatIgnoresItsEndIsKilled) {
  auto result = run(job("r1-1", "trap '' TERM; echo stubborn; echo $$ >pid; while :; do sleep 1; done", 2s));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::exhausted);
  EXPECT_NE(result.error().what.find("stubborn"), std::string::npos) << result.error();
  // Not only said to be ended. (A process that nobody has buried yet has no command line either.)
  EXPECT_EQ(read_text("/proc/" + std::to_string(std::stoi(read_text(sshd_.file("work/jobs/pid")))) + "/cmdline"), "");
}

TEST_F(RemoteJobTest, WhatALoginFilePrintsIsNotTakenForTheAnswer) {
  SshdServer noisy({.max_startups = "100", .more_config = {}, .file_size_most = 0});
  write_text(noisy.file("home/.bashrc"), "echo Welcome; echo to this host >&2\n");
  auto connector = make_ssh_connector(loop_.clock(), noisy.client());
  auto host = connector->to(noisy.target());
  auto result = loop_.run(host->job({"r1-1", "echo quiet", noisy.file("work"), 10s}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "quiet\n");
}

TEST_F(RemoteJobTest, WhatCannotBeUsedIsRefusedBeforeAnythingIsAsked) {
  struct {
    const char* name;
    RemoteJob given;
  } const cases[] = {
      {"no id", job("", "true")},
      {"an id that climbs", job("../x", "true")},
      {"an id with upper case", job("R1", "true")},
      {"no limit", job("r1", "true", 0ms)},
      {"a relative directory", {"r1", "true", "work", 10s}},
      {"a NUL in the script", job("r1", std::string("a\0b", 3))},
  };
  for (const auto& [name, given] : cases) {
    SCOPED_TRACE(name);
    auto result = run(given);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::bad_input) << result.error();
  }
  EXPECT_EQ(sshd_.log().find("Accepted publickey"), std::string::npos);
}

TEST_F(RemoteJobTest, AJobDirectoryThatCannotBeMadeIsToldInTheHostsWords) {
  auto result = run({"r1-1", "true", "/proc/work", 10s});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().what.find("/proc/work"), std::string::npos) << result.error();
}

TEST_F(RemoteJobTest, AJobWhoseResultCannotGrowTheDiskStillHasOne) {
  SshdServer full({.max_startups = "100", .more_config = {}, .file_size_most = 20'000});
  auto connector = make_ssh_connector(loop_.clock(), full.client());
  auto host = connector->to(full.target());
  auto result =
      loop_.run(host->job({"r1-1", "head -c 1000000 /dev/zero; echo x >>" + full.file("grows") + "; exit 3", full.file("work"), 10s}));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 3);
}

}  // namespace
}  // namespace shiftd
