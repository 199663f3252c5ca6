// Configuration as a part of the release, on a real host: it is rendered, validated, put in its place and taken back with
// the code, wherever a swap breaks off.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/config/configuration_file.hpp"
#include "daemon/release/configured.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/restart.hpp"
#include "daemon/release/tarball.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/succeeded.hpp"
#include "tests/integration/release/release_host.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace fs = std::filesystem;

class ConfiguredTest : public testing::Test, public ReleaseHost {
 protected:
  ConfiguredTest() {
    options_.restart = "cat {{path}}/current/version >{{path}}/running; cat " + etc("web.conf") + " >>{{path}}/running 2>&1; true";
    options_.version_command = "basename $(readlink {{path}}/current)";
    fs::create_directories(etc(""));
    start_over();
  }

  // As after a restart of shiftd: nothing is remembered but what lies on disks.
  void start_over() {
    store_ = std::make_shared<ConfigurationStore>(local_.path() + "/kept", read_configuration);
    auto facts = [](const HostPlace& host) { return HostFacts{"web", "production", "eqiad", "text", host.name, host.address}; };
    releaser_ = with_restarts(with_configurations(make_tarball_releaser(loop_.clock(), options_, *this), options_, *this, store_, facts));
  }

  std::string etc(const std::string& name) const { return sshd_.file("etc/" + name); }
  std::string current() const {
    std::error_code none;
    return fs::read_symlink(at("current"), none).filename().string();
  }

  // A configuration with web.conf, and `more` files with nothing but their names in them.
  std::string configuration(const std::string& name, const std::string& text, const std::string& validate = "true",
                            const std::vector<std::string>& more = {}) {
    auto directory = local_.path() + "/config-" + name;
    fs::create_directories(directory);
    auto manifest = "files:\n  - {template: web.conf, path: " + etc("web.conf") + ", mode: \"0640\", validate: '" + validate + "'}\n";
    for (const auto& file : more) {
      manifest += "  - {template: " + file + ", path: " + etc(file) + "}\n";
      write_text(directory + "/" + file, file + " of " + name + "\n");
    }
    write_text(directory + "/manifest.yaml", manifest + "vars: vars.yaml\n");
    write_text(directory + "/vars.yaml", "all: {level: " + name + "}\n");
    write_text(directory + "/web.conf", text);
    return directory;
  }

  // What is asked for, as the supervisor completes it.
  Result<Release> asked(Release release, const std::string& config) {
    release.config = config;
    auto checked = loop_.run(releaser_->check_source(std::move(release)));
    if (!checked) return checked.error();
    auto found = loop_.run(releaser_->inspect(place_));
    if (!found) return found.error();
    return loop_.run(releaser_->complete(std::move(*checked), {*found}));
  }
  Result<std::string> prepare(const Release& release) { return prepare_with(*releaser_, release); }
  Result<void> upgrade(const Release& release) { return loop_.run(releaser_->upgrade(place_, release, "job-" + std::to_string(++jobs_))); }
  Result<void> revert(const std::string& digest) { return loop_.run(releaser_->revert(place_, digest, "job-" + std::to_string(++jobs_))); }

  Release roll(Release release, const std::string& config) {
    auto complete = asked(std::move(release), config);
    EXPECT_TRUE(succeeded(complete));
    EXPECT_TRUE(succeeded(prepare(*complete)));
    EXPECT_TRUE(succeeded(upgrade(*complete)));
    EXPECT_TRUE(succeeded(loop_.run(releaser_->prove_running(place_, complete->digest))));
    return *complete;
  }

  std::shared_ptr<ConfigurationStore> store_;
  std::unique_ptr<Releaser> releaser_;
  int jobs_ = 0;
};

const Release only_config{"config", "", ""};

TEST_F(ConfiguredTest, CodeAndConfigurationGoAndComeBackTogether) {
  write_text(etc("web.conf"), "by hand\n");
  fs::permissions(etc("web.conf"), fs::perms(0600));
  auto one = roll(make_release("1.0"), "");
  EXPECT_EQ(one.digest, current());
  EXPECT_EQ(one.digest.size(), 64U) << "without a configuration nothing is different";
  EXPECT_EQ(read_text(etc("web.conf")), "by hand\n");

  auto a = asked(only_config, configuration("a", "level {{level}} on {{host}}\n"));
  ASSERT_TRUE(succeeded(a));
  EXPECT_EQ(parts_of(a->digest).code, one.digest);
  ASSERT_TRUE(succeeded(prepare(*a)));
  EXPECT_EQ(read_text(etc("web.conf")), "by hand\n") << "it serves still";
  ASSERT_TRUE(succeeded(upgrade(*a)));
  EXPECT_EQ(read_text(etc("web.conf")), "level a on web1\n");
  EXPECT_EQ(fs::status(etc("web.conf")).permissions(), fs::perms(0640));
  EXPECT_EQ(read_text(at("running")), "1.0\nlevel a on web1\n") << "it was there before the restart";
  EXPECT_EQ(current(), a->digest);

  auto b = roll(only_config, configuration("b", "level {{level}}\n", "true", {"more.conf"}));
  EXPECT_EQ(read_text(etc("web.conf")), "level b\n");
  EXPECT_EQ(read_text(etc("more.conf")), "more.conf of b\n");

  auto two = roll(make_release("2.0"), "");
  EXPECT_EQ(parts_of(two.digest).configuration, parts_of(b.digest).configuration) << "new code keeps the configuration";
  EXPECT_EQ(read_text(at("running")), "2.0\nlevel b\n");

  // Both at once, back to what belonged together.
  ASSERT_TRUE(succeeded(revert(a->digest)));
  EXPECT_EQ(read_text(at("running")), "1.0\nlevel a on web1\n");
  EXPECT_FALSE(fs::exists(etc("more.conf"))) << "nothing stood there before";
  ASSERT_TRUE(succeeded(revert(one.digest)));
  EXPECT_EQ(read_text(etc("web.conf")), "by hand\n");
  EXPECT_EQ(fs::status(etc("web.conf")).permissions(), fs::perms(0600));
  EXPECT_EQ(current(), one.digest);
}

TEST_F(ConfiguredTest, APreparationTellsTheDigestOfTheFilesAsTheyWereRendered) {
  auto plain = loop_.run(releaser_->prepare(place_, make_release("1.0")));
  ASSERT_TRUE(succeeded(plain));
  EXPECT_EQ(plain->rendered, "") << "there is nothing to render";
  roll(make_release("1.0"), "");
  auto a = asked(only_config, configuration("a", "level {{level}} on {{host}}\n"));
  ASSERT_TRUE(succeeded(a));
  auto prepared = loop_.run(releaser_->prepare(place_, *a));
  ASSERT_TRUE(succeeded(prepared));
  EXPECT_EQ(prepared->rendered + "\n", read_text(at("releases/" + a->digest + "/.shiftd-configuration/digest")));
  auto again = loop_.run(releaser_->prepare(place_, *a));
  ASSERT_TRUE(succeeded(again));
  EXPECT_EQ(*again, *prepared) << "it is there already";
}

TEST_F(ConfiguredTest, WhatWasStartedIsRenderedWhateverBecomesOfTheFiles) {
  roll(make_release("1.0"), "");
  auto directory = configuration("a", "level {{level}}\n");
  auto a = asked(only_config, directory);
  ASSERT_TRUE(succeeded(a));
  fs::remove_all(directory);
  start_over();
  ASSERT_TRUE(succeeded(prepare(*a)));
  ASSERT_TRUE(succeeded(upgrade(*a)));
  EXPECT_EQ(read_text(etc("web.conf")), "level a\n");

  auto unknown = asked(only_config, std::string(64, 'f'));
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().what, HasSubstr("no copy of configuration"));
  auto by_digest = asked(only_config, parts_of(a->digest).configuration);
  ASSERT_TRUE(succeeded(by_digest));
  EXPECT_EQ(by_digest->digest, a->digest);
}

TEST_F(ConfiguredTest, ABadConfigurationNeverReachesItsPlace) {
  auto one = roll(make_release("1.0"), "");
  write_text(etc("web.conf"), "by hand\n");
  auto invalid = asked(only_config, configuration("a", "bad\n", "grep -q good {{file}} || { echo line 1 is bad >&2; exit 3; }"));
  ASSERT_TRUE(succeeded(invalid));
  auto refused = prepare(*invalid);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::refused);
  EXPECT_THAT(refused.error().what, HasSubstr("line 1 is bad"));
  EXPECT_THAT(refused.error().what, HasSubstr("its validation ended with 3"));
  EXPECT_FALSE(upgrade(*invalid)) << "there is no such release on the host";
  EXPECT_EQ(current(), one.digest);
  EXPECT_EQ(read_text(etc("web.conf")), "by hand\n");
  EXPECT_FALSE(fs::exists(at("releases/" + invalid->digest)));

  auto unknown = asked(only_config, configuration("b", "x\n{{lvl}}\n"));
  ASSERT_TRUE(succeeded(unknown));
  auto not_rendered = prepare(*unknown);
  ASSERT_FALSE(not_rendered);
  EXPECT_THAT(not_rendered.error().what, HasSubstr("/web.conf:2: unknown variable {{lvl}}"));

  fs::remove_all(etc(""));
  auto nowhere = asked(only_config, configuration("c", "x\n"));
  ASSERT_TRUE(succeeded(nowhere));
  auto no_folder = prepare(*nowhere);
  ASSERT_FALSE(no_folder);
  EXPECT_THAT(no_folder.error().what, HasSubstr("is no directory that this user may write in"));
}

TEST_F(ConfiguredTest, ShowsHowTheFilesOfAHostWouldChangeAndChangesNothing) {
  auto one = roll(make_release("1.0"), "");
  auto plain = loop_.run(releaser_->dry_run(place_, one));
  ASSERT_TRUE(succeeded(plain));
  EXPECT_EQ(*plain, "") << "of code alone nothing is said";

  write_text(etc("web.conf"), "first\nlevel 0\nlast\n");
  fs::permissions(etc("web.conf"), fs::perms(0600));
  auto directory = configuration("a", "first\nlevel {{level}}\nlast\n", "true", {"new.conf"});
  auto a = asked(only_config, directory);
  ASSERT_TRUE(succeeded(a));
  auto said = loop_.run(releaser_->dry_run(place_, *a));
  ASSERT_TRUE(succeeded(said));
  EXPECT_EQ(*said, "--- " + etc("web.conf") + "\n+++ " + etc("web.conf") + "\n@@ -1,3 +1,3 @@\n first\n-level 0\n+level a\n last\n" +
                       etc("web.conf") + ": mode 0600 becomes 0640\n--- " + etc("new.conf") + "\n+++ " + etc("new.conf") +
                       "\n@@ -0,0 +1 @@\n+new.conf of a\n" + etc("new.conf") + " is new, with mode 0644");
  EXPECT_EQ(read_text(etc("web.conf")), "first\nlevel 0\nlast\n");
  EXPECT_FALSE(fs::exists(etc("new.conf")));

  roll(only_config, directory);
  auto nothing = loop_.run(releaser_->dry_run(place_, *a));
  ASSERT_TRUE(succeeded(nothing));
  EXPECT_EQ(*nothing, "");
}

TEST_F(ConfiguredTest, ShowsWhichFilesAReleaseWithoutThemWouldTakeAway) {
  write_text(etc("web.conf"), "by hand\n");
  auto one = roll(make_release("1.0"), "");
  roll(only_config, configuration("a", "level {{level}}\n", "true", {"more.conf"}));
  auto goes = etc("more.conf") + " goes: nothing stood there before";
  auto comes_back = etc("web.conf") + " becomes what stood there before shiftd wrote it";

  auto fewer = asked(only_config, configuration("b", "level a\n"));
  ASSERT_TRUE(succeeded(fewer));
  auto said = loop_.run(releaser_->dry_run(place_, *fewer));
  ASSERT_TRUE(succeeded(said));
  EXPECT_EQ(*said, goes);

  auto none = asked(only_config, "none");
  ASSERT_TRUE(succeeded(none));
  said = loop_.run(releaser_->dry_run(place_, *none));
  ASSERT_TRUE(succeeded(said));
  EXPECT_NE(said->find(goes), std::string::npos) << *said;
  EXPECT_NE(said->find(comes_back), std::string::npos) << *said;

  roll(only_config, "none");
  EXPECT_EQ(read_text(etc("web.conf")), "by hand\n");
  said = loop_.run(releaser_->dry_run(place_, *none));
  ASSERT_TRUE(succeeded(said));
  EXPECT_EQ(*said, "") << "they are gone already";
}

TEST_F(ConfiguredTest, OfASecretFileOnlyThatItDiffersIsShown) {
  roll(make_release("1.0"), "");
  write_text(etc("key"), "old password\n");
  auto directory = configuration("a", "x\n");
  write_text(directory + "/key", "hunter2\n" + std::string(200'000, 'x'));
  write_text(directory + "/manifest.yaml", "files:\n  - {template: key, path: " + etc("key") +
                                               ", secret: true}\n  - {template: web.conf, path: " + etc("web.conf") + "}\n");
  auto a = asked(only_config, directory);
  ASSERT_TRUE(succeeded(a));
  auto said = loop_.run(releaser_->dry_run(place_, *a));
  ASSERT_TRUE(succeeded(said));
  EXPECT_THAT(*said, HasSubstr(etc("key") + " differs (secret)\n"));
  EXPECT_THAT(*said, HasSubstr("+x\n")) << "the file after it is compared all the same";
  EXPECT_THAT(*said, testing::Not(HasSubstr("hunter2")));
  EXPECT_THAT(*said, testing::Not(HasSubstr("password")));
}

TEST_F(ConfiguredTest, ARestartLeavesAFileThatAPersonChanged) {
  roll(make_release("1.0"), "");
  roll(only_config, configuration("a", "level {{level}}\n"));
  write_text(etc("web.conf"), "mended at night\n");
  const Release restart{std::string(restart_version), std::string(restart_version), ""};
  ASSERT_TRUE(succeeded(upgrade(restart)));
  EXPECT_EQ(read_text(etc("web.conf")), "mended at night\n");
  EXPECT_EQ(read_text(at("running")), "1.0\nmended at night\n");
}

TEST_F(ConfiguredTest, WhatIsLeftOutIsWhatTheHostsHave) {
  const std::string one(64, '1');
  const std::string two(64, '2');
  auto a = *store_->keep(configuration("a", "a\n"));
  auto b = *store_->keep(configuration("b", "b\n"));
  struct {
    const char* what;
    std::string code;
    std::string config;
    std::vector<std::string> found;
    std::string becomes;  // or what is refused with
  } const cases[] = {
      {"code on new hosts", one, "", {"", ""}, one},
      {"code where there is no configuration", two, "", {one, one}, two},
      {"code keeps the configuration", two, "", {one + "-" + a, one + "-" + a, ""}, two + "-" + a},
      {"a configuration keeps the code", "", b, {one + "-" + a, one}, one + "-" + b},
      {"both", two, b, {one + "-" + a, one}, two + "-" + b},
      {"no configuration any more", "", "none", {one + "-" + a}, one},
      {"code on hosts with different configurations", two, "", {one + "-" + a, one + "-" + b}, "different configurations"},
      {"code where some have a configuration", two, "", {one + "-" + a, one}, "different configurations"},
      {"a configuration on hosts with different code", "", a, {one, two}, "different code"},
      {"a configuration without code", "", a, {"", ""}, "no code is on the hosts yet"},
      {"code that was named by hand", "", a, {"v1"}, "named 'v1'"},
      {"a configuration that nobody kept", two, "", {one + "-" + two}, "no copy of configuration"},
  };
  for (const auto& [what, asked_code, config, found, becomes] : cases) {
    SCOPED_TRACE(what);
    auto complete = loop_.run(releaser_->complete({"v", asked_code, "", config}, found));
    if (complete)
      EXPECT_EQ(complete->digest, becomes);
    else
      EXPECT_THAT(complete.error().what, HasSubstr(becomes));
  }
}

// As the journal has it: a host that missed it is brought to exactly that.
TEST_F(ConfiguredTest, AReleaseThatIsCompleteMayBeAskedForAgain) {
  auto complete = asked(make_release("1.0"), configuration("a", "level {{level}}\n"));
  ASSERT_TRUE(succeeded(complete));
  ASSERT_EQ(complete->digest.size(), 129U) << complete->digest;
  auto again = loop_.run(releaser_->check_source(*complete));
  ASSERT_TRUE(succeeded(again));
  auto the_same = loop_.run(releaser_->complete(*again, {std::string(64, 'a')}));
  ASSERT_TRUE(succeeded(the_same));
  EXPECT_TRUE(*the_same == *complete) << the_same->digest << " " << the_same->config;
}

TEST_F(ConfiguredTest, OldReleasesGoWithTheirRenderedFilesAndTheirCodeStaysWhereItIsNeeded) {
  options_.keep = 1;
  start_over();
  roll(make_release("1.0"), "");
  std::vector<std::string> rolled;
  for (const auto* name : {"a", "b", "c", "d"}) rolled.push_back(roll(only_config, configuration(name, "level {{level}}\n")).digest);
  // Prepared, and not swapped: a roll back of this rollout leads to d.
  auto e = asked(only_config, configuration("e", "level {{level}}\n"));
  ASSERT_TRUE(succeeded(e));
  ASSERT_TRUE(succeeded(prepare(*e)));
  std::set<std::string> left;
  for (const auto& release : fs::directory_iterator(at("releases"))) left.insert(release.path().filename());
  EXPECT_EQ(left, (std::set{e->digest, rolled[3], rolled[2], rolled[1]}))
      << "the new one, the running one, the one before it, and one more; of the code alone nothing is needed";
  auto found = local_.path() + "/found";
  ASSERT_NE(Process::run({"sh", "-c", "grep -rl 'level a' " + at("") + " >" + found}), 0) << read_text(found);

  ASSERT_TRUE(succeeded(upgrade(*e)));
  ASSERT_TRUE(succeeded(revert(rolled[3])));
  EXPECT_EQ(read_text(at("running")), "1.0\nlevel d\n");
}

// Every command of the swap script in turn is the one before which the host loses its power. Whatever was done by then,
// the way back leads to exactly what was, and the way on to exactly what was wanted.
TEST_F(ConfiguredTest, ASwapThatBreaksOffAnywhereCanBeTakenBackAndRepeated) {
  write_text(etc("web.conf"), "by hand\n");
  auto one = roll(make_release("1.0"), "");
  roll(only_config, configuration("a", "level {{level}}\n", "true", {"gone.conf"}));
  auto a = current();
  auto b = *asked(make_release("2.0"), configuration("b", "level {{level}}\n", "true", {"new.conf"}));
  ASSERT_TRUE(succeeded(prepare(b)));

  auto bin = local_.path() + "/bin";
  fs::create_directory(bin);
  for (const auto* tool : {"mv", "cp", "rm", "ln", "mkdir", "chmod", "sync"}) {
    auto wrapper = bin + "/" + tool;
    write_text(wrapper, "#!/bin/sh\nread -r left <" + bin + "/left\necho $((left - 1)) >" + bin +
                            "/left\n[ $left -gt 0 ] || { kill -9 $PPID; exit 1; }\nexec /bin/" + std::string(tool) + " \"$@\"\n");
    fs::permissions(wrapper, fs::perms::owner_all);
  }
  const int enough = 10'000;
  auto run = [&](const std::string& release, int commands) {
    write_text(bin + "/left", std::to_string(commands) + "\n");
    write_text(bin + "/script", swap_script(at(""), release, "true"));
    auto counted = commands == enough ? std::string() : bin + ":";
    return Process::run({"env", "PATH=" + counted + "/bin:/usr/bin", "sh", "-c", "sh " + bin + "/script 2>/dev/null; exit $?"});
  };
  auto state = [&] {
    std::map<std::string, std::string> files;
    for (const auto& file : fs::directory_iterator(etc(""))) files[file.path().filename()] = read_text(file.path());
    files["current"] = current();
    return files;
  };
  const auto before = state();
  ASSERT_EQ(before.at("gone.conf"), "gone.conf of a\n");
  ASSERT_EQ(run(b.digest, enough), 0);
  const auto after = state();
  ASSERT_EQ(after.at("new.conf"), "new.conf of b\n");
  ASSERT_FALSE(after.contains("gone.conf"));
  ASSERT_EQ(run(a, enough), 0);
  ASSERT_EQ(state(), before);

  int broken = 0;
  for (int commands = 0; run(b.digest, commands) != 0; ++commands, ++broken) {
    SCOPED_TRACE(commands);
    ASSERT_EQ(run(a, enough), 0);
    ASSERT_EQ(state(), before);
    // And on instead of back.
    run(b.digest, commands);
    ASSERT_EQ(run(b.digest, enough), 0);
    ASSERT_EQ(state(), after);
    ASSERT_EQ(run(a, enough), 0);
  }
  EXPECT_GT(broken, 15);
  ASSERT_EQ(run(one.digest, enough), 0);
  EXPECT_EQ(read_text(etc("web.conf")), "by hand\n");
}

}  // namespace
}  // namespace shiftd
