// The SSH executor against the real sshd: how connections are made, refused, lost and found again.

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"

// libssh2 1.10 forgets the host key, 51 bytes, at each exchange of keys after the first; what is ours must not leak.
extern "C" const char* __lsan_default_suppressions() { return "leak:libssh2.so\n"; }  // NOLINT(bugprone-reserved-identifier)

namespace shiftd {
namespace {

using namespace std::chrono_literals;

class Ssh : public testing::TestWithParam<SshClient> {
 protected:
  static SshOptions client_of(const SshdServer& sshd) {
    auto options = sshd.client();
    options.client = GetParam();
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Clients, Ssh, testing::Values(SshClient::libssh2, SshClient::openssh),
                         [](const auto& client) { return client.param == SshClient::libssh2 ? "Libssh2" : "Openssh"; });

TEST_P(Ssh, RunsACommandAndTellsItsStatusAndBothOutputs) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  auto result = loop.run(host->run("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result) << result.error() << sshd.log();
  EXPECT_EQ(result->exit_status, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
  EXPECT_FALSE(result->truncated);
}

// Whether each socket of this process that leads to `port` sends at once.
std::vector<bool> sends_at_once(int port) {
  std::vector<bool> found;
  for (int fd = 3; fd < 256; ++fd) {
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0 || ntohs(peer.sin_port) != port) continue;
    int no_delay = 0;
    length = sizeof no_delay;
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &length);
    found.push_back(no_delay != 0);
  }
  return found;
}

// A delayed acknowledgement costs 40 ms and more for each command.
TEST(SshOfLibssh2, ACommandDoesNotWaitForDelayedAcknowledgements) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->open()));
  EXPECT_EQ(sends_at_once(sshd.target().port), std::vector<bool>{true});
}

TEST_P(Ssh, ASignalIsAStatusOver128) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  auto result = loop.run(host->run("kill -TERM $$"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 128 + SIGTERM);
}

TEST_P(Ssh, GivesInputAndEndsIt) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  std::string input(3'000'000, 'x');
  auto counted = loop.run(host->run("wc -c", input));
  ASSERT_TRUE(counted) << counted.error();
  EXPECT_EQ(counted->out, "3000000\n");
  auto unread = loop.run(host->run("exit 4", input));
  ASSERT_TRUE(unread) << unread.error();
  EXPECT_EQ(unread->exit_status, 4);
}

TEST_P(Ssh, BytesOfEveryValueComeBackUnchanged) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 7 % 256);
  auto result = loop.run(host->run("cat", bytes));
  ASSERT_TRUE(result) << result.error();
  EXPECT_TRUE(result->out == bytes);
}

TEST_P(Ssh, TenMegabytesOfOutputAreDrainedAndCutAtTheBound) {
  // Keys are exchanged anew midway, which a long output must survive.
  SshdServer sshd({.max_startups = "100", .more_config = "RekeyLimit 2M", .file_size_most = 0});
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  auto result = loop.run(host->run("head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; exit 6"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 6);
  EXPECT_EQ(result->out.size(), output_most);
  EXPECT_EQ(result->err.size(), output_most);
  EXPECT_TRUE(result->truncated);
}

TEST_P(Ssh, TwentyCommandsShareOneConnection) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  auto many = [](Executor& on) -> Task<int> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    int right = 0;
    auto one = [](Executor& asked, int number, int& good) -> Task<> {
      auto word = std::to_string(number);
      auto result = co_await asked.run("head -c 300000 /dev/zero | tr '\\0' x >&2; sleep 0.05; echo " + word);
      if (result && result->out == word + "\n" && result->err.size() == output_most) ++good;
      if (!result) ADD_FAILURE() << result.error();
    };
    for (int i = 0; i < 20; ++i) group.start("one", one(on, i, right));
    co_await group.join();
    co_return right;
  };
  EXPECT_EQ(loop.run(many(*host)), 20);
  auto log = sshd.log();
  auto first = log.find("Accepted publickey");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("Accepted publickey", first + 1), std::string::npos) << "a second connection";
}

// How many commands sshd has been asked to start.
std::size_t commands_begun(const SshdServer& sshd) {
  std::size_t count = 0;
  auto log = sshd.log();
  for (auto at = log.find("Starting session: command"); at != std::string::npos; at = log.find("Starting session: command", at + 1))
    ++count;
  return count;
}

Task<Result<void>> stand_by(Executor& host) {
  co_await host.stand_by();
  co_return Result<void>{};
}

RemoteJob small_job(const SshdServer& sshd, std::string id) { return {std::move(id), "echo ran", sshd.file("work"), 10s}; }

// As long as nobody knows whether it ran, the job is asked for again.
Task<Result<CommandResult>> job_until_known(Executor& host, RemoteJob job) {
  while (true) {
    auto result = co_await host.job(job);
    if (result || result.error().code != Errc::timed_out) co_return result;
  }
}

TEST(SshOfLibssh2, AShellThatStandsByIsTheNextJobs) {
  SshdServer sshd({.max_startups = "100", .more_config = "LogLevel VERBOSE", .file_size_most = 0});
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(stand_by(*host)));
  ASSERT_TRUE(loop.run(stand_by(*host)));
  ASSERT_EQ(commands_begun(sshd), 1u) << sshd.log();
  auto first = loop.run(host->job(small_job(sshd, "job-1")));
  ASSERT_TRUE(first) << first.error();
  EXPECT_EQ(first->out, "ran\n");
  EXPECT_EQ(commands_begun(sshd), 1u) << "the waiting shell was not used";
  auto second = loop.run(host->job(small_job(sshd, "job-2")));
  ASSERT_TRUE(second) << second.error();
  EXPECT_EQ(commands_begun(sshd), 2u);
}

TEST_P(Ssh, AQuestionIsAnsweredAsACommandIs) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  for (int time = 0; time < 2; ++time) {
    auto plain = loop.run(host->ask("echo said; cat"));
    ASSERT_TRUE(plain) << plain.error();
    EXPECT_EQ(plain->out, "said\n");
    EXPECT_EQ(plain->exit_status, 0);
    auto left = loop.run(host->ask("cd / && left=here; printf 'no newline'; exit 3"));
    ASSERT_TRUE(left) << left.error();
    EXPECT_EQ(left->out, "no newline");
    EXPECT_EQ(left->exit_status, 3);
    auto silent = loop.run(host->ask("[ -z \"$left\" ] && [ \"$PWD\" != / ]"));
    ASSERT_TRUE(silent) << silent.error();
    EXPECT_EQ(silent->out, "");
    EXPECT_EQ(silent->exit_status, 0) << "one question is not another's";
  }
  // What looks like an answer is none.
  auto posed = loop.run(host->ask("printf '\\nshiftd-answer-0 0\\n'"));
  ASSERT_TRUE(posed) << posed.error();
  EXPECT_EQ(posed->out, "\nshiftd-answer-0 0\n");
  auto much = loop.run(host->ask("head -c 200000 /dev/zero"));
  ASSERT_TRUE(much) << much.error();
  EXPECT_EQ(much->out.size(), 200'000u);
}

TEST(SshOfLibssh2, TheShellThatAnsweredIsTheNextJobs) {
  SshdServer sshd({.max_startups = "100", .more_config = "LogLevel VERBOSE", .file_size_most = 0});
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->ask("true")));
  ASSERT_TRUE(loop.run(host->ask("exit 1")));
  ASSERT_TRUE(loop.run(stand_by(*host)));
  auto first = loop.run(host->job(small_job(sshd, "job-1")));
  ASSERT_TRUE(first) << first.error();
  EXPECT_EQ(first->out, "ran\n");
  EXPECT_EQ(commands_begun(sshd), 1u) << sshd.log();
}

// As a script takes what it is sent, in a shell that stays or in none (Executor::send).
std::string taking(const std::string& what) { return "command -v shiftd_take >/dev/null || shiftd_take() { cat; }\n" + what; }

TEST(SshOfLibssh2, TheShellThatAnsweredTakesAFileAndIsTheNextJobs) {
  SshdServer sshd({.max_startups = "100", .more_config = "LogLevel VERBOSE", .file_size_most = 0});
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->ask("true")));
  std::string bytes(3'000'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i % 251);
  write_text(sshd.file("local"), bytes);
  auto taken =
      loop.run(host->send(sshd.file("local"), taking("cd / && left=here\nshiftd_take >" + sshd.file("there") + " && echo whole"), 10s));
  ASSERT_TRUE(taken) << taken.error();
  EXPECT_EQ(taken->out, "whole\n");
  EXPECT_TRUE(read_text(sshd.file("there")) == bytes);
  // One that has no use for it leaves nothing behind; nor does it come to what reads its input.
  auto unwanted = loop.run(host->send(sshd.file("local"), taking("cat; [ -z \"$left\" ] && [ \"$PWD\" != / ] && echo no"), 10s));
  ASSERT_TRUE(unwanted) << unwanted.error();
  EXPECT_EQ(unwanted->out, "no\n");
  auto job = loop.run(host->job(small_job(sshd, "job-1")));
  ASSERT_TRUE(job) << job.error();
  EXPECT_EQ(job->out, "ran\n");
  EXPECT_EQ(commands_begun(sshd), 1u) << sshd.log();
}

// Its rest is full of commands.
TEST(SshOfLibssh2, AShellWhoseProgramFailsTakesNoneOfAFileForCommands) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  auto host = connector->to(sshd.target());
  std::string commands;
  while (commands.size() < 500'000) commands += "touch " + sshd.file("harm") + "\n";
  write_text(sshd.file("local"), commands);
  for (const auto* fails : {"shiftd_take | head -c 5; echo >&2 full; exit 7", "echo >&2 full; exit 7"}) {
    ASSERT_TRUE(loop.run(host->ask("true")));
    auto left = loop.run(host->send(sshd.file("local"), taking(fails), 10s));
    ASSERT_TRUE(left) << left.error();
    EXPECT_EQ(left->exit_status, 7);
    EXPECT_EQ(left->err, "full\n");
  }
  auto after = loop.run(host->ask("[ ! -e " + sshd.file("harm") + " ]"));
  ASSERT_TRUE(after) << after.error();
  EXPECT_EQ(after->exit_status, 0);
}

TEST(SshOfLibssh2, ShellsStayOnAFewHostsOnly) {
  SshdServer sshd({.max_startups = "100", .more_config = "LogLevel VERBOSE", .file_size_most = 0});
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), sshd.client());
  std::vector<std::unique_ptr<Executor>> hosts;
  for (std::size_t n = 0; n <= shells_left_most; ++n) {
    hosts.push_back(connector->to(sshd.target()));
    ASSERT_TRUE(loop.run(hosts.back()->ask("true")));
  }
  ASSERT_EQ(commands_begun(sshd), shells_left_most + 1);
  ASSERT_TRUE(loop.run(hosts.back()->job(small_job(sshd, "job-1"))));
  EXPECT_EQ(commands_begun(sshd), shells_left_most + 2) << "a shell has stayed on the last host";
  ASSERT_TRUE(loop.run(hosts.front()->job(small_job(sshd, "job-2"))));
  EXPECT_EQ(commands_begun(sshd), shells_left_most + 2) << "none has stayed on the first";
  // Its place is another's now.
  ASSERT_TRUE(loop.run(hosts.back()->ask("true")));
  ASSERT_TRUE(loop.run(hosts.back()->job(small_job(sshd, "job-3"))));
  EXPECT_EQ(commands_begun(sshd), shells_left_most + 3);
}

TEST_P(Ssh, AShellThatEndsWhileItIsAskedIsNotMissed) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->ask("true")));
  auto once = "[ -e " + sshd.file("seen") + " ] || { touch " + sshd.file("seen") + "; kill -9 $$; }; echo asked twice";
  auto asked = loop.run(host->ask(once));
  if (GetParam() == SshClient::libssh2) {
    ASSERT_TRUE(asked) << asked.error();
    EXPECT_EQ(asked->out, "asked twice\n");
  }
  auto result = loop.run(job_until_known(*host, small_job(sshd, "job-1")));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "ran\n");
}

TEST_P(Ssh, AShellThatNoLongerStandsByIsNotMissed) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(stand_by(*host)));
  // What the host ends: every shell of this connection but the one that asks.
  auto ended = loop.run(host->run("for pid in $(pgrep -P $PPID); do [ $pid = $$ ] || kill -9 $pid; done"));
  ASSERT_TRUE(ended) << ended.error();
  auto result = loop.run(job_until_known(*host, small_job(sshd, "job-1")));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "ran\n");
  // A connection that is gone.
  ASSERT_TRUE(loop.run(stand_by(*host)));
  sshd.kill_sessions();
  auto again = loop.run(job_until_known(*host, small_job(sshd, "job-2")));
  ASSERT_TRUE(again) << again.error();
  EXPECT_EQ(again->out, "ran\n");
}

TEST_P(Ssh, ACommandThatDoesNotEndIsTimedOutAndLeavesTheConnectionToOthers) {
  SshdServer sshd;
  OnALoop loop;
  auto options = client_of(sshd);
  options.command_timeout = 1500ms;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to(sshd.target());
  auto result = loop.run(host->run("sleep 30"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::timed_out) << result.error();
  EXPECT_TRUE(loop.run(host->run("true")));
  auto log = sshd.log();
  EXPECT_EQ(log.find("Accepted publickey"), log.rfind("Accepted publickey")) << "a second connection";
}

TEST_P(Ssh, AFrozenHostIsTimedOutDuringACommandAndUnreachableBefore) {
  SshdServer sshd;
  OnALoop loop;
  auto options = client_of(sshd);
  options.command_timeout = 1500ms;
  options.connect_timeout = 1500ms;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->run("true")));
  sshd.freeze();
  auto asked = loop.run(host->run("true"));
  ASSERT_FALSE(asked);
  // No channel was opened, so that nothing can have been run; ssh(1) does not let us be so sure.
  EXPECT_EQ(asked.error().code, GetParam() == SshClient::libssh2 ? Errc::unreachable : Errc::timed_out) << asked.error();
  auto opened = loop.run(host->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unreachable) << opened.error();
  sshd.thaw();
  auto thawed = loop.run(host->run("true"));
  EXPECT_TRUE(thawed) << thawed.error();
}

TEST_P(Ssh, SilenceOnAConnectionIsNoticed) {
  SshdServer sshd;
  OnALoop loop;
  auto options = client_of(sshd);
  options.keepalive = 3s;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->open()));
  auto freeze_then_wait = [](Clock& clock, SshdServer& server, Executor& asked) -> Task<Result<CommandResult>> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    auto freeze = [](Clock& time, SshdServer& frozen) -> Task<> {
      co_await time.sleep_for(200ms);
      frozen.freeze();
    };
    group.start("freeze", freeze(clock, server));
    auto result = co_await asked.run("sleep 60");
    co_await group.join();
    co_return result;
  };
  auto start = loop.clock().steady();
  auto result = loop.run(freeze_then_wait(loop.clock(), sshd, *host));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::timed_out);
  auto words = GetParam() == SshClient::libssh2 ? "no sign of life" : "connection lost";
  EXPECT_NE(result.error().what.find(words), std::string::npos) << result.error();
  EXPECT_LT(loop.clock().steady() - start, 30s);
}

TEST(SshOfLibssh2, AHostThatAnswersKeepalivesIsLeftAlone) {
  SshdServer sshd;
  OnALoop loop;
  auto options = sshd.client();
  options.keepalive = 3s;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to(sshd.target());
  auto result = loop.run(host->run("sleep 7; echo awake"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "awake\n");
}

TEST_P(Ssh, AHostThatIsNotThereIsUnreachable) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto target = sshd.target();
  target.port = free_port();
  auto nobody = loop.run(connector->to(target)->open());
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, Errc::unreachable);
  EXPECT_NE(nobody.error().what.find("web1 (127.0.0.1:"), std::string::npos) << nobody.error();
  target.address = "no-such-host.invalid";
  auto nowhere = loop.run(connector->to(target)->open());
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Errc::unreachable) << nowhere.error();
}

TEST_P(Ssh, AListenerThatNeverSpeaksIsUnreachableAfterTheTimeout) {
  OnALoop loop;
  SshdServer sshd;
  boost::asio::ip::tcp::acceptor silent(loop.context(), {boost::asio::ip::address_v4::loopback(), 0});
  auto options = client_of(sshd);
  options.connect_timeout = 300ms;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto opened = loop.run(connector->to({"mute", "127.0.0.1", silent.local_endpoint().port()})->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unreachable) << opened.error();
}

TEST_P(Ssh, AListenerThatHangsUpIsTriedAgainUntilTheTimeout) {
  OnALoop loop;
  SshdServer sshd;
  boost::asio::ip::tcp::acceptor rude(loop.context(), {boost::asio::ip::address_v4::loopback(), 0});
  auto options = client_of(sshd);
  options.connect_timeout = 2s;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to({"rude", "127.0.0.1", rude.local_endpoint().port()});
  int connections = 0;
  auto hang_up = [](boost::asio::ip::tcp::acceptor& on, Executor& asked, int& count) -> Task<Result<void>> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    auto serve = [](boost::asio::ip::tcp::acceptor& listener, int& taken) -> Task<> {
      for (;; ++taken) (void)co_await listener.async_accept(boost::asio::use_awaitable);
    };
    group.start("serve", serve(on, count));
    auto opened = co_await asked.open();
    group.stop();
    co_await group.join();
    co_return opened;
  };
  auto opened = loop.run(hang_up(rude, *host, connections));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unreachable) << opened.error();
  EXPECT_GE(connections, 3);
}

// Opens a connection to a listener that says `words` to everybody and hangs up when told.
Result<void> open_to_one_that_says(SshClient client, std::string words, bool hangs_up) {
  OnALoop loop;
  SshdServer sshd;
  auto options = sshd.client();
  options.client = client;
  options.connect_timeout = 500ms;
  boost::asio::ip::tcp::acceptor listener(loop.context(), {boost::asio::ip::address_v4::loopback(), 0});
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to({"other", "127.0.0.1", listener.local_endpoint().port()});
  auto serve = [](boost::asio::ip::tcp::acceptor& on, std::string text, bool closes) -> Task<> {
    std::vector<boost::asio::ip::tcp::socket> kept;
    while (true) {
      auto socket = co_await on.async_accept(boost::asio::use_awaitable);
      co_await boost::asio::async_write(socket, boost::asio::buffer(text), boost::asio::use_awaitable);
      // Its half only: a socket closed before it was read resets the connection, and chance decides which of the two is heard.
      if (closes) socket.shutdown(boost::asio::ip::tcp::socket::shutdown_send);
      kept.push_back(std::move(socket));
    }
  };
  return loop.run(beside(serve(listener, std::move(words), hangs_up), host->open()));
}

TEST_P(Ssh, WhatSpeaksSomethingElseIsUnreachable) {
  auto garbage = open_to_one_that_says(GetParam(), std::string(20'000, 'x'), false);
  ASSERT_FALSE(garbage);
  EXPECT_EQ(garbage.error().code, Errc::unreachable);
  EXPECT_NE(garbage.error().what.find("does not speak SSH"), std::string::npos) << garbage.error();
}

TEST_P(Ssh, AServerThatIsFullIsToldInItsWords) {
  auto full = open_to_one_that_says(GetParam(), "Exceeded MaxStartups\r\n", true);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::unreachable);
  auto words = GetParam() == SshClient::libssh2 ? "Exceeded MaxStartups" : "closed by remote host";
  EXPECT_NE(full.error().what.find(words), std::string::npos) << full.error();
}

TEST_P(Ssh, ThirtyConnectionsAtOncePassAServerThatDropsTheFifth) {
  SshdServer sshd({.max_startups = "4:30:8", .more_config = {}, .file_size_most = 0});
  OnALoop loop;
  auto options = client_of(sshd);
  options.connect_timeout = 60s;
  auto connector = make_ssh_connector(loop.clock(), options);
  std::vector<std::unique_ptr<Executor>> hosts;
  for (int i = 0; i < 30; ++i) hosts.push_back(connector->to(sshd.target()));
  auto all = [](std::vector<std::unique_ptr<Executor>>& of) -> Task<int> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    int right = 0;
    auto one = [](Executor& host, int& good) -> Task<> {
      auto result = co_await host.run("echo here");
      if (result && result->out == "here\n") ++good;
      if (!result) ADD_FAILURE() << result.error();
    };
    for (auto& host : of) group.start("one", one(*host, right));
    co_await group.join();
    co_return right;
  };
  EXPECT_EQ(loop.run(all(hosts)), 30);
}

TEST_P(Ssh, ALocalFileIsACommandsInputHoweverLargeItIs) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  std::string bytes(3'000'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i % 251);
  write_text(sshd.file("local"), bytes);
  auto taken = loop.run(host->send(sshd.file("local"), "cat >" + sshd.file("there") + " && echo whole", 10s));
  ASSERT_TRUE(taken) << taken.error();
  EXPECT_EQ(taken->out, "whole\n");
  EXPECT_TRUE(read_text(sshd.file("there")) == bytes);
  auto left = loop.run(host->send(sshd.file("local"), "head -c 5; exit 7", 10s));
  ASSERT_TRUE(left) << left.error();
  EXPECT_EQ(left->exit_status, 7);
}

TEST_P(Ssh, AFileIsGivenUpOnlyWhenNothingMoves) {
  SshdServer sshd;
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), client_of(sshd));
  auto host = connector->to(sshd.target());
  write_text(sshd.file("local"), std::string(30'000'000, 'x'));
  auto stuck = loop.run(host->send(sshd.file("local"), "head -c 20000000 >/dev/null; sleep 60", 300ms));
  ASSERT_FALSE(stuck);
  EXPECT_EQ(stuck.error().code, Errc::timed_out) << stuck.error();
  EXPECT_NE(stuck.error().what.find("no progress"), std::string::npos) << stuck.error();
}

}  // namespace
}  // namespace shiftd
