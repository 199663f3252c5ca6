#include "daemon/io/clock.hpp"

#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include "daemon/io/signal.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

class SystemAlarm final : public Clock::Alarm {
 public:
  SystemAlarm(const asio::any_io_executor& executor, Steady when, std::function<void()> ring)
      : ring_(std::make_shared<std::function<void()>>(std::move(ring))), timer_(executor, when) {
    // A timer that has expired calls its handler also when it is destroyed before that.
    timer_.async_wait([ring = std::weak_ptr(ring_)](boost::system::error_code error) {
      auto still = ring.lock();
      if (!error && still) (*still)();
    });
  }

 private:
  std::shared_ptr<std::function<void()>> ring_;
  asio::steady_timer timer_;
};

class SystemClock final : public Clock {
 public:
  Steady steady() const override { return std::chrono::floor<Duration>(std::chrono::steady_clock::now()); }

  Instant wall() const override { return Instant(std::chrono::floor<Duration>(std::chrono::system_clock::now().time_since_epoch())); }

  std::unique_ptr<Alarm> alarm(const asio::any_io_executor& executor, Steady when, std::function<void()> ring) override {
    return std::make_unique<SystemAlarm>(executor, when, std::move(ring));
  }
};

}  // namespace

Task<> Clock::sleep_until(Steady when) {
  auto executor = co_await asio::this_coro::executor;
  Signal over(executor);
  auto ring = [&over] { over.notify(); };
  auto set = alarm(executor, when, ring);
  co_await over.wait();
}

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }

}  // namespace shiftd
