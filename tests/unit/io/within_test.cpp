#include "daemon/io/within.hpp"

#include <stdexcept>

#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

Task<Result<int>> answer_after(Clock& clock, Duration delay, int answer, bool* unwound = nullptr) {
  struct OnExit {
    bool* flag;
    ~OnExit() {
      if (flag) *flag = true;
    }
  } on_exit{unwound};
  co_await clock.sleep_for(delay);
  co_return answer;
}

Task<Result<int>> throws() {
  throw std::runtime_error("broken");
  co_return 0;
}

TEST(Within, GivesTheAnswerThatCameInTime) {
  auto clock = make_system_clock();
  auto result = run_task(within(*clock, 10s, answer_after(*clock, 1ms, 7)));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(*result, 7);
}

TEST(Within, SaysHowLongItWaitedAndLeavesNothingRunning) {
  auto clock = make_system_clock();
  bool unwound = false;
  auto result = run_task(within(*clock, 10ms, answer_after(*clock, 1h, 7, &unwound)));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), (Failure{Errc::timed_out, "no answer within 10ms"}));
  EXPECT_TRUE(unwound);
}

TEST(Within, ThrowsWhatTheWorkThrewAtOnce) {
  auto clock = make_system_clock();
  EXPECT_THROW(run_task(within(*clock, 1h, throws())), std::runtime_error);
}

TEST(Within, UnwindsWhenItIsCancelledItself) {
  auto clock = make_system_clock();
  bool unwound = false;
  bool returned = false;
  auto waiting = [](Clock& time, bool* inner, bool* after) -> Task<> {
    (void)co_await within(time, 1h, answer_after(time, 1h, 7, inner));
    *after = true;
  };
  auto both = [&]() -> Task<> {
    TaskGroup group(co_await boost::asio::this_coro::executor);
    group.start("waiting", waiting(*clock, &unwound, &returned));
    co_await clock->sleep_for(1ms);
    group.stop();
    co_await group.join();
  };
  run_task(both());
  EXPECT_TRUE(unwound);
  EXPECT_FALSE(returned);
}

}  // namespace
}  // namespace shiftd
