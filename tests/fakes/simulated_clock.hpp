#pragma once

// A clock that a test owns: time passes only when nobody has anything left to do, and then jumps to the next instant
// that somebody waits for. Deterministic: those who wait for the same instant are woken in the order in which they came.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "daemon/io/clock.hpp"

namespace shiftd {

class SimulatedClock final : public Clock {
 public:
  Steady steady() const override { return now_; }
  Instant wall() const override { return Instant(std::chrono::hours(490'000)) + now_.time_since_epoch() + wall_jumped_; }

  std::unique_ptr<Alarm> alarm(const boost::asio::any_io_executor&, Steady when, std::function<void()> ring) override {
    return std::make_unique<Set>(waiting_, when, std::move(ring));
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
    auto* set = next->second;
    waiting_.erase(next);
    set->place.reset();
    set->ring();
  }
  void advance_to(Steady when) { now_ = std::max(now_, when); }

  void jump_wall(Duration by) { wall_jumped_ += by; }

 private:
  struct Set;
  using Waiting = std::multimap<Steady, Set*>;

  struct Set final : Alarm {
    Set(Waiting& waiting, Steady when, std::function<void()> its_ring) : all(waiting), ring(std::move(its_ring)) {
      place = all.emplace(when, this);
    }
    ~Set() override {
      if (place) all.erase(*place);
    }
    Set(const Set&) = delete;
    Set& operator=(const Set&) = delete;

    Waiting& all;
    std::optional<Waiting::iterator> place;  // none: it has rung
    std::function<void()> ring;
  };

  Steady now_{std::chrono::hours(1)};
  Duration wall_jumped_{0};
  Waiting waiting_;
};

}  // namespace shiftd
