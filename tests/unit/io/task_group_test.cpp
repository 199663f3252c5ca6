#include "daemon/io/task_group.hpp"

#include <stdexcept>

#include <gtest/gtest.h>

#include "daemon/io/clock.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

Task<> wait_for(Clock& clock, Duration delay, int* ended) {
  struct OnExit {
    int* count;
    ~OnExit() { ++*count; }
  } on_exit{ended};
  co_await clock.sleep_for(delay);
}

Task<> fail_after(Clock& clock, Duration delay) {
  co_await clock.sleep_for(delay);
  throw std::runtime_error("child failed");
}

TEST(TaskGroup, JoinWaitsForAll) {
  auto clock = make_system_clock();
  int ended = 0;
  auto test = [&]() -> Task<> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.start("short", wait_for(*clock, 1ms, &ended));
    group.start("long", wait_for(*clock, 5ms, &ended));
    EXPECT_EQ(group.running(), 2u);
    co_await group.join();
    EXPECT_EQ(group.running(), 0u);
  };
  run_task(test());
  EXPECT_EQ(ended, 2);
}

TEST(TaskGroup, TheFirstFailureStopsTheOthersAndIsRethrown) {
  auto clock = make_system_clock();
  int ended = 0;
  auto test = [&]() -> Task<> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.start("long", wait_for(*clock, 1h, &ended));
    group.start("failing", fail_after(*clock, 1ms));
    co_await group.join();
  };
  EXPECT_THROW(run_task(test()), std::runtime_error);
  EXPECT_EQ(ended, 1);
}

TEST(TaskGroup, ACancelledJoinStopsItsChildrenAndWaitsForThem) {
  auto clock = make_system_clock();
  int ended = 0;
  auto inner = [&]() -> Task<> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.start("one", wait_for(*clock, 1h, &ended));
    group.start("two", wait_for(*clock, 1h, &ended));
    co_await group.join();
  };
  auto outer = [&]() -> Task<> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.start("inner", inner());
    co_await clock->sleep_for(2ms);
    group.stop();
    co_await group.join();
  };
  run_task(outer());
  EXPECT_EQ(ended, 2);
}

TEST(TaskGroup, AStoppedGroupEndsWhatIsStartedLater) {
  auto clock = make_system_clock();
  int ended = 0;
  auto test = [&]() -> Task<> {
    TaskGroup group(co_await asio::this_coro::executor);
    group.stop();
    group.start("late", wait_for(*clock, 1h, &ended));
    co_await group.join();
  };
  run_task(test());
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace shiftd
