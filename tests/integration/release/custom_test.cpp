// Releases that a service's own commands bring, on a real host: sshd, git, apt with a repository and a dpkg of its own. The
// commands are those of conf/examples.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/config.hpp"
#include "daemon/release/custom.hpp"
#include "tests/fakes/process.hpp"
#include "tests/integration/release/release_host.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class CustomReleaserTest : public testing::Test, public ReleaseHost {
 protected:
  CustomReleaserTest() {
    // A "package" that is a line in a file, and a "service" that runs what was installed at its last restart.
    options_.custom =
        CustomSteps{"echo {{release}} >{{path}}/installed", "echo {{release}} >{{path}}/installed; echo back >>{{path}}/log", "", ""};
    options_.restart = "cat {{path}}/installed >{{path}}/running; echo restart >>{{path}}/log";
    options_.version_command = "cat {{path}}/running 2>/dev/null || true";
  }

  Releaser& releaser() {
    if (!releaser_) releaser_ = make_custom_releaser(loop_.clock(), options_, *this);
    return *releaser_;
  }
  static Release release(const std::string& version) { return {version, version, ""}; }
  Result<std::string> inspect() { return loop_.run(releaser().inspect(place_)); }
  Result<std::string> prepare(const std::string& version) { return prepare_with(releaser(), release(version)); }
  Result<std::string> dry_run(const std::string& version) { return loop_.run(releaser().dry_run(place_, release(version))); }
  Result<void> upgrade(const std::string& version, std::string job) {
    return loop_.run(releaser().upgrade(place_, release(version), std::move(job)));
  }
  Result<void> revert(const std::string& version, std::string job) { return loop_.run(releaser().revert(place_, version, std::move(job))); }
  Result<void> prove(const std::string& version) { return loop_.run(releaser().prove_running(place_, version)); }

  std::unique_ptr<Releaser> releaser_;
};

TEST_F(CustomReleaserTest, GoesFromNothingToOneVersionToTheNextAndBack) {
  EXPECT_EQ(inspect(), Result<std::string>(""));
  EXPECT_EQ(prepare("1.0"), Result<std::string>(""));
  auto upgraded = upgrade("1.0", "r1-1");
  ASSERT_TRUE(upgraded) << upgraded.error();
  EXPECT_TRUE(prove("1.0").has_value());
  EXPECT_EQ(prepare("2.0"), Result<std::string>("1.0"));
  ASSERT_TRUE(upgrade("2.0", "r2-1").has_value());
  EXPECT_TRUE(prove("2.0").has_value());
  EXPECT_EQ(inspect(), Result<std::string>("2.0"));
  ASSERT_TRUE(revert("1.0", "r2-2").has_value());
  EXPECT_TRUE(prove("1.0").has_value());
  EXPECT_EQ(read_text(at("log")), "restart\nrestart\nback\nrestart\n");
}

TEST_F(CustomReleaserTest, TheSameJobAgainRunsNothing) {
  ASSERT_TRUE(prepare("1.0").has_value());
  ASSERT_TRUE(upgrade("1.0", "r1-1").has_value());
  ASSERT_TRUE(upgrade("1.0", "r1-1").has_value());
  EXPECT_EQ(read_text(at("log")), "restart\n");
}

TEST_F(CustomReleaserTest, AFailedRunIsRefusedWithWhatItSaidAndRestartsNothing) {
  options_.custom->run = "echo 'no package web {{version}}'; exit 100";
  ASSERT_TRUE(prepare("1.0").has_value());
  auto upgraded = upgrade("1.0", "r1-1");
  ASSERT_FALSE(upgraded);
  EXPECT_EQ(upgraded.error().code, Errc::refused);
  EXPECT_THAT(upgraded.error().what, HasSubstr("ended with 100: no package web 1.0"));
  EXPECT_FALSE(fs::exists(at("log")));
}

TEST_F(CustomReleaserTest, ARunOverItsLimitIsRefused) {
  options_.custom->run = "sleep 60";
  options_.restart_limit = 300ms;
  ASSERT_TRUE(prepare("1.0").has_value());
  auto upgraded = upgrade("1.0", "r1-1");
  ASSERT_FALSE(upgraded);
  EXPECT_EQ(upgraded.error().code, Errc::refused);
  EXPECT_THAT(upgraded.error().what, HasSubstr("limit of 300ms"));
}

TEST_F(CustomReleaserTest, ASuccessThatLeftTheOldVersionRunningIsFoundOut) {
  ASSERT_TRUE(prepare("1.0-1").has_value());
  ASSERT_TRUE(upgrade("1.0-1", "r1-1").has_value());
  options_.restart = "true";
  options_.prove_limit = 300ms;
  releaser_.reset();
  // Also when the one's name begins with the other's.
  ASSERT_TRUE(upgrade("1.0-10~deb12u1", "r2-1").has_value());
  auto proven = prove("1.0-10~deb12u1");
  ASSERT_FALSE(proven);
  EXPECT_EQ(proven.error().code, Errc::refused);
  EXPECT_THAT(proven.error().what, HasSubstr("another release answers: '1.0-1'"));
}

TEST_F(CustomReleaserTest, ARefusedPreparationSaysWhatItSaid) {
  options_.custom->prepare = "echo 'cannot fetch {{version}}' >&2; exit 1";
  auto prepared = prepare("1.0");
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::refused);
  EXPECT_THAT(prepared.error().what, HasSubstr("prepare web1 for 1.0: ended with 1: cannot fetch 1.0"));
}

TEST_F(CustomReleaserTest, WhatCannotBeAskedForIsRefusedBeforeAnythingBegins) {
  auto check = [&](const Release& release) { return loop_.run(releaser().check_source(release)); };
  EXPECT_TRUE(check(release("1:2.4.1+git-1~deb12u1")).has_value());
  for (const auto& wrong : {release("2; reboot"), release("$(reboot)"), release("--help"), release("2 3"), release("~root"),
                            Release{"2", "2", "/srv/web.tar.gz"}, Release{"2", std::string(64, 'a'), ""}}) {
    SCOPED_TRACE(wrong.version + " " + wrong.source);
    auto checked = check(wrong);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, Errc::bad_input);
  }
}

TEST_F(CustomReleaserTest, WhatAHostSaysOfItselfNeverReachesAShell) {
  fs::create_directories(at(".shiftd/jobs"));
  write_text(at("running"), "1.0; touch {{path}}/owned\n");
  auto said = inspect();
  ASSERT_TRUE(said) << said.error();
  auto reverted = revert(*said, "r1-1");
  ASSERT_FALSE(reverted);
  EXPECT_EQ(reverted.error().code, Errc::bad_input);
  write_text(at("running"), "two\nlines\n");
  auto lines = inspect();
  ASSERT_FALSE(lines);
  EXPECT_EQ(lines.error().code, Errc::unexpected_reply);
}

TEST_F(CustomReleaserTest, ADryRunSaysWhatWouldChangeAndAFailedOneWhy) {
  EXPECT_EQ(dry_run("2.0"), Result<std::string>("")) << "when there is none";
  options_.custom->dry_run = "echo would install {{version}} on {{host}}";
  releaser_.reset();
  EXPECT_EQ(dry_run("2.0"), Result<std::string>("would install 2.0 on web1"));
  options_.custom->dry_run = "echo no such version; exit 3";
  releaser_.reset();
  auto failed = dry_run("2.0");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().what, HasSubstr("ended with 3: no such version"));
}

// The examples, word for word but for sudo, systemctl and what tells the tool where its world is.
class ExampleTest : public CustomReleaserTest {
 protected:
  void take_example(const std::string& name, const std::string& tool, const std::string& tool_here) {
    auto dir = local_.path() + "/etc";
    fs::create_directories(dir);
    fs::copy_file(std::string(SHIFTD_SOURCE_DIR) + "/conf/examples/" + name, dir + "/web.yaml");
    for (auto file : {"id_ed25519", "known_hosts"}) {
      write_text(dir + "/" + file, "nothing\n");
      fs::permissions(dir + "/" + file, fs::perms::owner_read | fs::perms::owner_write);
    }
    write_text(dir + "/shiftd.yaml", "journal: " + dir + "/journal.db\nservices: [web.yaml]\n");
    auto config = load_config(dir + "/shiftd.yaml");
    ASSERT_TRUE(config) << to_string(config.error());
    options_ = config->services.at(0).release;
    ASSERT_TRUE(options_.custom);
    options_.path = sshd_.file("srv/{{host}}");
    for (auto* step : {&options_.custom->run, &options_.custom->revert, &options_.custom->prepare, &options_.custom->dry_run}) {
      for (const auto& [from, to] : {std::pair<std::string, std::string>{"sudo -n ", ""}, {tool, tool_here}}) {
        for (auto found = step->find(from); found != step->npos; found = step->find(from, found + to.size()))
          step->replace(found, from.size(), to);
      }
    }
    options_.restart = "cat " + where_ + " >{{path}}/running";
    options_.version_url.clear();
    options_.version_command = "cat {{path}}/running 2>/dev/null || true";
  }

  // There, on to the next, and back.
  void walk(const std::string& one, const std::string& two) {
    ASSERT_TRUE(loop_.run(releaser().check_source(release(two))).has_value());
    auto prepared = prepare(one);
    ASSERT_TRUE(prepared) << prepared.error();
    auto upgraded = upgrade(one, "r1-1");
    ASSERT_TRUE(upgraded) << upgraded.error();
    auto proven = prove(one);
    EXPECT_TRUE(proven) << proven.error();
    auto told = dry_run(two);
    ASSERT_TRUE(told) << told.error();
    told_ = *told;
    EXPECT_EQ(prepare(two), Result<std::string>(one)) << "neither the dry run nor the preparation changes what runs";
    ASSERT_TRUE(upgrade(two, "r2-1").has_value());
    EXPECT_TRUE(prove(two).has_value());
    ASSERT_TRUE(revert(one, "r2-2").has_value());
    EXPECT_TRUE(prove(one).has_value());
    auto missing = prepare("9.9");
    ASSERT_FALSE(missing) << "a version that is nowhere is found out while the host serves";
    EXPECT_EQ(missing.error().code, Errc::refused);
  }

  std::string where_;  // the file that the release brings, with its version in it
  std::string told_;
};

TEST_F(ExampleTest, GitChecksOutATag) {
  auto origin = local_.path() + "/origin";
  fs::create_directories(at(""));
  auto commit = [&](const std::string& version) {
    write_text(origin + "/version", version + "\n");
    return "git -C " + origin + " add version && git -C " + origin + " commit -qm " + version + " && git -C " + origin + " tag " + version;
  };
  const std::vector<std::string> environment{"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.net", "GIT_COMMITTER_NAME=t",
                                             "GIT_COMMITTER_EMAIL=t@example.net", "HOME=" + local_.path()};
  auto shell = [&](const std::string& words) { return Process::run({"sh", "-c", words}, environment); };
  ASSERT_EQ(shell("git init -q " + origin), 0);
  ASSERT_EQ(shell(commit("v1.0")), 0);
  ASSERT_EQ(shell("git clone -q " + origin + " " + at("checkout")), 0);
  ASSERT_EQ(shell(commit("v2.0")), 0);
  where_ = "{{path}}/checkout/version";
  ASSERT_NO_FATAL_FAILURE(take_example("git.yaml", "git", "git"));
  walk("v1.0", "v2.0");
  EXPECT_THAT(told_, HasSubstr("version | 2 +-"));
}

// On shiftd's own machine, with the example's playbook; the host is this one, under another name.
TEST_F(ExampleTest, AnsibleRunsAPlaybookForTheHost) {
  auto etc = local_.path() + "/ansible";
  for (const auto* folder : {"/builds", "/root/builds"}) fs::create_directories(etc + folder);
  for (const auto* version : {"1.0", "2.0"}) write_text(etc + "/builds/web-" + version, std::string(version) + "\n");
  fs::copy_file(std::string(SHIFTD_SOURCE_DIR) + "/conf/examples/web.playbook.yaml", etc + "/web.playbook.yaml");
  write_text(etc + "/inventory", "web1 ansible_connection=local ansible_python_interpreter=/usr/bin/python3 web_builds=" + etc +
                                     "/builds web_root=" + etc + "/root web_restart='touch " + etc + "/restarted'\n" +
                                     "web2 ansible_connection=local web_builds=/nowhere\n");
  where_ = etc + "/root/web";
  ASSERT_NO_FATAL_FAILURE(take_example("ansible.yaml", "/etc/shiftd", etc));
  walk("1.0", "2.0");
  EXPECT_THAT(told_, HasSubstr("-1.0\n+2.0"));
  EXPECT_TRUE(fs::exists(etc + "/restarted"));
  auto logs = loop_.run(releaser().logs(place_, "r2"));
  ASSERT_TRUE(logs) << logs.error();
  EXPECT_THAT(*logs, HasSubstr("PLAY RECAP"));
}

// The example's module, applied by the real puppet without a server.
TEST_F(ExampleTest, PuppetBringsTheVersionOfAFactAndItsOwnRunsLeaveIt) {
  auto etc = local_.path() + "/puppet";
  for (const auto* folder : {"/builds", "/root/builds", "/modules/web/manifests"}) fs::create_directories(etc + folder);
  for (const auto* version : {"1.0", "2.0"}) write_text(etc + "/builds/web-" + version, std::string(version) + "\n");
  fs::copy_file(std::string(SHIFTD_SOURCE_DIR) + "/conf/examples/web.pp", etc + "/modules/web/manifests/init.pp");
  write_text(etc + "/site.pp",
             "class { 'web': builds => '" + etc + "/builds', root => '" + etc + "/root', restart => 'touch " + etc + "/restarted' }\n");
  fs::create_directories(at(""));
  where_ = etc + "/root/web";
  auto apply = "puppet apply --detailed-exitcodes --confdir " + etc + "/conf --vardir " + etc + "/var --modulepath " + etc + "/modules " +
               etc + "/site.pp";
  ASSERT_NO_FATAL_FAILURE(take_example("puppet.yaml", "puppet agent --test", apply));
  walk("1.0", "2.0");
  EXPECT_THAT(told_, HasSubstr("-1.0\n+2.0"));
  EXPECT_TRUE(fs::exists(etc + "/restarted"));
  EXPECT_EQ(Process::run({"sh", "-c", apply + " 2>&1"}), 0) << "nothing to change";
  EXPECT_EQ(read_text(where_), "1.0\n");
}

TEST_F(ExampleTest, AptInstallsAVersion) {
  auto world = local_.path() + "/apt";
  ASSERT_EQ(Process::run({"bash", std::string(SHIFTD_SOURCE_DIR) + "/tests/fakes/apt_world.sh", world, "1.0-1", "1.0-10~deb12u1"}), 0);
  fs::create_directories(at(""));
  where_ = world + "/root/srv/web/version";
  ASSERT_NO_FATAL_FAILURE(take_example("apt.yaml", "apt-get", "env LC_ALL=C APT_CONFIG=" + world + "/apt.conf apt-get"));
  walk("1.0-1", "1.0-10~deb12u1");
  EXPECT_THAT(told_, HasSubstr("Inst web [1.0-1] (1.0-10~deb12u1"));
}

}  // namespace
}  // namespace shiftd
