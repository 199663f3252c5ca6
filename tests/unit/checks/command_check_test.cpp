#include <gtest/gtest.h>

#include "checks/checks.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A host on which every command ends the same way. Only what a check uses is there.
class OneAnswer final : public Executor {
 public:
  OneAnswer(Clock& clock, Result<CommandResult> answer) : clock_(clock), answer_(std::move(answer)) {}

  Task<Result<void>> open() override { return nothing<void>(); }
  Task<Result<CommandResult>> run(std::string command, std::string) override {
    commands.push_back(std::move(command));
    if (hangs) co_await clock_.sleep_for(1h);
    co_return answer_;
  }
  Task<Result<CommandResult>> send(std::string, std::string, Duration) override { return nothing<CommandResult>(); }
  Task<Result<CommandResult>> job(RemoteJob) override { return nothing<CommandResult>(); }
  Task<Result<std::optional<CommandResult>>> job_result(std::string, std::string) override {
    return nothing<std::optional<CommandResult>>();
  }
  void close() override {}

  std::vector<std::string> commands;
  bool hangs = false;

 private:
  template <class T>
  static Task<Result<T>> nothing() {
    co_return Failure{Errc::refused, "a check only runs commands"};
  }

  Clock& clock_;
  Result<CommandResult> answer_;
};

struct CommandChecks : testing::Test {
  CheckResult ask(CommandCheck spec, OneAnswer& executor, std::string host = "web1") {
    auto check = make_check(*clock, std::move(spec)).value();
    CheckTarget target{.host = std::move(host), .address = "10.1.2.3:8080", .executor = &executor};
    return run_task(check->ask(target));
  }
  static CommandCheck runs(std::string command) {
    CommandCheck spec;
    spec.run = std::move(command);
    return spec;
  }

  std::unique_ptr<Clock> clock = make_system_clock();
};

TEST_F(CommandChecks, ReadTheExitStatusAndTheFirstLineAsMonitoringPluginsMeanThem) {
  struct {
    const char* name;
    CommandResult command;
    CheckStatus status;
    const char* text;
  } const cases[] = {
      {"ok",
       {0, "DISK OK - free space: / 3326 MB | /=2643MB;5948\nlong text", "", false},
       CheckStatus::ok,
       "DISK OK - free space: / 3326 MB"},
      {"warning", {1, "DISK WARNING\n", "", false}, CheckStatus::warning, "DISK WARNING"},
      {"critical", {2, "DISK CRITICAL", "", false}, CheckStatus::critical, "DISK CRITICAL"},
      {"unknown", {3, "no such disk", "", false}, CheckStatus::unknown, "no such disk"},
      {"any other status", {4, "", "", false}, CheckStatus::unknown, "exit status 4"},
      {"no such command",
       {127, "", "sh: check_disk: not found\n", false},
       CheckStatus::unknown,
       "exit status 127, sh: check_disk: not found"},
      {"ended by a signal", {137, "", "", false}, CheckStatus::unknown, "exit status 137"},
      {"only numbers", {0, "|/=2643MB", "", false}, CheckStatus::ok, "exit status 0"},
      {"the bar is on a later line", {0, "fine\nmore | x=1", "", false}, CheckStatus::ok, "fine"},
      {"control characters", {2, "\x1b[31mbad", "", false}, CheckStatus::critical, "?[31mbad"},
  };
  for (const auto& [name, command, status, text] : cases) {
    SCOPED_TRACE(name);
    OneAnswer executor(*clock, command);
    auto result = ask(runs("check_disk"), executor);
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(result.text, text);
  }
}

TEST_F(CommandChecks, PutHostAndAddressInTheirPlaces) {
  OneAnswer executor(*clock, CommandResult{});
  ask(runs("check_http -H {{host}} -I '{{address}}' {{host}}"), executor);
  EXPECT_EQ(executor.commands, std::vector<std::string>{"check_http -H web1 -I '10.1.2.3:8080' web1"});
}

TEST_F(CommandChecks, NeverRunWhatAHostNameWouldAddToThem) {
  OneAnswer executor(*clock, CommandResult{});
  for (auto host : {"web1; reboot", "$(reboot)", "web'1", "web 1", "`x`"}) {
    auto result = ask(runs("check {{host}}"), executor, host);
    EXPECT_EQ(result.status, CheckStatus::unknown) << host;
  }
  EXPECT_TRUE(executor.commands.empty());
}

TEST_F(CommandChecks, AreCriticalWhenTheCommandHangs) {
  OneAnswer executor(*clock, CommandResult{});
  executor.hangs = true;
  auto spec = runs("check_disk");
  spec.timeout = 50ms;
  auto result = ask(spec, executor);
  EXPECT_EQ(result.status, CheckStatus::critical);
  EXPECT_EQ(result.text, "no answer within 50ms");
}

TEST_F(CommandChecks, AreUnknownWhenTheHostCannotBeReached) {
  OneAnswer executor(*clock, Failure{Errc::unreachable, "connect 10.1.2.3:22: Connection refused"});
  auto result = ask(runs("check_disk"), executor);
  EXPECT_EQ(result.status, CheckStatus::unknown);
  EXPECT_EQ(result.text, "connect 10.1.2.3:22: Connection refused");

  auto check = make_check(*clock, runs("check_disk")).value();
  CheckTarget without{.host = "web1", .address = "10.1.2.3:8080", .executor = nullptr};
  EXPECT_EQ(run_task(check->ask(without)).status, CheckStatus::unknown);
}

TEST_F(CommandChecks, RefuseAPlaceholderThatDoesNotExist) {
  for (auto command : {"", "check {{hostname}}", "check {{ host }}", "check {{"}) {
    auto check = make_check(*clock, runs(command));
    ASSERT_FALSE(check) << command;
    EXPECT_EQ(check.error().code, Errc::bad_input);
  }
  CheckSpec spec = runs("check_disk");
  auto check = make_check(*clock, spec);
  ASSERT_TRUE(check) << check.error();
  EXPECT_EQ((*check)->name(), "command");
}

}  // namespace
}  // namespace shiftd
