#include <deque>

#include <gtest/gtest.h>

#include "checks/checks.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// Answers with the next of its answers, the last one for ever; "hangs" never answers.
class Scripted final : public Check {
 public:
  Scripted(Clock& clock, std::string name, std::deque<CheckResult> answers)
      : clock_(clock), name_(std::move(name)), answers_(std::move(answers)) {}

  [[nodiscard]] const std::string& name() const override { return name_; }

  Task<CheckResult> ask(CheckTarget) override {
    ++asked;
    auto answer = answers_.front();
    if (answers_.size() > 1) answers_.pop_front();
    if (answer.text == "hangs") co_await clock_.sleep_for(1h);
    co_return answer;
  }

  int asked = 0;

 private:
  Clock& clock_;
  std::string name_;
  std::deque<CheckResult> answers_;
};

struct RunChecks : testing::Test {
  std::shared_ptr<Scripted> check(std::string name, std::deque<CheckResult> answers) {
    return std::make_shared<Scripted>(*clock, std::move(name), std::move(answers));
  }
  Result<void> run(std::vector<std::shared_ptr<Check>> checks) { return run_task(run_checks(*clock, std::move(checks), {}, policy)); }

  std::unique_ptr<Clock> clock = make_system_clock();
  CheckPolicy policy{.attempts = 3, .pause = 1ms, .deadline = 10s, .warning_is_ok = true};
  CheckResult ok{CheckStatus::ok, "fine"};
  CheckResult warning{CheckStatus::warning, "slow"};
  CheckResult critical{CheckStatus::critical, "503"};
  CheckResult unknown{CheckStatus::unknown, "no idea"};
  CheckResult hangs{CheckStatus::ok, "hangs"};
};

TEST_F(RunChecks, SucceedWhenAllAreOk) {
  EXPECT_TRUE(run({}));
  EXPECT_TRUE(run({check("a", {ok}), check("b", {ok})}));
}

TEST_F(RunChecks, AskAgainUntilTheFirstGoodAnswer) {
  auto late = check("late", {critical, unknown, ok});
  auto result = run({late});
  EXPECT_TRUE(result) << result.error();
  EXPECT_EQ(late->asked, 3);
  auto once = check("once", {ok, critical});
  EXPECT_TRUE(run({once}));
  EXPECT_EQ(once->asked, 1);
}

TEST_F(RunChecks, NameEveryCheckThatWasNotOkWithItsLastAnswer) {
  auto bad = check("healthz", {unknown, unknown, critical});
  auto result = run({check("port", {ok}), bad, check("disk", {unknown})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), (Failure{Errc::refused, "healthz critical: 503; disk unknown: no idea"}));
  EXPECT_EQ(bad->asked, 3);
}

TEST_F(RunChecks, TakeAWarningAsThePolicySays) {
  EXPECT_TRUE(run({check("load", {warning})}));
  policy.warning_is_ok = false;
  auto result = run({check("load", {warning})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().what, "load warning: slow");
}

TEST_F(RunChecks, EndAtTheDeadlineAndSayWhatWasKnownThen) {
  policy.deadline = 50ms;
  auto result = run({check("port", {ok}), check("stuck", {hangs}), check("healthz", {critical, hangs})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), (Failure{Errc::refused, "stuck unknown: not answered within 50ms; healthz critical: 503"}));
}

TEST_F(RunChecks, AreAllAskedAtOnce) {
  // One after the other, the second would never be asked.
  policy.deadline = 50ms;
  auto second = check("second", {ok});
  EXPECT_FALSE(run({check("first", {hangs}), second}));
  EXPECT_EQ(second->asked, 1);
}

TEST_F(RunChecks, NeedAtLeastOneAttempt) {
  policy.attempts = 0;
  auto result = run({check("a", {ok})});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::bad_input);
}

TEST(OneLine, TakesWhatFitsAndMakesItPrintable) {
  EXPECT_EQ(one_line("hello"), "hello");
  EXPECT_EQ(one_line("hello\nworld"), "hello");
  EXPECT_EQ(one_line("a\x1b[31mb\x7f"), "a?[31mb?");
  EXPECT_EQ(one_line("abcdef", 3), "abc...");
  EXPECT_EQ(one_line("a\xc3\xa4z", 2), "a...");
  EXPECT_EQ(one_line(""), "");
}

}  // namespace
}  // namespace shiftd
