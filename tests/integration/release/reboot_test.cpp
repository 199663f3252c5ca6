// A host that is rebooted: the real sshd goes down with all its connections, and comes up with another boot id.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/release/reboot.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/tarball.hpp"
#include "tests/fakes/fake_executor.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/simulated_clock.hpp"
#include "tests/fakes/succeeded.hpp"
#include "tests/integration/release/release_host.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

class RebootTest : public testing::TestWithParam<SshClient>, public ReleaseHost {
 protected:
  RebootTest() : ReleaseHost(GetParam()) {
    options_.restart = "cat {{path}}/current/version >{{path}}/running && echo >>{{path}}/restarts";
    options_.version_command = "basename $(readlink {{path}}/current)";
    options_.reboot = "echo >>{{path}}/reboots";
    options_.boot_id = sshd_.file("boot_id/{{host}}");
    options_.reboot_limit = 30s;
    fs::create_directories(sshd_.file("boot_id"));
    write_text(boot_id(), "first\n");
    release_ = make_release("1.0");
    begin_life();
    EXPECT_TRUE(succeeded(loop_.run(releaser_->prepare(place_, release_))));
    EXPECT_TRUE(succeeded(loop_.run(releaser_->upgrade(place_, release_, "r1-1"))));
  }

  [[nodiscard]] std::string boot_id() const { return sshd_.file("boot_id/web1"); }

  // What a daemon that has just been started has of the host: nothing.
  void begin_life() {
    auto ssh = sshd_.client();
    ssh.client = GetParam();
    releaser_.reset();
    host_.reset();
    connector_ = make_ssh_connector(loop_.clock(), ssh);
    host_ = connector_->to(sshd_.target());
    releaser_ = with_restarts(make_tarball_releaser(loop_.clock(), options_, *this), make_reboot(loop_.clock(), options_, *this));
  }

  [[nodiscard]] int lines_of(const std::string& name) const {
    auto text = read_text(at(name));
    return static_cast<int>(std::ranges::count(text, '\n'));
  }
  [[nodiscard]] int reboots() const { return lines_of("reboots"); }

  void power_off() {
    sshd_.power_off();
    write_text(at("off"), "");
  }
  void power_on() {
    write_text(boot_id(), "second\n");
    sshd_.power_on();
  }

  // The machine below: it goes down when it is asked to, and perhaps comes up again.
  Task<> machine(bool comes_up) {
    while (!fs::exists(at("reboots"))) co_await loop_.clock().sleep_for(10ms);
    power_off();
    if (comes_up) power_on();
  }

  Task<Result<void>> on_the_machine(std::string job, bool comes_up) {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    group.start("machine", machine(comes_up));
    auto done = co_await releaser_->upgrade(place_, reboot_, std::move(job));
    group.stop();
    co_await group.join();
    co_return done;
  }
  Result<void> reboot(const std::string& job, bool comes_up = true) { return loop_.run(on_the_machine(job, comes_up)); }

  // The daemon is killed while it waits for a host that is down.
  Task<Result<void>> begun_and_killed(std::string job) {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    auto asked = [](Releaser& releaser, HostPlace place, Release release, std::string id) -> Task<> {
      co_await releaser.upgrade(std::move(place), std::move(release), std::move(id));
      ADD_FAILURE() << "the host is down";
    };
    group.start("daemon", asked(*releaser_, place_, reboot_, std::move(job)));
    co_await machine(false);
    group.stop();
    co_await group.join();
    co_return Result<void>{};
  }

  Release release_;
  const Release reboot_{std::string(reboot_version), std::string(reboot_version), ""};
  std::unique_ptr<Releaser> releaser_;
};

INSTANTIATE_TEST_SUITE_P(Clients, RebootTest, testing::Values(SshClient::libssh2, SshClient::openssh),
                         [](const auto& client) { return client.param == SshClient::libssh2 ? "Libssh2" : "Openssh"; });

TEST_P(RebootTest, EndsWhenTheHostHasBootedAndBringsNothing) {
  ASSERT_TRUE(succeeded(loop_.run(releaser_->check_source(reboot_))));
  EXPECT_EQ(loop_.run(releaser_->prepare(place_, reboot_)).value().current, release_.digest);
  ASSERT_TRUE(succeeded(reboot("r2-1")));
  EXPECT_EQ(reboots(), 1);
  EXPECT_EQ(read_text(boot_id()), "second\n");
  EXPECT_EQ(lines_of("restarts"), 1) << "of the release before";
  EXPECT_EQ(fs::read_symlink(at("current")).string(), "releases/" + release_.digest);
  EXPECT_TRUE(succeeded(loop_.run(releaser_->prove_running(place_, reboot_.digest))));
}

// However the command ends: it may come back at once, be in the way of the machine, or tell nobody any more.
TEST_P(RebootTest, WhatBecomesOfTheCommandIsNoFailureOnceTheHostHasBooted) {
  for (const std::string then : {"pkill -9 -s 0", "kill -9 0", "while [ ! -e {{path}}/off ]; do sleep 0.02; done; exit 1"}) {
    SCOPED_TRACE(then);
    fs::remove(at("reboots"));
    fs::remove(at("off"));
    write_text(boot_id(), "first\n");
    options_.reboot = "echo >>{{path}}/reboots; " + then;
    begin_life();
    auto job = "r2-" + std::to_string(then.size());
    EXPECT_TRUE(succeeded(reboot(job)));
    EXPECT_TRUE(succeeded(reboot(job))) << "the same job again";
    EXPECT_EQ(reboots(), 1);
  }
}

TEST_P(RebootTest, ADaemonThatIsKilledMeanwhileRebootsNoHostTwice) {
  ASSERT_TRUE(succeeded(loop_.run(begun_and_killed("r2-1"))));
  begin_life();
  auto nobody = loop_.run(releaser_->upgrade(place_, reboot_, "r2-1"));
  ASSERT_FALSE(nobody);
  EXPECT_TRUE(retryable(nobody.error().code)) << nobody.error();
  power_on();
  EXPECT_TRUE(succeeded(loop_.run(releaser_->upgrade(place_, reboot_, "r2-1"))));
  begin_life();
  EXPECT_TRUE(succeeded(loop_.run(releaser_->upgrade(place_, reboot_, "r2-1")))) << "and killed again, when it was over";
  EXPECT_EQ(reboots(), 1);
}

TEST_P(RebootTest, AHostThatNeverComesBackIsNamed) {
  options_.reboot_limit = 1s;
  begin_life();
  auto lost = reboot("r2-1", false);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::refused) << "nothing that is tried again";
  EXPECT_THAT(lost.error().what, HasSubstr("reboot web1: it has not come back within 1s: ")) << lost.error();
}

TEST_P(RebootTest, AHostThatIsOnlyAskedToHasNotRebooted) {
  options_.reboot = "true";
  options_.reboot_limit = 1s;
  begin_life();
  auto same = loop_.run(releaser_->upgrade(place_, reboot_, "r2-1"));
  ASSERT_FALSE(same);
  EXPECT_EQ(same.error().code, Errc::refused);
  EXPECT_THAT(same.error().what, HasSubstr("reboot web1: it has not come back within 1s: its boot id is the same still")) << same.error();
}

TEST_P(RebootTest, ACommandThatFailsIsRefusedWithWhatItSaid) {
  options_.reboot = "echo not allowed; exit 3";
  begin_life();
  for (int time : {1, 2}) {
    auto failed = loop_.run(releaser_->upgrade(place_, reboot_, "r2-1"));
    ASSERT_FALSE(failed) << time;
    EXPECT_EQ(failed.error(), (Failure{Errc::refused, "reboot web1 ended with 3: not allowed"}));
  }
}

TEST_P(RebootTest, AHostWhoseBootsCannotBeToldApartIsNotRebooted) {
  for (const auto* text : {"", "none"}) {
    SCOPED_TRACE(text);
    fs::remove(boot_id());
    if (*text == '\0') write_text(boot_id(), text);
    auto failed = loop_.run(releaser_->upgrade(place_, reboot_, std::string("r2-1") + text));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Errc::refused);
    EXPECT_THAT(failed.error().what, HasSubstr(boot_id() + " names no boot")) << failed.error();
    EXPECT_FALSE(fs::exists(at("reboots")));
  }
}

TEST_P(RebootTest, AJobThatWasNotLetInIsAskedAgain) {
  auto held = "flock " + at(".shiftd/lock") + " sh -c 'echo >" + at("held") + "; while [ ! -e " + at("free") + " ]; do sleep 0.02; done'";
  Process other({.command = {"sh", "-c", held}, .environment = {}, .output = ""});
  ASSERT_TRUE(eventually([&] { return fs::exists(at("held")); }));
  auto refused = loop_.run(releaser_->upgrade(place_, reboot_, "r2-1"));
  write_text(at("free"), "");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(retryable(refused.error().code)) << refused.error();
  ASSERT_TRUE(eventually([&] { return !other.running(); }));
  EXPECT_TRUE(succeeded(reboot("r2-1")));
  EXPECT_EQ(reboots(), 1);
}

// The mark that keeps the job from running twice is on the disk before the host goes.
TEST(RebootScript, SyncsWhatItWroteDownAndOnlyThenReboots) {
  TemporaryDirectory job;
  auto in_job = [&](const std::string& name) { return job.path() + "/" + name; };
  write_text(in_job("id"), "first\n");
  fs::create_directories(in_job("bin"));
  write_text(in_job("r1-1.script"),
             "cd " + job.path() + "; PATH=" + in_job("bin") + ":$PATH\n" + reboot_script(in_job("id"), "echo reboot >>log"));
  for (const std::string status : {"1", "0"}) {
    write_text(in_job("bin/sync"), "#!/bin/sh\necho sync \"$@\" >>log; cat r1-1.boot_id >>log; exit " + status + "\n");
    fs::permissions(in_job("bin/sync"), fs::perms::owner_all);
    EXPECT_EQ(Process::run({"sh", in_job("r1-1.script")}), std::stoi(status));
  }
  auto mark = in_job("r1-1.boot_id");
  EXPECT_EQ(read_text(in_job("log")), "sync -f " + mark + "\nfirst\nsync -f " + mark + "\nfirst\nreboot\n");
}

// A host in memory, for what takes minutes or depends on the moment.
class RebootOfAFakeTest : public testing::Test, public Hosts {
 public:
  ~RebootOfAFakeTest() override { host_.leave_loop(); }

 protected:
  RebootOfAFakeTest() {
    options_.path = "/srv/web";
    options_.reboot = "reboot-now";
    host_.on("reboot-now", CommandResult{});
    host_.on("before=$(cat ./'r1-1.boot_id')", CommandResult{.exit_status = same_boot_status, .out = {}, .err = {}, .truncated = false});
  }
  Executor& executor(const std::string&) override { return host_; }

  // What happens to the host, by when.
  using Happenings = std::vector<std::pair<Duration, std::function<void()>>>;
  Result<void> reboot(const Happenings& happenings = {}) {
    began_ = clock_.steady();
    std::vector<std::unique_ptr<Clock::Alarm>> alarms;
    for (const auto& [when, what] : happenings) alarms.push_back(clock_.alarm(loop_.get_executor(), began_ + when, what));
    std::optional<Result<void>> ended;
    auto end = [&](std::exception_ptr error, Result<void> result) {
      if (error) std::rethrow_exception(error);
      ended = std::move(result);
    };
    boost::asio::co_spawn(loop_, make_reboot(clock_, options_, *this)({"web1", "10.0.0.1:80"}, "r1-1"), end);
    clock_.run(loop_, [&] { return ended.has_value(); });
    return std::move(*ended);
  }
  [[nodiscard]] Duration took() const { return clock_.steady() - began_; }
  std::function<void()> boots() {
    return [this] { host_.on("before=$(cat ./'r1-1.boot_id')", CommandResult{}); };
  }

  SimulatedClock clock_;
  Steady began_{};
  boost::asio::io_context loop_{1};
  FakeExecutor host_{clock_};
  ReleaseOptions options_;
};

TEST_F(RebootOfAFakeTest, EachLookIsAConnectionOfItsOwn) {
  EXPECT_TRUE(succeeded(reboot({{60s, boots()}})));
  EXPECT_GT(host_.opened, 10);
  EXPECT_LT(host_.opened, 30) << "ever more seldom";
  EXPECT_EQ(host_.opened, std::ssize(host_.commands)) << "the job, and looks";
  EXPECT_LE(took(), 65s);
}

TEST_F(RebootOfAFakeTest, WhoLetsNobodyInIsStillOnTheWay) {
  auto down = [this] { host_.go_down({Errc::unreachable, "no route"}); };
  auto nologin = [this] { host_.go_down({Errc::unauthenticated, "no key was accepted"}); };
  auto up = [this] {
    host_.come_up();
    boots()();
  };
  EXPECT_TRUE(succeeded(reboot({{1s, nologin}, {3s, down}, {200s, nologin}, {210s, up}})));
}

TEST_F(RebootOfAFakeTest, NobodyAtAllIsAskedAgain) {
  for (auto code : {Errc::unreachable, Errc::unauthenticated}) {
    host_.go_down({code, "nobody"});
    EXPECT_EQ(reboot().error(), (Failure{Errc::unreachable, "reboot web1: nobody"}));
  }
  host_.come_up();
  boots()();
  EXPECT_TRUE(succeeded(reboot()));
}

TEST_F(RebootOfAFakeTest, TenMinutesAreEnough) {
  auto lost = reboot();
  EXPECT_EQ(lost.error(), (Failure{Errc::refused, "reboot web1: it has not come back within 10m: its boot id is the same still"}));
  EXPECT_EQ(took(), 10min);
}

// The host has not gone, and the job is asked how it ended.
TEST_F(RebootOfAFakeTest, ACommandThatFailsAfterTheConnectionWasLostHasFailed) {
  host_.on("reboot-now", CommandResult{.exit_status = 3, .out = "too busy", .err = {}, .truncated = false}, 5s);
  auto failed = reboot({{1s, [this] { host_.drop_connection(); }}});
  EXPECT_EQ(failed.error(), (Failure{Errc::refused, "reboot web1 ended with 3: too busy"}));
  EXPECT_LT(took(), 15s);
  EXPECT_EQ(std::ranges::count_if(host_.commands, [](const auto& text) { return text.find("reboot-now") != text.npos; }), 1);
}

TEST_P(RebootTest, NobodyRebootsAHostOfAServiceThatDoesNotSayHow) {
  options_.reboot.clear();
  begin_life();
  auto refused = loop_.run(releaser_->check_source(reboot_));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::bad_input);
  EXPECT_THAT(refused.error().what, HasSubstr("write release.reboot"));
  EXPECT_EQ(loop_.run(releaser_->upgrade(place_, reboot_, "r2-1")).error().code, Errc::bad_input) << "the file was changed meanwhile";
}

}  // namespace
}  // namespace shiftd
