// A key that may do nothing but shiftd's work: conf/hosts/shiftd-only between the real sshd and a host.

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/release/custom.hpp"
#include "daemon/release/host_commands.hpp"
#include "daemon/release/job_logs.hpp"
#include "daemon/release/reboot.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/tarball.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/succeeded.hpp"
#include "tests/integration/release/release_host.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class HostCommandsTest : public testing::TestWithParam<SshClient>, public ReleaseHost {
 protected:
  HostCommandsTest()
      : ReleaseHost(GetParam(), {.max_startups = "100", .more_config = "Subsystem sftp internal-sftp", .file_size_most = 0}) {
    options_.restart = "cat {{path}}/current/version >{{path}}/running && echo it\\'s {{release}} >>{{path}}/restarts";
    options_.reboot = "echo second >{{path}}/boot_id";
    options_.boot_id = at("boot_id");
    options_.version_command = "basename $(readlink {{path}}/current)";
  }

  // From here on the key may do what the list says.
  void restrict_key() {
    auto commands = release_commands(options_, place_);
    ASSERT_TRUE(succeeded(commands));
    write_text(sshd_.file("list"), list_of(*commands));
    auto wrapper = std::string(SHIFTD_SOURCE_DIR) + "/conf/hosts/shiftd-only " + sshd_.file("list");
    write_text(sshd_.file("authorized_keys"), "restrict,command=\"" + wrapper + "\" " + read_text(sshd_.file("user_key.pub")));
  }

  // Refused by the wrapper, and nothing came of it.
  void expect_refused(const std::string& command) {
    SCOPED_TRACE(command);
    auto answer = loop_.run(host_->run(command));
    ASSERT_TRUE(succeeded(answer));
    EXPECT_EQ(answer->exit_status, 126);
    EXPECT_NE(answer->err.find("shiftd-only: refused"), std::string::npos) << answer->err;
    EXPECT_FALSE(fs::exists(evidence()));
  }
  [[nodiscard]] std::string evidence() const { return sshd_.file("evidence"); }

  // What ssh(1) ends with when it is told these further words.
  int by_ssh(const std::vector<std::string>& words) {
    std::vector<std::string> command = {"ssh",
                                        "-F",
                                        "none",
                                        "-T",
                                        "-n",
                                        "-i",
                                        sshd_.file("user_key"),
                                        "-o",
                                        "BatchMode=yes",
                                        "-o",
                                        "UserKnownHostsFile=" + sshd_.file("known_hosts"),
                                        "-p",
                                        std::to_string(sshd_.port())};
    command.insert(command.end(), words.begin(), words.end());
    return Process::run(command);
  }
};

INSTANTIATE_TEST_SUITE_P(Clients, HostCommandsTest, testing::Values(SshClient::libssh2, SshClient::openssh),
                         [](const auto& client) { return client.param == SshClient::libssh2 ? "Libssh2" : "Openssh"; });

TEST_P(HostCommandsTest, AllThatARolloutNeedsPasses) {
  restrict_key();
  auto releaser = with_restarts(make_tarball_releaser(loop_.clock(), options_, *this), make_reboot(loop_.clock(), options_, *this));
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  EXPECT_EQ(loop_.run(releaser->inspect(place_)), Result<std::string>(""));
  EXPECT_EQ(prepare_with(*releaser, one), Result<std::string>(""));
  ASSERT_TRUE(succeeded(loop_.run(releaser->upgrade(place_, one, "r1-1"))));
  EXPECT_EQ(prepare_with(*releaser, two), Result<std::string>(one.digest));
  // It is there already, and needs no tarball.
  EXPECT_EQ(prepare_with(*releaser, {"2.0", two.digest, ""}), Result<std::string>(one.digest));
  ASSERT_TRUE(succeeded(loop_.run(releaser->upgrade(place_, two, "r2-1"))));
  EXPECT_EQ(read_text(at("running")), "2.0\n");
  ASSERT_TRUE(succeeded(loop_.run(releaser->revert(place_, one.digest, "r2-2"))));
  EXPECT_EQ(read_text(at("running")), "1.0\n");
  auto looked = loop_.run(host_->job_result(at(".shiftd"), "r2-2"));
  ASSERT_TRUE(succeeded(looked));
  EXPECT_TRUE(looked->has_value());
  auto logs = loop_.run(releaser->logs(place_, "r2"));
  ASSERT_TRUE(succeeded(logs));
  EXPECT_NE(logs->find("r2-1"), std::string::npos) << *logs;
  EXPECT_TRUE(succeeded(loop_.run(releaser->prove_running(place_, one.digest))));
  EXPECT_TRUE(succeeded(loop_.run(releaser->note_success(place_, one.digest, "r2"))));
  EXPECT_EQ(read_text(at("releases/" + one.digest + "/DEPLOYED")).substr(0, 14), "rollout r2\nat ");
  write_text(at("boot_id"), "first\n");
  EXPECT_TRUE(succeeded(loop_.run(releaser->upgrade(place_, {"reboot", "reboot", ""}, "r3-1"))));
  EXPECT_EQ(read_text(at("boot_id")), "second\n");
}

TEST_P(HostCommandsTest, TheHostMayFetchWhatAUrlNames) {
  restrict_key();
  auto releaser = make_tarball_releaser(loop_.clock(), options_, *this);
  auto refused = "http://127.0.0.1:" + std::to_string(free_port()) + "/web-1.0.tar.gz?x=1";
  auto fetched = prepare_with(*releaser, {"1.0", std::string(64, 'a'), refused});
  ASSERT_FALSE(fetched);
  // It is curl that says so.
  EXPECT_EQ(fetched.error().code, Errc::unavailable) << fetched.error();
}

TEST_P(HostCommandsTest, CommandsOfTheServicesOwnPassWithAnyVersion) {
  options_.custom = CustomSteps{"echo {{release}} >{{path}}/installed", "echo {{release}} >{{path}}/installed; echo back >>{{path}}/log",
                                "echo {{version}} >{{path}}/fetched", "echo would install {{version}}"};
  options_.restart = "cat {{path}}/installed >{{path}}/running";
  options_.version_command = "cat {{path}}/running 2>/dev/null || true";
  restrict_key();
  auto releaser = make_custom_releaser(loop_.clock(), options_, *this);
  Release two{"2:2.0~rc1-1", "2:2.0~rc1-1", ""};
  EXPECT_EQ(loop_.run(releaser->dry_run(place_, two)), Result<std::string>("would install 2:2.0~rc1-1"));
  EXPECT_EQ(prepare_with(*releaser, two), Result<std::string>(""));
  ASSERT_TRUE(succeeded(loop_.run(releaser->upgrade(place_, two, "r1-1"))));
  ASSERT_TRUE(succeeded(loop_.run(releaser->prove_running(place_, two.version))));
  ASSERT_TRUE(succeeded(loop_.run(releaser->revert(place_, "1.0-1", "r1-2"))));
  EXPECT_EQ(read_text(at("running")), "1.0-1\n");
  EXPECT_EQ(read_text(at("log")), "back\n");
}

TEST_P(HostCommandsTest, NothingElsePasses) {
  restrict_key();
  auto touch = "touch " + evidence();
  auto inspect = current_script(at("").substr(0, at("").size() - 1));
  ASSERT_EQ(loop_.run(host_->run(inspect))->exit_status, 0) << "the tests below differ from what passes";
  for (const auto& command : {touch, inspect + "; " + touch, inspect + "\n" + touch, touch + "\n" + inspect, current_script("/etc"),
                              std::string(), "'; " + touch + "; '", prepare_script(at("x"), std::string(64, 'a'), 1, 5, 0),
                              job_logs_script(at("").substr(0, at("").size() - 1), "r1'; " + touch + "; '")}) {
    expect_refused(command);
  }
}

TEST_P(HostCommandsTest, NoOtherJobPasses) {
  restrict_key();
  fs::create_directories(at(".shiftd/jobs"));
  RemoteJob job{"r1-1", "touch " + evidence(), at(".shiftd"), options_.restart_limit};
  auto base = at("").substr(0, at("").size() - 1);
  for (const auto& script : {job.script, swap_script(base, "one", job.script), swap_script(base, "one'; " + job.script + "; '", "true"),
                             swap_script(base, "../one", options_.restart)}) {
    SCOPED_TRACE(script);
    job.script = script;
    auto done = loop_.run(host_->job(job));
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().what.find("shiftd-only: refused"), std::string::npos) << done.error();
    EXPECT_TRUE(fs::is_empty(at(".shiftd/jobs")));
  }
}

TEST_P(HostCommandsTest, TheKeyGivesNoShellNoFilesAndNoTunnel) {
  auto host = user_name() + "@127.0.0.1";
  // Without the restriction the same words do pass.
  EXPECT_EQ(by_ssh({host, "exit 7"}), 7);
  restrict_key();
  EXPECT_EQ(by_ssh({host}), 126);
  EXPECT_EQ(by_ssh({host, "exec /bin/sh"}), 126);
  EXPECT_EQ(by_ssh({host, "exec /bin/sh -c 'true' 'x'"}), 126);
  EXPECT_EQ(by_ssh({host, "-s", "sftp"}), 126);
  EXPECT_EQ(by_ssh({"-W", "127.0.0.1:" + std::to_string(sshd_.port()), host}), 255);
}

TEST_P(HostCommandsTest, AListThatIsNotThereOrNoListLetsNothingPass) {
  restrict_key();
  auto inspect = current_script(at("").substr(0, at("").size() - 1));
  write_text(sshd_.file("list"), read_text(sshd_.file("list")) + "no list\n");
  expect_refused(inspect);
  fs::remove(sshd_.file("list"));
  expect_refused(inspect);
}

TEST(Sudoers, TheExampleIsGoodAndNamesOneCommand) {
  auto file = std::string(SHIFTD_SOURCE_DIR) + "/conf/hosts/sudoers";
  EXPECT_EQ(Process::run({"visudo", "-cf", file}), 0);
  EXPECT_EQ(read_text(file).find('*'), std::string::npos);
}

}  // namespace
}  // namespace shiftd
