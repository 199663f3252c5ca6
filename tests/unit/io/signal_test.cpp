#include "daemon/io/signal.hpp"

#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>

#include "daemon/io/task_group.hpp"
#include "tests/fakes/simulated_clock.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

class SignalTest : public ::testing::Test {
 protected:
  struct Counted {
    int& ended;
    ~Counted() { ++ended; }
  };
  static Task<> wait(Signal& signal, int& woken, int& ended) {
    Counted counted{ended};
    co_await signal.wait();
    ++woken;
  }
  static Task<> wait_for(Signal& signal, Clock& clock, Duration limit, Steady& woken_at) {
    co_await signal.wait_for(clock, limit);
    woken_at = clock.steady();
  }
  void turn() {
    loop_.restart();
    loop_.poll();
  }
  void spawn(Task<> task) {
    tasks_.start("", std::move(task));
    turn();
  }
  void pass(Duration time) {
    auto until = clock_.steady() + time;
    while (clock_.next_waiting() && *clock_.next_waiting() <= until) {
      clock_.wake_next();
      turn();
    }
    clock_.advance_to(until);
  }

  SimulatedClock clock_;
  asio::io_context loop_{1};
  TaskGroup tasks_{loop_.get_executor()};
  Signal signal_{loop_.get_executor()};
  int woken_ = 0;
  int ended_ = 0;
};

TEST_F(SignalTest, WakesEverybodyWhoWaitsAndNobodyWhoWaitsLater) {
  spawn(wait(signal_, woken_, ended_));
  spawn(wait(signal_, woken_, ended_));
  signal_.notify();
  spawn(wait(signal_, woken_, ended_));
  EXPECT_EQ(woken_, 2);
  signal_.notify();
  turn();
  EXPECT_EQ(woken_, 3);
}

TEST_F(SignalTest, WhoIsCancelledUnwindsAlsoWhenItIsNotifiedInTheSameTurn) {
  spawn(wait(signal_, woken_, ended_));
  tasks_.stop();
  tasks_.stop();
  signal_.notify();
  turn();
  EXPECT_EQ(woken_, 0);
  EXPECT_EQ(ended_, 1);
}

TEST_F(SignalTest, WaitsNoLongerThanItsLimitAndAlone) {
  Steady limited{};
  spawn(wait(signal_, woken_, ended_));
  auto began = clock_.steady();
  spawn(wait_for(signal_, clock_, 5s, limited));
  pass(10s);
  EXPECT_EQ(limited, began + 5s);
  EXPECT_EQ(woken_, 0);
  signal_.notify();
  turn();
  EXPECT_EQ(woken_, 1);
}

TEST_F(SignalTest, IsNotWokenAgainByALimitThatWasNotNeeded) {
  Steady limited{};
  auto began = clock_.steady();
  spawn(wait_for(signal_, clock_, 5s, limited));
  signal_.notify();
  // Before it runs, its time is over as well.
  clock_.wake_next();
  turn();
  EXPECT_EQ(limited, began + 5s);
  EXPECT_FALSE(clock_.next_waiting());
}

TEST(Signal, ALoopThatIsDestroyedTakesWhatWaitsAlong) {
  struct Ended {
    bool& flag;
    ~Ended() { flag = true; }
  };
  bool ended = false;
  auto waits = [](bool& flag) -> Task<> {
    Ended at_end{flag};
    Signal never(co_await asio::this_coro::executor);
    co_await never.wait();
  };
  {
    asio::io_context loop(1);
    asio::co_spawn(loop, waits(ended), [](const std::exception_ptr&) {});
    loop.poll();
    EXPECT_FALSE(ended);
  }
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace shiftd
