#include "daemon/io/clock.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace shiftd {
namespace {

namespace asio = boost::asio;

class SystemClock final : public Clock {
 public:
  Steady steady() const override { return std::chrono::floor<Duration>(std::chrono::steady_clock::now()); }

  Instant wall() const override { return Instant(std::chrono::floor<Duration>(std::chrono::system_clock::now().time_since_epoch())); }

  Task<> sleep_until(Steady when) override {
    asio::steady_timer timer(co_await asio::this_coro::executor, when);
    co_await timer.async_wait(asio::use_awaitable);
  }
};

}  // namespace

std::unique_ptr<Clock> make_system_clock() { return std::make_unique<SystemClock>(); }

}  // namespace shiftd
