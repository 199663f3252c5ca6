// The releaser on a real host: sshd, tar, symbolic links, and a service that is a file with a release's digest in it.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "daemon/release/restart.hpp"
#include "daemon/release/tarball.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/succeeded.hpp"
#include "tests/integration/release/tarball_host.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class TarballReleaserTest : public testing::Test, public TarballHost {};

TEST_F(TarballReleaserTest, GoesFromNothingToOneReleaseToTheNextAndBack) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  EXPECT_EQ(loop_.run(releaser().inspect(place_)), Result<std::string>(""));
  EXPECT_FALSE(fs::exists(at("")));

  EXPECT_EQ(prepare(one), Result<std::string>(""));
  EXPECT_EQ(link("current"), "");
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  EXPECT_EQ(link("current"), "releases/" + one.digest);
  EXPECT_EQ(link("previous"), "");
  EXPECT_EQ(read_text(at("running")), "1.0\n");

  EXPECT_EQ(prepare(two), Result<std::string>(one.digest));
  EXPECT_EQ(link("current"), "releases/" + one.digest);
  ASSERT_TRUE(succeeded(upgrade(two, "r2-1")));
  EXPECT_EQ(link("current"), "releases/" + two.digest);
  EXPECT_EQ(link("previous"), "releases/" + one.digest);
  EXPECT_EQ(read_text(at("running")), "2.0\n");
  EXPECT_EQ(loop_.run(releaser().inspect(place_)), Result<std::string>(two.digest));

  auto back = loop_.run(releaser().revert(place_, one.digest, "r2-2"));
  ASSERT_TRUE(succeeded(back));
  EXPECT_EQ(link("current"), "releases/" + one.digest);
  EXPECT_EQ(link("previous"), "releases/" + two.digest);
  EXPECT_EQ(read_text(at("running")), "1.0\n");
  EXPECT_EQ(restarts(), 3);
}

TEST_F(TarballReleaserTest, TheSameJobAgainRestartsNothing) {
  auto one = make_release("1.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  EXPECT_EQ(restarts(), 1);
  // Another job restarts although `current` is right already: the service may run something else.
  ASSERT_TRUE(succeeded(upgrade(one, "r1-2")));
  EXPECT_EQ(restarts(), 2);
  EXPECT_EQ(link("previous"), "");
}

TEST_F(TarballReleaserTest, ShowsWhatTheJobsOfARolloutHaveSaid) {
  options_.restart =
      "echo restarting; echo 'db_password=hunter2 http://me:hunter3@db/ ok'; printf 'no end'; [ {{version}} != 2.0 ] || exit 3";
  auto logs = [&](const std::string& rollout) { return loop_.run(releaser().logs(place_, rollout)); };
  EXPECT_EQ(logs("r1"), Result<std::string>(""));
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  ASSERT_TRUE(succeeded(prepare(two)));
  ASSERT_FALSE(upgrade(two, "r1-2"));
  ASSERT_FALSE(upgrade(two, "r10-3"));
  auto said = logs("r1");
  ASSERT_TRUE(succeeded(said));
  EXPECT_TRUE(said->starts_with("== r1-1, 20")) << *said;
  EXPECT_NE(said->find("Z\nrestarting\ndb_password=*** http://me:***@db/ ok\nno end\n-- ended with 0\n== r1-2, "), std::string::npos)
      << *said;
  EXPECT_TRUE(said->ends_with("no end\n-- ended with 3\n")) << *said;
  EXPECT_EQ(said->find("hunter"), std::string::npos) << *said;
  EXPECT_EQ(said->find("r10"), std::string::npos) << *said;
}

TEST_F(TarballReleaserTest, PreparingAgainUploadsNothing) {
  auto one = make_release("1.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
  fs::remove(one.source);
  auto again = prepare(one);
  EXPECT_TRUE(succeeded(again));
}

TEST_F(TarballReleaserTest, TheHostFetchesWhatAUrlNames) {
  auto one = make_release("1.0");
  auto port = std::to_string(free_port());
  Process server({.command = {"python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", local_.path(), port},
                  .environment = {},
                  .output = ""});
  auto by_url = one;
  by_url.source = "http://127.0.0.1:" + port + "/1.0.tar.gz";
  EXPECT_TRUE(loop_.run(releaser().check_source(by_url)).has_value());
  // Until the server listens, it is unavailable, which is asked again.
  Result<std::string> prepared = Failure{Errc::unavailable, ""};
  EXPECT_TRUE(eventually([&] {
    prepared = prepare(by_url);
    return prepared || !retryable(prepared.error().code);
  }));
  ASSERT_TRUE(prepared) << prepared.error();
  EXPECT_EQ(read_text(at("releases/" + one.digest + "/version")), "1.0\n");
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));

  auto two = make_release("2.0");
  auto wrong = prepare({"2.0", two.digest, by_url.source});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::bad_input) << "another tarball lies there: " << wrong.error();
  EXPECT_NE(wrong.error().what.find(one.digest), std::string::npos) << wrong.error();
  auto missing = prepare({"2.0", two.digest, "http://127.0.0.1:" + port + "/missing.tar.gz"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::refused);
  EXPECT_NE(missing.error().what.find("404"), std::string::npos) << missing.error();
  auto nobody = prepare({"2.0", two.digest, "http://127.0.0.1:" + std::to_string(free_port()) + "/2.0.tar.gz"});
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, Errc::unavailable) << nobody.error();
  EXPECT_FALSE(fs::exists(at("releases/" + two.digest)));
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
}

TEST_F(TarballReleaserTest, AUrlIsNothingThatAShellReads) {
  auto one = make_release("1.0");
  one.source =
      "http://127.0.0.1:" + std::to_string(free_port()) + "/';touch " + sshd_.file("owned") + ";'$(touch " + sshd_.file("owned") + ")";
  EXPECT_FALSE(prepare(one));
  EXPECT_FALSE(fs::exists(sshd_.file("owned")));
}

TEST_F(TarballReleaserTest, ARestartRestartsWhatRunsAndChangesNoLink) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  auto with = with_restarts(make_tarball_releaser(loop_.clock(), options_, *this));
  const Release restart{std::string(restart_version), std::string(restart_version), ""};
  EXPECT_TRUE(loop_.run(with->check_source(restart)).has_value());
  auto nothing = prepare_with(*with, restart);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, Errc::refused) << nothing.error();

  // Everything else goes through to the tarballs.
  for (const auto& release : {one, two}) {
    ASSERT_TRUE(loop_.run(with->check_source(release)).has_value());
    ASSERT_TRUE(prepare_with(*with, release).has_value());
    ASSERT_TRUE(loop_.run(with->upgrade(place_, release, "up-" + release.digest.substr(0, 4))).has_value());
  }
  EXPECT_EQ(prepare_with(*with, restart), Result<std::string>(two.digest));
  ASSERT_TRUE(loop_.run(with->upgrade(place_, restart, "r-1")).has_value());
  ASSERT_TRUE(loop_.run(with->upgrade(place_, restart, "r-1")).has_value());
  EXPECT_EQ(restarts(), 3) << "the same job again restarts nothing";
  EXPECT_EQ(link("current"), "releases/" + two.digest);
  EXPECT_EQ(link("previous"), "releases/" + one.digest);

  write_text(at("running"), two.digest + "\n");
  EXPECT_TRUE(loop_.run(with->prove_running(place_, restart.digest)).has_value());
  write_text(at("running"), one.digest + "\n");
  options_.prove_limit = 300ms;
  with = with_restarts(make_tarball_releaser(loop_.clock(), options_, *this));
  auto other = loop_.run(with->prove_running(place_, restart.digest));
  ASSERT_FALSE(other) << "it came up with something else than it has";
  EXPECT_EQ(other.error().code, Errc::refused);
}

TEST_F(TarballReleaserTest, AReleaseThatTheHostHasNeedsNoSource) {
  auto one = make_release("1.0");
  Release known{"1.0", one.digest, ""};
  EXPECT_TRUE(loop_.run(releaser().check_source(known)).has_value());
  auto absent = prepare(known);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Errc::refused);
  EXPECT_NE(absent.error().what.find("not on this host"), std::string::npos) << absent.error();
  // As somebody else would bring it: the mark last.
  fs::create_directories(at("releases/" + one.digest));
  write_text(at("releases/" + one.digest + "/version"), "1.0\n");
  write_text(at("releases/" + one.digest + "/.shiftd-complete"), one.digest + "\n");
  ASSERT_TRUE(prepare(known).has_value());
  ASSERT_TRUE(upgrade(known, "r1-1").has_value());
  EXPECT_EQ(link("current"), "releases/" + one.digest);
}

TEST_F(TarballReleaserTest, WhoeverPackedATarballDoesNotDecideWhoMayEnterTheRelease) {
  fs::create_directories(tree_of("1.0"));
  fs::permissions(tree_of("1.0"), fs::perms::owner_all);
  auto one = make_release("1.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  auto mode = fs::status(at("releases/" + one.digest)).permissions();
  EXPECT_EQ(mode & fs::perms::others_read, fs::perms::others_read);
  EXPECT_EQ(mode & fs::perms::others_exec, fs::perms::others_exec);
}

TEST_F(TarballReleaserTest, AHalfUnpackedReleaseIsUnpackedAnew) {
  auto one = make_release("1.0");
  fs::create_directories(at("releases/" + one.digest + ".partial/bin"));
  fs::create_directories(at("releases/" + one.digest));
  auto prepared = prepare(one);
  ASSERT_TRUE(succeeded(prepared));
  EXPECT_EQ(read_text(at("releases/" + one.digest + "/version")), "1.0\n");
  EXPECT_FALSE(fs::exists(at("releases/" + one.digest + ".partial")));
}

TEST_F(TarballReleaserTest, AnUnpackingThatAnEarlierDaemonBeganIsWaitedFor) {
  auto one = make_release("1.0");
  fs::create_directories(at(".shiftd"));
  auto until_told = "echo >" + at(".shiftd/begun") + "; while [ ! -e " + at(".shiftd/end") + " ]; do sleep 0.02; done";
  Process earlier({.command = {"flock", at(".shiftd/unpack.lock"), "sh", "-c", until_told}, .environment = {}, .output = ""});
  ASSERT_TRUE(eventually([&] { return fs::exists(at(".shiftd/begun")); }));
  auto prepared = prepare(one);
  ASSERT_FALSE(prepared);
  // Not the host's failure: it is asked again.
  EXPECT_EQ(prepared.error().code, Errc::unavailable);
  EXPECT_TRUE(retryable(prepared.error().code));
  EXPECT_NE(prepared.error().what.find("the lock is held"), std::string::npos) << prepared.error();
  write_text(at(".shiftd/end"), "");
  ASSERT_TRUE(eventually([&] { return !earlier.running(); }));
  EXPECT_TRUE(succeeded(prepare(one)));
}

// A copy of shiftd's machine was started, and the original goes on.
TEST_F(TarballReleaserTest, AShiftdThatHasALaterOneBesideItBringsNothingAndSwapsNothing) {
  auto one = make_release("1");
  auto two = make_release("2");
  options_.epoch = 4;
  ASSERT_TRUE(prepare(one));
  ASSERT_TRUE(upgrade(one, "r1-1"));
  ASSERT_TRUE(prepare(two));
  auto early = options_;
  early.epoch = 3;
  auto original = make_tarball_releaser(loop_.clock(), early, *this);
  auto swapped = loop_.run(original->upgrade(place_, two, "r2-1"));
  ASSERT_FALSE(swapped);
  EXPECT_EQ(swapped.error().code, Errc::conflict);
  EXPECT_NE(swapped.error().what.find("(epoch 4), has worked on this host: stop one of the two"), std::string::npos) << swapped.error();
  auto prepared = prepare_with(*original, two);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::conflict);
  EXPECT_NE(prepared.error().what.find("(epoch 4), has worked on this host"), std::string::npos) << prepared.error();
  EXPECT_EQ(link("current"), "releases/" + one.digest);
  EXPECT_EQ(restarts(), 1);
  EXPECT_TRUE(upgrade(two, "r1-2"));
}

TEST_F(TarballReleaserTest, ATarballWithAnotherDigestIsBadInputBeforeItTravels) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  auto wrong = one;
  wrong.source = two.source;
  auto prepared = prepare(wrong);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::bad_input);
  EXPECT_NE(prepared.error().what.find(one.digest), std::string::npos) << prepared.error();
  EXPECT_NE(prepared.error().what.find(two.digest), std::string::npos) << prepared.error();
}

TEST_F(TarballReleaserTest, AReleaseIsReadBeforeAnythingBegins) {
  auto one = make_release("1.0");
  auto check = [&](const Release& release) { return loop_.run(releaser().check_source(release)); };
  EXPECT_TRUE(check(one));
  struct {
    const char* what;
    Release release;
    std::string says;
  } const cases[] = {
      {"another digest", {"1.0", std::string(64, 'a'), one.source}, one.source + " has the digest " + one.digest},
      {"no such file", {"1.0", one.digest, one.source + ".missing"}, "cannot read " + one.source + ".missing"},
      {"no digest", {"1.0", "ABC", one.source}, "'ABC' is no sha256"},
      {"a version alone", {"1.0", "1.0", ""}, "name one (--code) with its sha256"},
      {"a password in a URL", {"1.0", one.digest, "https://me:secret@example.net/x"}, "must not hold a user or password"},
      {"a URL without a host", {"1.0", one.digest, "http:///x"}, "names no host"},
  };
  for (const auto& [what, release, says] : cases) {
    SCOPED_TRACE(what);
    auto checked = check(release);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, Errc::bad_input);
    EXPECT_NE(checked.error().what.find(says), std::string::npos) << checked.error();
  }
}

TEST_F(TarballReleaserTest, ATarballThatChangesOnItsWayIsBadInputAndUnpackedNowhere) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  // Between the reading of its digest here and its arrival there: the file on the host is another one.
  class Swapped final : public Executor {
   public:
    Swapped(Executor& host, std::string other) : host_(host), other_(std::move(other)) {}
    Task<Result<void>> open() override { return host_.open(); }
    Task<Result<CommandResult>> run(std::string command, std::string input) override { return host_.run(command, input); }
    Task<Result<CommandResult>> send(std::string, std::string command, Duration silence) override {
      return host_.send(other_, command, silence);
    }
    Task<Result<CommandResult>> job(RemoteJob job) override { return host_.job(std::move(job)); }
    Task<Result<std::optional<CommandResult>>> job_result(std::string dir, std::string id) override { return host_.job_result(dir, id); }
    void close() override { host_.close(); }

   private:
    Executor& host_;
    std::string other_;
  };
  struct SwappedHosts final : Hosts {
    explicit SwappedHosts(Executor& executor) : executor_(executor) {}
    Executor& executor(const std::string&) override { return executor_; }
    Executor& executor_;
  };
  Swapped swapped(*host_, two.source);
  SwappedHosts hosts(swapped);
  auto releaser = make_tarball_releaser(loop_.clock(), options_, hosts);
  auto prepared = prepare_with(*releaser, one);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::bad_input);
  EXPECT_NE(prepared.error().what.find(one.digest), std::string::npos) << prepared.error();
  EXPECT_NE(prepared.error().what.find(two.digest), std::string::npos) << prepared.error();
  EXPECT_TRUE(fs::is_empty(at("releases")));
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
}

TEST_F(TarballReleaserTest, KeepsTheNewestAndNeverRemovesWhatIsRunningOrWas) {
  options_.keep = 1;
  std::vector<Release> releases;
  for (const auto* version : {"1", "2", "3", "4", "5"}) releases.push_back(make_release(version));
  ASSERT_TRUE(succeeded(prepare(releases[0])));
  ASSERT_TRUE(succeeded(upgrade(releases[0], "r-0")));
  ASSERT_TRUE(succeeded(prepare(releases[1])));
  ASSERT_TRUE(succeeded(upgrade(releases[1], "r-1")));
  for (int i = 2; i < 5; ++i) {
    ASSERT_TRUE(succeeded(prepare(releases[static_cast<std::size_t>(i)])));
    // As time would: the oldest first.
    auto marker = at("releases/" + releases[static_cast<std::size_t>(i)].digest + "/.shiftd-complete");
    fs::last_write_time(marker, fs::last_write_time(marker) - 1h * (5 - i));
  }
  EXPECT_TRUE(fs::exists(at("releases/" + releases[0].digest))) << "previous";
  EXPECT_TRUE(fs::exists(at("releases/" + releases[1].digest))) << "current";
  EXPECT_FALSE(fs::exists(at("releases/" + releases[2].digest))) << "too old";
  EXPECT_TRUE(fs::exists(at("releases/" + releases[3].digest))) << "the one kept besides";
  EXPECT_TRUE(fs::exists(at("releases/" + releases[4].digest))) << "the one just prepared";
}

TEST_F(TarballReleaserTest, ADiskWithoutRoomIsExhaustedAndTakesNothing) {
  auto one = make_release("1.0");
  class Full final : public Executor {
   public:
    explicit Full(Executor& host) : host_(host) {}
    Task<Result<void>> open() override { return host_.open(); }
    Task<Result<CommandResult>> run(std::string command, std::string input) override { return host_.run(command, input); }
    // The host's own words, with the free space of a full disk.
    Task<Result<CommandResult>> send(std::string local, std::string command, Duration silence) override {
      return host_.send(local, "df() { echo Filesystem; echo /dev/x 100 100 0 100% /; }; " + command, silence);
    }
    Task<Result<CommandResult>> job(RemoteJob job) override { return host_.job(std::move(job)); }
    Task<Result<std::optional<CommandResult>>> job_result(std::string dir, std::string id) override { return host_.job_result(dir, id); }
    void close() override { host_.close(); }

   private:
    Executor& host_;
  };
  struct FullHosts final : Hosts {
    explicit FullHosts(Executor& executor) : executor_(executor) {}
    Executor& executor(const std::string&) override { return executor_; }
    Executor& executor_;
  };
  Full full(*host_);
  FullHosts hosts(full);
  auto releaser = make_tarball_releaser(loop_.clock(), options_, hosts);
  auto prepared = prepare_with(*releaser, one);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::exhausted) << prepared.error();
  EXPECT_NE(prepared.error().what.find("has 0 MB free"), std::string::npos) << prepared.error();
  EXPECT_TRUE(fs::is_empty(at("releases")));
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
}

TEST_F(TarballReleaserTest, ADiskThatFillsOnTheWayIsExhaustedAndKeepsNothingOfIt) {
  SshdServer small({.max_startups = "100", .more_config = {}, .file_size_most = 100'000});
  auto connector = make_ssh_connector(loop_.clock(), small.client());
  host_ = connector->to(small.target());
  std::mt19937 random(1);
  std::string noise;
  while (noise.size() < 300'000) noise += static_cast<char>(random());
  write_text(local_.path() + "/noise", noise);
  auto tarball = local_.path() + "/noise.tar.gz";
  ASSERT_EQ(Process::run({"tar", "-czf", tarball, "-C", local_.path(), "noise"}), 0);
  Release large{"1.0", *loop_.run(sha256_of_file(tarball)), tarball};
  auto prepared = prepare(large);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::exhausted) << prepared.error();
  EXPECT_TRUE(fs::is_empty(at("releases")));
  EXPECT_TRUE(fs::is_empty(at(".shiftd/uploads")));
  // As long as it does not fit, nothing else is harmed.
  auto fits = make_release("2.0");
  EXPECT_TRUE(succeeded(prepare(fits)));
}

TEST_F(TarballReleaserTest, AReleaseThatIsNotThereIsNotSwappedTo) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  auto upgraded = upgrade(two, "r2-1");
  ASSERT_FALSE(upgraded);
  EXPECT_EQ(upgraded.error().code, Errc::refused);
  EXPECT_NE(upgraded.error().what.find("not on this host"), std::string::npos) << upgraded.error();
  EXPECT_EQ(link("current"), "releases/" + one.digest);
  EXPECT_EQ(restarts(), 1);
}

TEST_F(TarballReleaserTest, AFailedRestartIsRefusedWithWhatItSaid) {
  options_.restart = "echo 'unit {{host}} failed'; exit 5";
  auto one = make_release("1.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  auto upgraded = upgrade(one, "r1-1");
  ASSERT_FALSE(upgraded);
  EXPECT_EQ(upgraded.error().code, Errc::refused);
  EXPECT_NE(upgraded.error().what.find("ended with 5: unit web1 failed"), std::string::npos) << upgraded.error();
}

TEST_F(TarballReleaserTest, ARestartOverItsLimitIsRefused) {
  options_.restart = "sleep 60";
  options_.restart_limit = 300ms;
  auto one = make_release("1.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  auto upgraded = upgrade(one, "r1-1");
  ASSERT_FALSE(upgraded);
  EXPECT_EQ(upgraded.error().code, Errc::refused);
  EXPECT_NE(upgraded.error().what.find("limit of 300ms"), std::string::npos) << upgraded.error();
}

TEST_F(TarballReleaserTest, ACurrentThatIsADirectoryIsLeftAloneAndNamed) {
  fs::create_directories(at("current"));
  auto prepared = prepare(make_release("1.0"));
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, Errc::refused);
  EXPECT_NE(prepared.error().what.find("no symbolic link"), std::string::npos) << prepared.error();
}

TEST_F(TarballReleaserTest, WhileTheSwapRunsCurrentIsNeverAbsent) {
  auto one = make_release("1.0");
  auto two = make_release("2.0");
  ASSERT_TRUE(succeeded(prepare(one)));
  ASSERT_TRUE(succeeded(prepare(two)));
  ASSERT_TRUE(succeeded(upgrade(one, "r-0")));
  Process reader(
      {.command = {"sh", "-c", "while [ ! -e " + at("stop") + " ]; do [ -e " + at("current/version") + " ] || echo absent; done"},
       .environment = {},
       .output = sshd_.file("absent")});
  for (int i = 1; i <= 20; ++i) ASSERT_TRUE(succeeded(upgrade(i % 2 ? two : one, "r-" + std::to_string(i))));
  write_text(at("stop"), "");
  EXPECT_TRUE(eventually([&] { return !reader.running(); }));
  EXPECT_EQ(read_text(sshd_.file("absent")), "");
}

TEST_F(TarballReleaserTest, TheServiceItselfProvesWhichReleaseAnswers) {
  auto one = make_release("1.0");
  options_.restart = "echo {{release}} >{{path}}/running";
  ASSERT_TRUE(succeeded(prepare(one)));
  ASSERT_TRUE(succeeded(upgrade(one, "r1-1")));
  EXPECT_TRUE(succeeded(loop_.run(releaser().prove_running(place_, one.digest))));
  write_text(at("running"), one.digest.substr(0, 12) + "\n");
  EXPECT_TRUE(succeeded(loop_.run(releaser().prove_running(place_, one.digest))));

  write_text(at("running"), std::string(64, '0') + "\n");
  options_.prove_limit = 1s;
  auto impatient = make_tarball_releaser(loop_.clock(), options_, *this);
  auto other = loop_.run(impatient->prove_running(place_, one.digest));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::refused);
  EXPECT_NE(other.error().what.find("another release answers: '0000"), std::string::npos) << other.error();

  fs::remove(at("running"));
  auto none = loop_.run(impatient->prove_running(place_, one.digest));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::timed_out) << none.error();
}

TEST_F(TarballReleaserTest, TheProofMayBeAskedOverHttp) {
  auto digest = std::string(64, 'a');
  options_.version_command.clear();
  options_.version_url = "http://{{address}}/version";
  LoopbackServer server(loop_.context(), {"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n" + digest + "\n"});
  place_.address = server.address();
  auto beside = [](LoopbackServer& serving, Task<Result<void>> work) -> Task<Result<void>> {
    auto executor = co_await boost::asio::this_coro::executor;
    TaskGroup group(executor);
    group.start("serve", serving.serve());
    auto result = co_await std::move(work);
    group.stop();
    co_await group.join();
    co_return result;
  };
  auto proven = loop_.run(beside(server, releaser().prove_running(place_, digest)));
  EXPECT_TRUE(succeeded(proven));
  options_.prove_limit = 1s;
  auto impatient = make_tarball_releaser(loop_.clock(), options_, *this);
  auto refuted = loop_.run(beside(server, impatient->prove_running(place_, std::string(64, 'b'))));
  ASSERT_FALSE(refuted);
  EXPECT_EQ(refuted.error().code, Errc::refused) << refuted.error();
  place_.address = "127.0.0.1:" + std::to_string(free_port());
  auto nobody = loop_.run(impatient->prove_running(place_, digest));
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, Errc::unreachable) << nobody.error();
}

}  // namespace
}  // namespace shiftd
