// A host's bad luck during an upgrade: connections that are reset, a disk that is full, a clock that is wrong.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/resetting_way.hpp"
#include "tests/fakes/small_disk.hpp"
#include "tests/fakes/succeeded.hpp"
#include "tests/integration/release/tarball_host.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

std::string noise(std::size_t size) {
  std::mt19937 random(1);
  std::string bytes;
  while (bytes.size() < size) bytes += static_cast<char>(random());
  return bytes;
}

// Where in an upgrade the connection is reset.
struct Stage {
  const char* name;
  std::optional<std::size_t> at_byte{};       // of what the client sends over its connection; 0: before it can say anything
  bool before_prepare = false;                // connected, and nothing asked yet
  std::vector<std::string> during_the_job{};  // as soon as the host has this file, and then the next one
  bool during_the_proof = false;

  friend void PrintTo(const Stage& stage, std::ostream* out) { *out << stage.name; }
};

const Stage stages[] = {
    {.name = "Connect", .at_byte = 0},
    {.name = "LogIn", .at_byte = 1'500},
    {.name = "BeforePrepare", .before_prepare = true},
    {.name = "Upload", .at_byte = 1'000'000},
    {.name = "Job", .during_the_job = {"begun"}},
    {.name = "JobAndPoll", .during_the_job = {"begun", "asked-again"}},
    {.name = "Verify", .during_the_proof = true},
};

// What the host's PATH begins with; it has to be there before the host.
struct HostsOwnTools {
  TemporaryDirectory bin_;
};

class ResetTest : public testing::TestWithParam<std::tuple<SshClient, Stage>>, private HostsOwnTools, public TarballHost {
 protected:
  ResetTest()
      : TarballHost(std::get<0>(GetParam()), {.max_startups = "100",
                                              .more_config = {},
                                              .file_size_most = 0,
                                              .environment = "PATH=" + bin_.path() + ":/usr/local/bin:/usr/bin:/bin"}),
        stage_(std::get<1>(GetParam())),
        way_(loop_.context(), sshd_.port()) {
    // Whoever asks for a job that runs already waits for it by `flock -s`.
    auto flock = bin_.path() + "/flock";
    write_text(flock, "#!/bin/sh\n[ \"$1\" != -s ] || touch " + at("asked-again") + "\nexec /usr/bin/flock \"$@\"\n");
    fs::permissions(flock, fs::perms::owner_all);
    auto ssh = sshd_.client();
    ssh.client = std::get<0>(GetParam());
    auto known = read_text(ssh.known_hosts);
    write_text(ssh.known_hosts, known + "[127.0.0.1]:" + std::to_string(way_.port()) + known.substr(known.find(' ')));
    host_.reset();
    connector_ = make_ssh_connector(loop_.clock(), ssh);
    host_ = connector_->to({"web1", "127.0.0.1", way_.port()});
    options_.restart = "touch {{path}}/begun; " + until("job-may-end") +
                       "basename $(readlink {{path}}/current) >{{path}}/running; echo {{release}} >>{{path}}/restarts";
    options_.version_command = "touch {{path}}/asked; " + until("proof-may-end") + options_.version_command;
  }

  // Or until the test is over.
  static std::string until(const std::string& file) {
    return "while [ -d {{path}} ] && [ ! -e {{path}}/" + file + " ]; do sleep 0.01; done; ";
  }

  // As the driver does: what may be asked again is, with the same job.
  template <class T>
  Task<Result<T>> until_known(std::function<Task<Result<T>>()> step) {
    while (true) {
      auto result = co_await step();
      if (result || !retryable(result.error().code) || troubles_.size() > 20) co_return result;
      troubles_.push_back(result.error().what);
      co_await loop_.clock().sleep_for(10ms);
    }
  }

  Task<Result<void>> whole_upgrade(Release release) {
    const std::function<Task<Result<Prepared>>()> prepares = [&] { return releaser().prepare(place_, release); };
    auto prepared = co_await until_known(prepares);
    if (!prepared) co_return prepared.error();
    const std::function<Task<Result<void>>()> upgrades = [&] {
      return releaser().upgrade(place_, release, "job-" + release.version.substr(0, 1));
    };
    auto upgraded = co_await until_known(upgrades);
    if (!upgraded) co_return upgraded;
    const std::function<Task<Result<void>>()> proves = [&] { return releaser().prove_running(place_, release.digest); };
    co_return co_await until_known(proves);
  }

  Task<Result<void>> whole_upgrade_in_bad_luck(Release release) {
    if (stage_.before_prepare) {
      auto opened = co_await host_->open();
      if (!opened) co_return opened;
      way_.reset();
    }
    co_return co_await whole_upgrade(std::move(release));
  }

  Task<> reset_when_there_is(std::string file) {
    while (!fs::exists(at(file))) co_await loop_.clock().sleep_for(5ms);
    way_.reset();
  }

  // Strikes as the stage says, and lets the host go on.
  Task<> strike() {
    for (const auto& file : stage_.during_the_job) co_await reset_when_there_is(file);
    write_text(at("job-may-end"), "");
    if (stage_.during_the_proof) co_await reset_when_there_is("asked");
    write_text(at("proof-may-end"), "");
  }

  const Stage& stage_;
  ResettingWay way_;
  std::vector<std::string> troubles_;
};

INSTANTIATE_TEST_SUITE_P(Stages, ResetTest,
                         testing::Combine(testing::Values(SshClient::libssh2, SshClient::openssh), testing::ValuesIn(stages)),
                         [](const auto& test) {
                           auto client = std::get<0>(test.param) == SshClient::libssh2 ? "Libssh2" : "Openssh";
                           return std::string(client) + std::get<1>(test.param).name;
                         });

TEST_P(ResetTest, AnUpgradeGoesOnWhereItsConnectionWasResetAndSwapsOnce) {
  auto one = make_release("1.0");
  fs::create_directories(tree_of("2.0"));
  write_text(tree_of("2.0") + "/noise", noise(3'000'000));
  auto two = make_release("2.0");
  fs::create_directories(at(""));
  for (const auto* file : {"job-may-end", "proof-may-end"}) write_text(at(file), "");
  ASSERT_TRUE(succeeded(loop_.run(beside(way_.serve(), whole_upgrade(one)))));
  ASSERT_EQ(troubles_, std::vector<std::string>());
  for (const auto* file : {"begun", "asked", "asked-again", "job-may-end", "proof-may-end"}) fs::remove(at(file));

  host_->close();
  if (stage_.at_byte) way_.reset_next_at(*stage_.at_byte);
  ASSERT_TRUE(succeeded(loop_.run(beside(way_.serve(), beside(strike(), whole_upgrade_in_bad_luck(two))))));
  auto resets = std::max<std::size_t>(1, stage_.during_the_job.size());
  EXPECT_EQ(way_.resets(), static_cast<int>(resets));
  for (const auto& trouble : troubles_) EXPECT_THAT(trouble, HasSubstr("web1"));
  EXPECT_LE(troubles_.size(), resets);
  bool unknown = stage_.at_byte > 1'500U || !stage_.during_the_job.empty();
  EXPECT_TRUE(!unknown || troubles_.size() == resets) << "nobody can have known how it ended";

  EXPECT_EQ(read_text(at("running")), two.digest + "\n");
  EXPECT_EQ(read_text(at("restarts")), one.digest + "\n" + two.digest + "\n");
  EXPECT_EQ(link("current"), "releases/" + two.digest);
  EXPECT_EQ(link("previous"), "releases/" + one.digest);
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
}

class FullDiskTest : public testing::Test, public TarballHost {
 protected:
  void SetUp() override {
    if (!disk_.why_not().empty()) GTEST_SKIP() << "a full disk needs a small one to be mounted: " << disk_.why_not();
  }
  SmallDisk disk_{at(""), "3m"};
};

TEST_F(FullDiskTest, AReleaseThatUnpacksToMoreThanThereIsLeavesNothingBehind) {
  fs::create_directories(tree_of("2.0"));
  write_text(tree_of("2.0") + "/zeros", std::string(20'000'000, '\0'));
  auto prepared = prepare(make_release("2.0"));
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::exhausted) << prepared.error();
  EXPECT_THAT(prepared.error().what, HasSubstr("No space left on device"));
  EXPECT_TRUE(fs::is_empty(at("releases")));
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
  EXPECT_TRUE(succeeded(prepare(make_release("1.0")))) << "what fits is brought";
}

TEST_F(FullDiskTest, ADiskThatHasFilledSinceThePreparationIsNotSwappedOnAndTheSameJobMayStillRun) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  ASSERT_TRUE(succeeded(prepare(two)));
  disk_.fill();
  auto upgraded = upgrade(two, "r2-1");
  ASSERT_FALSE(upgraded);
  EXPECT_EQ(upgraded.error().code, Errc::refused) << upgraded.error();
  EXPECT_THAT(upgraded.error().what, HasSubstr("No space left on device"));
  EXPECT_EQ(link("current"), "releases/" + one.digest);
  EXPECT_EQ(restarts(), 1);

  disk_.make_room();
  ASSERT_TRUE(succeeded(upgrade(two, "r2-1")));
  EXPECT_EQ(link("current"), "releases/" + two.digest);
  EXPECT_EQ(restarts(), 2);
}

// Whoever asks the host for the time, or for that of a file, is told it so much off.
class WrongClockTest : public testing::TestWithParam<const char*>, public TarballHost {
 protected:
  WrongClockTest()
      : TarballHost(SshClient::libssh2,
                    {.max_startups = "100",
                     .more_config = {},
                     .file_size_most = 0,
                     .environment = std::string("LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1 FAKETIME=") + GetParam()}) {}
};

INSTANTIATE_TEST_SUITE_P(By, WrongClockTest, testing::Values("-20y", "+10y"),
                         [](const auto& test) { return test.param[0] == '-' ? "TwentyYearsBehind" : "TenYearsAhead"; });

TEST_P(WrongClockTest, AHostIsUpgradedAndRevertedAllTheSame) {
  auto year = [&] { return std::stoi(loop_.run(host_->run("date +%Y"))->out); };
  auto here = std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now())).year();
  ASSERT_GE(std::abs(year() - static_cast<int>(here)), 9) << "its clock is right";
  options_.keep = 1;
  std::vector<Release> releases;
  for (const auto* version : {"1.0", "2.0", "3.0", "4.0", "5.0"}) {
    releases.push_back(make_release(version));
    ASSERT_TRUE(succeeded(prepare(releases.back())));
    ASSERT_TRUE(succeeded(upgrade(releases.back(), "r1-" + std::string(version, 1))));
    ASSERT_TRUE(succeeded(upgrade(releases.back(), "r1-" + std::string(version, 1))));
    write_text(at("running"), releases.back().digest + "\n");
    ASSERT_TRUE(succeeded(loop_.run(releaser().prove_running(place_, releases.back().digest))));
  }
  EXPECT_EQ(restarts(), 5) << "a job that has run is known by its result";
  EXPECT_FALSE(fs::exists(at("releases/" + releases[0].digest))) << "the oldest goes";
  ASSERT_TRUE(succeeded(loop_.run(releaser().revert(place_, releases[3].digest, "r1-back"))));
  EXPECT_EQ(link("current"), "releases/" + releases[3].digest);
  auto logs = loop_.run(releaser().logs(place_, "r1"));
  ASSERT_TRUE(succeeded(logs));
  EXPECT_THAT(*logs, HasSubstr("== r1-back, " + std::to_string(year())));
}

}  // namespace
}  // namespace shiftd
