#pragma once

// A clock that a test owns: time passes only when nobody has anything left to do, and then jumps to the next instant
// that somebody waits for. Deterministic: those who wait for the same instant are woken in the order in which they came.

#include <map>
#include <optional>
#include <stdexcept>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/clock.hpp"

namespace shiftd {

class SimulatedClock final : public Clock {
 public:
  Steady steady() const override { return now_; }
  Instant wall() const override { return Instant(std::chrono::hours(490'000)) + now_.time_since_epoch() + wall_jumped_; }

  Task<> sleep_until(Steady when) override {
    namespace asio = boost::asio;
    asio::steady_timer timer(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
    auto place = waiting_.emplace(when, &timer);
    struct Leave {
      std::multimap<Steady, asio::steady_timer*>& waiting;
      std::multimap<Steady, asio::steady_timer*>::iterator place;
      asio::steady_timer* timer;
      ~Leave() {
        // Gone from the map when it was time that woke us.
        for (auto [at, end] = waiting.equal_range(when); at != end; ++at) {
          if (at->second != timer) continue;
          waiting.erase(at);
          return;
        }
      }
      Steady when;
    } leave{waiting_, place, &timer, when};
    boost::system::error_code woken;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
  }

  // Runs the loop, passing time as needed, until `done` or until nobody waits for anything.
  template <class Done>
  void run(boost::asio::io_context& loop, Done done) {
    while (true) {
      loop.restart();
      while (!done() && loop.poll_one() > 0) {
      }
      if (done() || waiting_.empty()) return;
      wake_next();
    }
  }

  // The same by single steps, for who has more than one thing that waits.
  std::optional<Steady> next_waiting() const { return waiting_.empty() ? std::nullopt : std::optional(waiting_.begin()->first); }
  void wake_next() {
    auto next = waiting_.begin();
    advance_to(next->first);
    auto* timer = next->second;
    waiting_.erase(next);
    timer->cancel();
  }
  void advance_to(Steady when) { now_ = std::max(now_, when); }

  void jump_wall(Duration by) { wall_jumped_ += by; }

 private:
  Steady now_{std::chrono::hours(1)};
  Duration wall_jumped_{0};
  std::multimap<Steady, boost::asio::steady_timer*> waiting_;
};

}  // namespace shiftd
