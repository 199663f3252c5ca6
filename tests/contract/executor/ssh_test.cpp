// The SSH executor against the real sshd: how connections are made, refused, lost and found again.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>
#include <boost/asio/ip/tcp.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

TEST(Ssh, RunsACommandAndTellsItsStatusAndBothOutputs) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  auto result = loop.run(host->run("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result) << result.error() << sshd.log();
  EXPECT_EQ(result->exit_status, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_FALSE(result->truncated);
}

TEST(Ssh, ATrivialCommandAndATrivialJobTakeMilliseconds) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->open()));
  auto fastest_command = 1h + 0ms;
  auto fastest_job = 1h + 0ms;
  for (int i = 0; i < 10; ++i) {
    auto start = loop.clock().steady();
    ASSERT_TRUE(loop.run(host->run("true")));
    auto between = loop.clock().steady();
    auto job = loop.run(host->job({"fast-" + std::to_string(i), "true", sshd.file("lock"), sshd.file("jobs"), 10s}));
    ASSERT_TRUE(job) << job.error();
    fastest_command = std::min(fastest_command, between - start);
    fastest_job = std::min(fastest_job, loop.clock().steady() - between);
  }
  RecordProperty("command_ms", static_cast<int>(fastest_command.count()));
  RecordProperty("job_ms", static_cast<int>(fastest_job.count()));
  std::printf("a command: %d ms, a job: %d ms\n", static_cast<int>(fastest_command.count()), static_cast<int>(fastest_job.count()));
  // 40 ms and more is what a delayed acknowledgement costs: TCP_NODELAY has been lost.
  EXPECT_LT(fastest_command, 35ms);
  EXPECT_LT(fastest_job, 35ms);
}

}  // namespace
}  // namespace shiftd
