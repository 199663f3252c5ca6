// What every Executor keeps: the real one against the real sshd, and the one in memory that other tests build on.

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "daemon/io/task_group.hpp"
#include "daemon/io/within.hpp"
#include "daemon/ssh/local_executor.hpp"
#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/fake_executor.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A host on which a test can put commands, and whose connection it can cut.
class World {
 public:
  virtual ~World() = default;
  virtual Executor& host() = 0;
  // What a daemon that was started anew would use: the same host, nothing remembered.
  virtual Executor& host_after_restart() = 0;
  // Puts a command there that takes `takes`, prints `out` and ends with `status`; returns how it is called.
  virtual std::string command(const std::string& name, const std::string& out, int status = 0, Duration takes = 0ms) = 0;
  // How often a command began.
  virtual int runs(const std::string& name) = 0;
  virtual void drop_connections() = 0;
  virtual std::string job_dir() const = 0;

  OnALoop& loop() { return loop_; }
  RemoteJob job(const std::string& id, const std::string& script, Duration limit = 20s) const { return {id, script, job_dir(), limit}; }

 protected:
  OnALoop loop_;
};

class RealHost final : public World {
 public:
  explicit RealHost(SshClient client) {
    auto options = sshd_.client();
    options.client = client;
    connector_ = make_ssh_connector(loop_.clock(), options);
    again_ = make_ssh_connector(loop_.clock(), options);
    host_ = connector_->to(sshd_.target());
    restarted_ = again_->to(sshd_.target());
  }

  Executor& host() override { return *host_; }
  Executor& host_after_restart() override { return *restarted_; }
  std::string command(const std::string& name, const std::string& out, int status, Duration takes) override {
    auto path = sshd_.file(name);
    write_text(path + ".runs", "");
    write_text(path, "#!/bin/sh\necho >>" + path + ".runs\nsleep " + std::to_string(static_cast<double>(takes.count()) / 1000) +
                         "\nprintf %s '" + out + "'\nexit " + std::to_string(status) + "\n");
    chmod(path.c_str(), 0755);
    return path;
  }
  int runs(const std::string& name) override { return static_cast<int>(read_text(sshd_.file(name) + ".runs").size()); }
  void drop_connections() override { sshd_.kill_sessions(); }
  std::string job_dir() const override { return sshd_.file("jobs"); }

 private:
  SshdServer sshd_;
  std::unique_ptr<SshConnector> connector_;
  std::unique_ptr<SshConnector> again_;
  std::unique_ptr<Executor> host_;
  std::unique_ptr<Executor> restarted_;
};

// Commands on this machine; there is no connection.
class ThisMachine final : public World {
 public:
  Executor& host() override { return *host_; }
  Executor& host_after_restart() override { return *restarted_; }
  std::string command(const std::string& name, const std::string& out, int status, Duration takes) override {
    auto path = directory_.path() + "/" + name;
    write_text(path + ".runs", "");
    write_text(path, "#!/bin/sh\necho >>" + path + ".runs\nsleep " + std::to_string(static_cast<double>(takes.count()) / 1000) +
                         "\nprintf %s '" + out + "'\nexit " + std::to_string(status) + "\n");
    chmod(path.c_str(), 0755);
    return path;
  }
  int runs(const std::string& name) override { return static_cast<int>(read_text(directory_.path() + "/" + name + ".runs").size()); }
  void drop_connections() override {}
  std::string job_dir() const override { return directory_.path() + "/jobs"; }

 private:
  TemporaryDirectory directory_;
  std::unique_ptr<Executor> host_ = make_local_executor(loop_.clock(), 20s);
  std::unique_ptr<Executor> restarted_ = make_local_executor(loop_.clock(), 20s);
};

class MemoryHost final : public World {
 public:
  MemoryHost() : host_(loop_.clock()) {}

  Executor& host() override { return host_; }
  Executor& host_after_restart() override { return host_; }
  std::string command(const std::string& name, const std::string& out, int status, Duration takes) override {
    host_.on(name, {.exit_status = status, .out = out, .err = {}, .truncated = false}, takes);
    return name;
  }
  int runs(const std::string& name) override { return static_cast<int>(std::ranges::count(host_.commands, name)); }
  void drop_connections() override { host_.drop_connection(); }
  std::string job_dir() const override { return "/jobs"; }

 private:
  FakeExecutor host_;
};

struct Kind {
  const char* name;
  std::unique_ptr<World> (*make)();
};

class ExecutorContract : public testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<World> world_ = GetParam().make();
  Executor& host() { return world_->host(); }
  OnALoop& loop() { return world_->loop(); }

  // Runs both at once; the second begins when `begun` says that the first is under way.
  template <class T>
  Task<Result<T>> with_interruption(Task<Result<T>> work, std::function<bool()> begun, std::function<void()> interruption) {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    auto interrupt = [](Clock& clock, std::function<bool()> when, std::function<void()> what) -> Task<> {
      while (!when()) co_await clock.sleep_for(5ms);
      what();
    };
    group.start("interruption", interrupt(loop().clock(), std::move(begun), std::move(interruption)));
    auto result = co_await std::move(work);
    co_await group.join();
    co_return result;
  }
};

// What holds where there is a connection that may break.
class ConnectionContract : public ExecutorContract {};

TEST_P(ExecutorContract, ACommandsStatusAndOutputComeBack) {
  auto greet = world_->command("greet", "hello", 3);
  auto result = loop().run(host().run(greet));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 3);
  EXPECT_EQ(result->out, "hello");
}

TEST_P(ExecutorContract, AnUnknownCommandEndsWith127) {
  auto result = loop().run(host().run("shiftd-no-such-command"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 127);
  EXPECT_NE(result->err, "");
}

TEST_P(ExecutorContract, OpeningTwiceIsOpeningOnce) {
  EXPECT_TRUE(loop().run(host().open()));
  EXPECT_TRUE(loop().run(host().open()));
}

TEST_P(ConnectionContract, AClosedConnectionIsOpenedAgainByTheNextCall) {
  auto greet = world_->command("greet", "hello");
  ASSERT_TRUE(loop().run(host().run(greet)));
  host().close();
  auto result = loop().run(host().run(greet));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "hello");
}

TEST_P(ConnectionContract, AConnectionLostMidwayLeavesTheOutcomeUnknownAndTheNextCallConnectsAgain) {
  auto slow = world_->command("slow", "", 0, 5s);
  auto greet = world_->command("greet", "hello");
  auto begun = [&] { return world_->runs("slow") == 1; };
  auto cut = [&] { world_->drop_connections(); };
  auto work = with_interruption<CommandResult>(host().run(slow), begun, cut);
  auto result = loop().run(std::move(work));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::timed_out) << result.error();
  auto next = loop().run(host().run(greet));
  ASSERT_TRUE(next) << next.error();
  EXPECT_EQ(next->out, "hello");
}

TEST_P(ExecutorContract, ALocalFileThatIsNotThereIsBadInput) {
  auto result = loop().run(host().send("/nonexistent/file", world_->command("take", ""), 10s));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::bad_input) << result.error();
}

TEST_P(ExecutorContract, AJobsStatusAndOutputComeBack) {
  auto step = world_->command("step", "done it", 7);
  auto result = loop().run(host().job(world_->job("r1-1", step)));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 7);
  EXPECT_EQ(result->out, "done it");
}

TEST_P(ExecutorContract, AJobAskedForAgainReturnsItsResultAndRunsOnce) {
  auto step = world_->command("step", "once", 0);
  for (int i = 0; i < 3; ++i) {
    auto& asked = i == 2 ? world_->host_after_restart() : host();
    auto result = loop().run(asked.job(world_->job("r1-2", step)));
    ASSERT_TRUE(result) << result.error();
    EXPECT_EQ(result->out, "once");
  }
  EXPECT_EQ(world_->runs("step"), 1);
}

TEST_P(ExecutorContract, AJobAskedForTwiceAtOnceRunsOnceAndBothGetItsResult) {
  auto step = world_->command("step", "once", 4, 150ms);
  auto both = [](World& world, std::string script) -> Task<int> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    int right = 0;
    auto ask = [](World& on, Executor& asked, std::string what, int& good) -> Task<> {
      auto result = co_await asked.job(on.job("r1-3", what));
      if (result && result->exit_status == 4 && result->out == "once") ++good;
      if (!result) ADD_FAILURE() << result.error();
    };
    for (int i = 0; i < 6; ++i) group.start("ask", ask(world, i % 2 ? world.host_after_restart() : world.host(), script, right));
    co_await group.join();
    co_return right;
  };
  EXPECT_EQ(loop().run(both(*world_, step)), 6);
  EXPECT_EQ(world_->runs("step"), 1);
}

TEST_P(ConnectionContract, AJobOutlivesItsConnectionAndIsJoinedAgain) {
  auto slow = world_->command("slow", "survived", 5, 400ms);
  auto begun = [&] { return world_->runs("slow") == 1; };
  auto cut = [&] { world_->drop_connections(); };
  auto work = with_interruption<CommandResult>(host().job(world_->job("r1-4", slow)), begun, cut);
  auto lost = loop().run(std::move(work));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::timed_out) << lost.error();
  auto result = loop().run(world_->host_after_restart().job(world_->job("r1-4", slow)));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 5);
  EXPECT_EQ(result->out, "survived");
  EXPECT_EQ(world_->runs("slow"), 1);
}

TEST_P(ExecutorContract, ALockThatAnotherJobHoldsIsRefusedAndSaysWhose) {
  auto slow = world_->command("slow", "", 0, 3s);
  auto quick = world_->command("quick", "mine");
  std::optional<Result<CommandResult>> refused;
  auto second = [](World& world, std::string script) -> Task<Result<CommandResult>> {
    while (world.runs("slow") == 0) co_await world.loop().clock().sleep_for(5ms);
    co_return co_await world.host_after_restart().job(world.job("r2-1", script));
  };
  auto first = [&](World& world, Task<Result<CommandResult>> other) -> Task<Result<CommandResult>> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    auto keep = [](Task<Result<CommandResult>> task, std::optional<Result<CommandResult>>& into) -> Task<> {
      into.emplace(co_await std::move(task));
    };
    group.start("second", keep(std::move(other), refused));
    auto result = co_await world.host().job(world.job("r1-5", slow));
    co_await group.join();
    co_return result;
  };
  auto held = loop().run(first(*world_, second(*world_, quick)));
  ASSERT_TRUE(held) << held.error();
  ASSERT_TRUE(refused);
  ASSERT_FALSE(*refused);
  EXPECT_EQ(refused->error().code, Errc::refused);
  EXPECT_NE(refused->error().what.find("r1-5"), std::string::npos) << refused->error();
  // A refused job has not been used up: it may be asked for again.
  auto later = loop().run(host().job(world_->job("r2-1", quick)));
  ASSERT_TRUE(later) << later.error();
  EXPECT_EQ(later->out, "mine");
}

TEST_P(ExecutorContract, AJobOverItsLimitIsEndedAndSaysSoEveryTimeItIsAskedFor) {
  auto endless = world_->command("endless", "", 0, 60s);
  for (int i = 0; i < 2; ++i) {
    auto result = loop().run(host().job(world_->job("r1-6", endless, 1s)));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::exhausted) << result.error();
  }
  EXPECT_EQ(world_->runs("endless"), 1);
}

TEST_P(ExecutorContract, LookingForAJobStartsNothing) {
  auto none = loop().run(host().job_result(world_->job_dir(), "r9-9"));
  ASSERT_TRUE(none) << none.error();
  EXPECT_FALSE(*none);
  auto step = world_->command("step", "found", 2);
  ASSERT_TRUE(loop().run(host().job(world_->job("r1-7", step))));
  auto found = loop().run(host().job_result(world_->job_dir(), "r1-7"));
  ASSERT_TRUE(found) << found.error();
  ASSERT_TRUE(*found);
  EXPECT_EQ((*found)->exit_status, 2);
  EXPECT_EQ((*found)->out, "found");
}

// Whoever waits for it goes away, as shiftd does when it is stopped.
TEST(LocalExecutor, AJobOutlivesWhoAskedForIt) {
  ThisMachine world;
  auto slow = world.command("slow", "survived", 5, 500ms);
  auto asks = [&]() -> Task<Result<CommandResult>> {
    auto asking = world.host().job(world.job("r1-1", slow));
    co_return co_await within(world.loop().clock(), 100ms, std::move(asking));
  };
  auto given_up = world.loop().run(asks());
  ASSERT_FALSE(given_up);
  EXPECT_EQ(given_up.error().code, Errc::timed_out);
  auto result = world.loop().run(world.host_after_restart().job(world.job("r1-1", slow)));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->exit_status, 5);
  EXPECT_EQ(result->out, "survived");
  EXPECT_EQ(world.runs("slow"), 1);
}

constexpr Kind libssh2{"Libssh2", [] { return std::unique_ptr<World>(std::make_unique<RealHost>(SshClient::libssh2)); }};
constexpr Kind openssh{"Openssh", [] { return std::unique_ptr<World>(std::make_unique<RealHost>(SshClient::openssh)); }};
constexpr Kind memory{"Memory", [] { return std::unique_ptr<World>(std::make_unique<MemoryHost>()); }};
constexpr Kind local{"Local", [] { return std::unique_ptr<World>(std::make_unique<ThisMachine>()); }};

std::string name_of_kind(const testing::TestParamInfo<Kind>& kind) { return kind.param.name; }

INSTANTIATE_TEST_SUITE_P(Hosts, ExecutorContract, testing::Values(libssh2, openssh, memory, local), name_of_kind);
INSTANTIATE_TEST_SUITE_P(Hosts, ConnectionContract, testing::Values(libssh2, openssh, memory), name_of_kind);

}  // namespace
}  // namespace shiftd
