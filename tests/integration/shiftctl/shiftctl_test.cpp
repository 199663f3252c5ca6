// shiftctl as people run it: a process of its own, against the real API server.

#include <atomic>
#include <future>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "daemon/store/journal.hpp"
#include "tests/fakes/api_fixture.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

struct Ran {
  int code = -1;
  std::string out;
  std::string error;
};

class ShiftctlTest : public testing::Test {
 protected:
  // `timeout` ends it by its own pid when a test's expectation was wrong.
  Ran run(std::vector<std::string> words, bool to_socket = true) {
    auto name = api_.directory() + "/run" + std::to_string(++runs_);
    std::vector<std::string> command{
        "sh", "-c", "exec \"$@\" >" + name + ".out 2>" + name + ".err", "sh", "timeout", "-k", "1", "60", SHIFTD_BUILD_DIR "/shiftctl"};
    if (to_socket) command.insert(command.end(), {"--socket", api_.socket()});
    command.insert(command.end(), words.begin(), words.end());
    auto code = Process::run(command);
    return {code, read_text(name + ".out"), read_text(name + ".err")};
  }
  std::future<Ran> run_beside(std::vector<std::string> words) {
    return std::async(std::launch::async, [this, words = std::move(words)]() mutable { return run(std::move(words)); });
  }
  std::string tarball() {
    auto path = api_.directory() + "/web.tar.gz";
    write_text(path, "a release");
    return path;
  }
  std::vector<std::string> start(std::vector<std::string> more = {}) {
    std::vector<std::string> words{"start", "web", "--release", "2.0", "--source", tarball(), "--sha256", std::string(64, 'a')};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  void begin_rollout() {
    api_.control([](FakeControl& control) { control.say("web-1", first_records(small_plan(small_request("web-1")))); });
  }
  void end_rollout(Outcome outcome, std::string reason) {
    api_.control([&](FakeControl& control) { control.say("web-1", Ended{outcome, std::move(reason)}); });
  }
  // Until the server has been told to start something.
  void await_start() {
    for (bool there = false; !there; std::this_thread::yield())
      api_.control([&](FakeControl& control) { there = !control.starts.empty(); });
  }

  ApiFixture api_;
  std::atomic<int> runs_ = 0;
};

TEST_F(ShiftctlTest, StartsARolloutAndNamesIt) {
  auto ran = run(start({"--reason", "weekly"}));
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_EQ(ran.out, "web-1 started\n");
  api_.control([](FakeControl& control) {
    EXPECT_EQ(control.starts.at(0).reason, "weekly");
    EXPECT_EQ(control.starts.at(0).release.digest, std::string(64, 'a'));
  });
}

TEST_F(ShiftctlTest, ComputesTheDigestThatIsNotGiven) {
  auto ran = run({"start", "web", "--release", "2.0", "--source", tarball()});
  EXPECT_EQ(ran.code, 0) << ran.error;
  api_.control([](FakeControl& control) {
    // printf 'a release' | sha256sum
    EXPECT_EQ(control.starts.at(0).release.digest, "e9edfb8e46f891370bda2772760ae14bc1572a2ce9263368cd5282dac3241eb8");
  });
}

TEST_F(ShiftctlTest, NamesAReleaseByUrlByDigestOrByVersionAlone) {
  auto digest = std::string(64, 'b');
  EXPECT_EQ(run({"start", "web", "--release", "2.0", "--source", "https://example.net/web.tar.gz", "--sha256", digest}).code, 0);
  EXPECT_EQ(run({"start", "web", "--release", "2.0", "--sha256", digest}).code, 0);
  EXPECT_EQ(run({"start", "web", "--release", "2.4.1-1"}).code, 0);
  auto no_digest = run({"start", "web", "--release", "2.0", "--source", "https://example.net/web.tar.gz"});
  EXPECT_EQ(no_digest.code, 2);
  EXPECT_THAT(no_digest.error, HasSubstr("--sha256"));
  api_.control([&](FakeControl& control) {
    ASSERT_EQ(control.starts.size(), 3U);
    EXPECT_EQ(control.starts[0].release, (Release{"2.0", digest, "https://example.net/web.tar.gz"}));
    EXPECT_EQ(control.starts[1].release, (Release{"2.0", digest, ""}));
    EXPECT_EQ(control.starts[2].release, (Release{"2.4.1-1", "2.4.1-1", ""}));
  });
}

TEST_F(ShiftctlTest, AConfigurationIsAPartOfARelease) {
  const std::string digest(64, 'a');
  auto directory = api_.directory() + "/configs/12";
  EXPECT_EQ(run({"start", "web", "--config", directory + "/"}).code, 0);
  EXPECT_EQ(run({"start", "web", "--release", "2.0", "--code", tarball(), "--sha256", digest, "--config", "none"}).code, 0);
  EXPECT_EQ(run({"start", "web", "--release", "again", "--config", digest}).code, 0);
  EXPECT_EQ(run({"start", "web", "--sha256", digest, "--config", directory}).code, 2) << "code has a name";
  api_.control([&](FakeControl& control) {
    ASSERT_EQ(control.starts.size(), 3U);
    EXPECT_EQ(control.starts[0].release, (Release{"config 12", "", "", directory}));
    EXPECT_EQ(control.starts[1].release, (Release{"2.0", digest, tarball(), "none"}));
    EXPECT_EQ(control.starts[2].release, (Release{"again", "", "", digest}));
  });
}

TEST_F(ShiftctlTest, ARestartIsARolloutOfNoRelease) {
  auto ran = run({"restart", "web", "--limit", "web1", "--reason", "a leak"});
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_EQ(ran.out, "web-1 started\n");
  api_.control([&](FakeControl& control) {
    EXPECT_EQ(control.starts.at(0).release, (Release{"restart", "restart", ""}));
    EXPECT_EQ(control.starts.at(0).limit, std::vector<std::string>{"web1"});
  });
  EXPECT_EQ(run({"restart", "web", "--reboot", "--reason", "a kernel"}).code, 0);
  api_.control([](FakeControl& control) { EXPECT_EQ(control.starts.at(1).release, (Release{"reboot", "reboot", ""})); });
}

TEST_F(ShiftctlTest, PlansInWordsAndInJson) {
  auto words = run({"plan", "web", "--release", "2.0", "--source", tarball()});
  EXPECT_EQ(words.code, 2) << words.error;
  EXPECT_THAT(words.out, HasSubstr("stage 1 of 3: 10% asked, 9.9% achievable"));
  auto as_json = run({"-o", "json", "plan", "web", "--release", "2.0", "--source", tarball()});
  EXPECT_EQ(json::parse(as_json.out)["stages"].size(), 3U);
}

TEST_F(ShiftctlTest, APlansExitCodeSaysWhetherThereIsAnythingToDo) {
  const std::vector<std::string> plan{"plan", "web", "--release", "2.0"};
  EXPECT_EQ(run(plan).code, 2);
  api_.control([](FakeControl& control) {
    control.fleet = [](Plan& made) {
      for (auto& host : made.hosts) host.role = Role::already_there;
    };
  });
  EXPECT_EQ(run(plan).code, 0);
  for (const auto& words : std::vector<std::vector<std::string>>{{"plan"},
                                                                 {"plan", "web"},
                                                                 {"plan", "web", "--frobnicate"},
                                                                 {"plan", "shop", "--release", "2.0"},
                                                                 {"plan", "web", "--release", "2.0", "--source", "/no/such/file"},
                                                                 {"plan", "web", "--release", "2.0", "--out", "/no/such/folder/plan"}})
    EXPECT_EQ(run(words).code, 1) << words.back();
  api_.close();
  EXPECT_EQ(run(plan).code, 1);
}

TEST_F(ShiftctlTest, StartsExactlyASavedPlanOrSaysWhatDiffers) {
  auto file = api_.directory() + "/plan.json";
  auto saved = run({"plan", "web", "--release", "2.0", "--source", tarball(), "--out", file});
  ASSERT_EQ(saved.code, 2) << saved.error;
  auto started = run({"start", "--plan", file, "--reason", "as agreed"});
  EXPECT_EQ(started.code, 0) << started.error;
  EXPECT_EQ(started.out, "web-1 started\n");
  api_.control([&](FakeControl& control) {
    ASSERT_EQ(control.starts.size(), 1U);
    EXPECT_EQ(control.starts[0].release.source, tarball());
    EXPECT_EQ(control.starts[0].reason, "as agreed");
    control.fleet = [](Plan& made) {
      made.hosts[0].digest = std::string(64, 'e');
      made.members[1].original.setting.weight = 7;
      made.hosts[2].name = "web9";
      ++made.batch;
    };
  });
  auto refused = run({"start", "--plan", file});
  EXPECT_EQ(refused.code, 6);
  EXPECT_THAT(refused.error, HasSubstr("the fleet has changed\n"));
  EXPECT_THAT(refused.error, HasSubstr("  web1: release: was bbbb"));
  EXPECT_THAT(refused.error, HasSubstr("  web2 as web2: weight: was 100, is 7\n"));
  EXPECT_THAT(refused.error, HasSubstr("  web3 is no host of the service any more\n"));
  EXPECT_THAT(refused.error, HasSubstr("  web9 is a new host of the service\n"));
  EXPECT_THAT(refused.error, HasSubstr("  the plan's batch\n"));
  api_.control([](FakeControl& control) { EXPECT_EQ(control.starts.size(), 1U); });

  EXPECT_EQ(run({"start", "--plan", tarball()}).code, 2);
  EXPECT_EQ(run({"start", "web", "--plan", file}).code, 2) << "the plan says of which service it is";
}

TEST_F(ShiftctlTest, ShowsWhatJobsHaveSaidOnAHost) {
  begin_rollout();
  api_.control([](FakeControl& control) { control.known_logs = "== web-1-3\nready\x1b[31m\tnow\n-- ended with 0\n"; });
  auto shown = run({"logs", "web2"});
  EXPECT_EQ(shown.code, 0) << shown.error;
  EXPECT_EQ(shown.out, "== web-1-3\nready?[31m now\n-- ended with 0\n");
  end_rollout(Outcome::succeeded, "");
  EXPECT_EQ(run({"logs", "web2", "--rollout", "web-1", "-f"}).out, shown.out) << "it has ended: nothing more is waited for";
  EXPECT_EQ(run({"logs", "db1"}).code, 6);
  EXPECT_EQ(run({"logs", "web1", "--rollout", "web-9"}).code, 6);
  EXPECT_EQ(run({"logs"}).code, 2);
}

TEST_F(ShiftctlTest, ShowsAndListsTheNewest) {
  begin_rollout();
  auto status = run({"status"});
  EXPECT_EQ(status.code, 0) << status.error;
  EXPECT_THAT(status.out, HasSubstr("web to 2.0  web-1  shifting"));
  EXPECT_THAT(status.out, HasSubstr("web3"));
  EXPECT_EQ(json::parse(run({"status", "web-1", "-o", "json"}).out)["rollout"], "web-1");
  EXPECT_THAT(run({"list"}).out, HasSubstr("web-1"));
  EXPECT_EQ(json::parse(run({"list", "-o", "json"}).out)["rollouts"].size(), 1U);
}

TEST_F(ShiftctlTest, SendsEveryCommandToTheRightRollout) {
  begin_rollout();
  EXPECT_EQ(run({"pause", "--reason", "lunch"}).code, 0);
  EXPECT_EQ(run({"rollback", "web-1", "--reason", "worse"}).code, 0);
  EXPECT_EQ(run({"abort"}).code, 0);
  api_.control([](FakeControl& control) {
    ASSERT_EQ(control.commands.size(), 3U);
    EXPECT_EQ(control.commands[0].second.verb, Verb::pause);
    EXPECT_EQ(control.commands[0].second.reason, "lunch");
    EXPECT_EQ(control.commands[1].second.verb, Verb::roll_back);
    EXPECT_EQ(control.commands[2].second.verb, Verb::abort);
  });
}

TEST_F(ShiftctlTest, EndsWithTheCodesThatItDocuments) {
  struct {
    const char* what;
    std::vector<std::string> words;
    int code;
    const char* says;
  } const cases[] = {
      {"no command", {}, 2, "subcommand is required"},
      {"an unknown command", {"frobnicate"}, 2, ""},
      {"an option missing", {"start", "web"}, 2, "--release"},
      {"a reason missing", {"take", "web1"}, 2, "--reason"},
      {"a tarball that is not there", {"start", "web", "--release", "2", "--source", "/no/such/file"}, 2, "/no/such/file"},
      {"a digest that is none", {"start", "web", "--release", "2", "--source", "/x", "--sha256", "12"}, 2, "64 hex digits"},
      {"no such service", {"start", "shop", "--release", "2", "--source", "/x", "--sha256", std::string(64, 'a')}, 6, "no service 'shop'"},
      {"no rollout yet", {"status"}, 6, "no rollout yet"},
      {"no such rollout", {"pause", "web-9"}, 6, "no rollout 'web-9'"},
      {"help", {"--help"}, 0, ""},
  };
  for (const auto& [what, words, code, says] : cases) {
    SCOPED_TRACE(what);
    auto ran = run(words);
    EXPECT_EQ(ran.code, code);
    EXPECT_THAT(ran.error, HasSubstr(says));
  }
  begin_rollout();
  auto refused = run({"resume"});
  EXPECT_EQ(refused.code, 6);
  EXPECT_EQ(refused.error, "shiftctl: cannot resume web-1: it is not paused\n");
  api_.close();
  auto gone = run({"status"});
  EXPECT_EQ(gone.code, 5);
  EXPECT_THAT(gone.error, HasSubstr("shiftd at " + api_.socket()));
}

TEST_F(ShiftctlTest, WaitsAndEndsAsTheRolloutDid) {
  struct {
    Outcome outcome;
    int code;
    const char* sentence;
  } const cases[] = {{Outcome::succeeded, 0, "succeeded: well done"},
                     {Outcome::failed, 1, "failed: well done"},
                     {Outcome::rolled_back, 3, "rolled back: well done"},
                     {Outcome::aborted, 4, "aborted: well done"}};
  int number = 0;
  for (const auto& [outcome, code, sentence] : cases) {
    SCOPED_TRACE(sentence);
    auto rollout = "web-" + std::to_string(++number);
    auto waiting = run_beside(start({"--wait"}));
    for (bool there = false; !there; std::this_thread::yield())
      api_.control([&](FakeControl& control) { there = control.starts.size() == static_cast<std::size_t>(number); });
    api_.control([&](FakeControl& control) { control.say(rollout, Ended{outcome, "well done"}); });
    auto ran = waiting.get();
    EXPECT_EQ(ran.code, code) << ran.error;
    EXPECT_THAT(ran.out, EndsWith(std::string("  ") + sentence + "\n"));
    EXPECT_THAT(ran.out, HasSubstr("stage 1 begins"));
  }
}

TEST_F(ShiftctlTest, KeepsStdoutForJsonWhileItWaits) {
  auto waiting = run_beside(start({"--wait", "-o", "json"}));
  await_start();
  end_rollout(Outcome::rolled_back, "too many 5xx");
  auto ran = waiting.get();
  EXPECT_EQ(ran.code, 3);
  EXPECT_EQ(json::parse(ran.out), json::parse(R"({"rollout":"web-1","outcome":"rolled_back","reason":"too many 5xx"})"));
  EXPECT_THAT(ran.error, HasSubstr("stage 1 begins"));
}

TEST_F(ShiftctlTest, WaitsOnWhileTheDaemonIsStartedAgainAndSaysNothingTwice) {
  auto waiting = run_beside(start({"--wait"}));
  await_start();
  api_.close();
  api_.open();
  api_.control([](FakeControl& control) { control.say("web-1", StagePassed{0, "60 requests, no failure"}); });
  api_.close();
  api_.open();
  end_rollout(Outcome::succeeded, "all hosts are on 2.0");
  auto ran = waiting.get();
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_EQ(ran.out.find("stage 1 begins"), ran.out.rfind("stage 1 begins"));
  EXPECT_EQ(ran.out.find("stage 1 passed"), ran.out.rfind("stage 1 passed"));
  EXPECT_THAT(ran.out, HasSubstr("stage 1 passed: 60 requests, no failure"));
}

TEST_F(ShiftctlTest, WatchesLineByLineWhereThereIsNoTerminal) {
  begin_rollout();
  end_rollout(Outcome::aborted, "asked for by alice");
  auto ran = run({"watch"});
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.out, HasSubstr("stage 1 begins"));
  EXPECT_THAT(ran.out, Not(HasSubstr("\x1b")));
}

// script(1) gives it a terminal.
TEST_F(ShiftctlTest, WatchesOnATerminalAndPutsItBack) {
  begin_rollout();
  end_rollout(Outcome::succeeded, "all hosts are on 2.0");
  auto log = api_.directory() + "/screen";
  auto code =
      Process::run({"timeout", "-k", "1", "60", "script", "-qec", SHIFTD_BUILD_DIR "/shiftctl --socket " + api_.socket() + " watch", log});
  EXPECT_EQ(code, 0);
  auto screen = read_text(log);
  auto left = screen.rfind("\x1b[?25h\x1b[?1049l");
  ASSERT_NE(left, std::string::npos);
  EXPECT_LT(screen.find("\x1b[?1049h\x1b[?25l"), left);
  EXPECT_THAT(screen.substr(left), HasSubstr("succeeded"));
}

TEST_F(ShiftctlTest, ListsWhatHappenedWithoutWaitingForMore) {
  begin_rollout();
  auto ran = run({"events"});
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_THAT(ran.out, HasSubstr("web to 2.0 asked for by alice: the weekly release"));
  auto lines = run({"events", "-o", "json"}).out;
  EXPECT_EQ(json::parse(lines.substr(0, lines.find('\n')))["is"], "requested");
}

TEST_F(ShiftctlTest, SpeaksToThePortWithTheToken) {
  begin_rollout();
  auto url = "http://" + api_.address();
  auto ran = run({"--url", url, "--token-file", api_.token_file(), "pause"}, false);
  EXPECT_EQ(ran.code, 0) << ran.error;
  api_.control([](FakeControl& control) { EXPECT_THAT(control.commands.at(0).second.by, EndsWith(" via token")); });
  auto wrong = api_.directory() + "/wrong";
  ApiFixture::write_private(wrong, "not-the-right-token");
  auto refused = run({"--url", url, "--token-file", wrong, "status"}, false);
  EXPECT_EQ(refused.code, 6);
  EXPECT_THAT(refused.error, HasSubstr("token"));
  EXPECT_EQ(run({"--url", url, "status"}, false).code, 2);
}

TEST_F(ShiftctlTest, TakesTheSocketFromTheEnvironment) {
  begin_rollout();
  EXPECT_EQ(Process::run({SHIFTD_BUILD_DIR "/shiftctl", "status"}, {"SHIFTD_SOCKET=" + api_.socket()}), 0);
}

class RescueTest : public ShiftctlTest {
 protected:
  void write_journal(const std::vector<Record>& records, bool ended) {
    Codec codec;
    std::vector<std::string> texts;
    for (const auto& record : records) texts.push_back(codec.encode(record));
    boost::asio::io_context loop(1);
    auto journal = open_sqlite_journal(path_).value();
    std::vector<std::string> first{texts.front()};
    ASSERT_TRUE(run_task(loop, journal->create("web-1", "web", std::move(first))));
    texts.erase(texts.begin());
    ASSERT_TRUE(run_task(loop, journal->append("web-1", 1, std::move(texts), ended)));
  }
  static std::vector<Record> depooled() {
    auto records = first_records(small_plan(small_request("web-1")));
    Observed out{{Pooled::no, 100}, "drain 100", "2"};
    records.push_back({at_second(2), HostMoved{0, HostPhase::depooling, 0, false, ""}});
    records.push_back({at_second(2), MemberWanted{0, {Pooled::no, 100}, false, 1}});
    records.push_back({at_second(3), MemberSet{0, 1, out}});
    records.push_back({at_second(4), MemberTaken{1, {{Pooled::no, 50}, "drain 50", "9"}}});
    return records;
  }

  std::string path_ = api_.directory() + "/journal.db";
};

TEST_F(RescueTest, PrintsTheCommandThatRestoresEachMemberAndNothingElseThanComments) {
  write_journal(depooled(), false);
  auto ran = run({"rescue", "--journal", path_}, false);
  EXPECT_EQ(ran.code, 0) << ran.error;
  std::istringstream lines(ran.out);
  std::vector<std::string> commands;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) commands.push_back(line);
  }
  EXPECT_THAT(commands, testing::ElementsAre("echo 'set server app/web1 weight 100'"));
  EXPECT_THAT(ran.out, HasSubstr("lb1/app/web2 was changed by somebody else"));
  EXPECT_THAT(ran.out, HasSubstr("web1 (depooling) is on the release that was found on it"));
}

TEST_F(RescueTest, SaysWhenNothingIsToBeRestored) {
  auto records = first_records(small_plan(small_request("web-1")));
  records.push_back({at_second(9), Ended{Outcome::aborted, "asked for"}});
  write_journal(records, true);
  auto ran = run({"rescue", "--journal", path_}, false);
  EXPECT_EQ(ran.code, 0) << ran.error;
  EXPECT_THAT(ran.out, testing::StartsWith("# nothing to restore"));
}

TEST_F(RescueTest, NamesAJournalThatIsNotThere) {
  auto ran = run({"rescue", "--journal", path_ + ".gone"}, false);
  EXPECT_EQ(ran.code, 6);
  EXPECT_THAT(ran.error, HasSubstr(path_ + ".gone"));
}

}  // namespace
}  // namespace shiftd
