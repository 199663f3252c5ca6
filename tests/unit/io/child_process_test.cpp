#include "daemon/io/child_process.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/io/within.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

Program sh(const std::string& script) { return {{"sh", "-c", script}, {"PATH=/usr/bin:/bin", "NAME=value"}}; }

Result<ProgramResult> run(Program program, std::string input = {}, Duration limit = 60s, std::size_t kept = 1'000'000) {
  auto clock = make_system_clock();
  return run_task(run_program(*clock, std::move(program), std::move(input), limit, kept));
}

TEST(ChildProcess, TellsTheStatusAndBothOutputs) {
  auto result = run(sh("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
}

TEST(ChildProcess, ASignalIsAStatusOver128) {
  auto result = run(sh("kill -TERM $$"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 128 + SIGTERM);
}

TEST(ChildProcess, SeesTheEnvironmentItIsGivenAndNoMore) {
  setenv("SHIFTD_TEST_SECRET", "told", 1);
  auto result = run(sh("echo $NAME $SHIFTD_TEST_SECRET"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "value\n");
}

TEST(ChildProcess, InheritsNoDescriptorButItsThree) {
  auto ours = open("/dev/null", O_RDONLY);
  auto result = run(sh("[ ! -e /proc/self/fd/" + std::to_string(ours) + " ]"));
  close(ours);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 0);
}

TEST(ChildProcess, GivesInputAndEndsItWhoeverReads) {
  std::string input(3'000'000, 'x');
  auto counted = run(sh("wc -c"), input);
  ASSERT_TRUE(counted) << counted.error();
  EXPECT_EQ(counted->out, "3000000\n");
  auto unread = run(sh("exit 4"), input);
  ASSERT_TRUE(unread) << unread.error();
  EXPECT_EQ(unread->exit_status, 4);
}

TEST(ChildProcess, LongOutputsAreDrainedAndCutAtTheBound) {
  auto result = run(sh("head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; exit 6"), {}, 60s, 1000);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 6);
  EXPECT_EQ(result->out.size(), 1000U);
  EXPECT_EQ(result->err.size(), 1000U);
  EXPECT_TRUE(result->truncated);
}

TEST(ChildProcess, AProgramThatIsNotThereIsBadInput) {
  for (const auto* name : {"/nonexistent/program", "shiftd-no-such-program", "/etc/passwd"}) {
    auto result = run({{name}, {}});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::bad_input) << result.error();
    EXPECT_NE(result.error().what.find(name), std::string::npos) << result.error();
  }
}

TEST(ChildProcess, OneOverItsLimitIsEndedWithAllThatItStarted) {
  // It says its group's id, and ignores TERM no more than its children do.
  auto result = run(sh("echo group $$ >&2; sleep 600 & sleep 600"), {}, 300ms);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::timed_out) << result.error();
  auto at = result.error().what.find("group ");
  ASSERT_NE(at, std::string::npos) << result.error();
  auto group = std::stoi(result.error().what.substr(at + 6));
  // What its shell started is now init's to reap.
  auto clock = make_system_clock();
  auto gone = [](Clock& time, int whose) -> Task<> {
    while (kill(-whose, 0) == 0) co_await time.sleep_for(10ms);
  };
  run_task(gone(*clock, group));
}

TEST(ChildProcess, WhatItLeavesBehindDoesNotHoldUpItsEnd) {
  auto result = run(sh("sleep 30 & echo $!"), {}, 20s);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 0);
  kill(std::stoi(result->out), SIGKILL);
}

TEST(ChildProcess, ACancelledRunKillsItsProgram) {
  auto clock = make_system_clock();
  pid_t child = 0;
  auto work = [](pid_t& pid) -> Task<Result<void>> {
    auto executor = co_await boost::asio::this_coro::executor;
    Program program{{"sleep", "600"}, {"PATH=/usr/bin:/bin"}};
    auto process = ChildProcess::start(executor, program);
    if (!process) co_return process.error();
    pid = (*process)->pid();
    (void)co_await (*process)->ended();
    co_return Result<void>{};
  };
  auto result = run_task(within(*clock, 100ms, work(child)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::timed_out);
  // Killed and reaped: the loop ran until both were done.
  EXPECT_EQ(kill(child, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProcess, ALongLivedOneIsSpokenToPieceByPiece) {
  auto talk = []() -> Task<std::string> {
    auto executor = co_await boost::asio::this_coro::executor;
    auto program = sh("while read -r line; do echo \"$line?\"; done; echo bye >&2; exit 5");
    auto process = ChildProcess::start(executor, program);
    if (!process) co_return process.error().what;
    std::string heard;
    for (const auto* word : {"one\n", "two\n"}) {
      (void)co_await (*process)->write(word);
      heard += co_await (*process)->read_out();
    }
    EXPECT_TRUE((*process)->running());
    EXPECT_EQ((*process)->take_err(100), "");
    (*process)->end_input();
    heard += co_await (*process)->read_err();
    heard += std::to_string(co_await (*process)->ended());
    EXPECT_FALSE((*process)->running());
    co_return heard;
  };
  EXPECT_EQ(run_task(talk()), "one?\ntwo?\nbye\n5");
}

}  // namespace
}  // namespace shiftd
