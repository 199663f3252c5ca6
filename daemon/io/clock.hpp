#pragma once

// All waiting goes through here, so that a test (and the simulator) owns time.
//
// Two times are kept apart. `steady` measures how long something takes and never jumps; `wall` is what people read and
// may jump either way. Used by the one control thread only.

#include <chrono>
#include <functional>
#include <memory>

#include <boost/asio/any_io_executor.hpp>

#include "daemon/base/time.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

using Steady = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Steady steady() const = 0;
  virtual Instant wall() const = 0;

  // Rings once, in a turn of the loop of its own; destroyed before that, never.
  class Alarm {
   public:
    virtual ~Alarm() = default;
  };
  // Rings at `when` or later; soon if it has passed.
  virtual std::unique_ptr<Alarm> alarm(const boost::asio::any_io_executor& executor, Steady when, std::function<void()> ring) = 0;

  // Returns at `when` or later; at once if it has passed.
  // Cancelled: unwinds with operation_aborted.
  Task<> sleep_until(Steady when);
  Task<> sleep_for(Duration duration) { return sleep_until(steady() + duration); }
};

// The machine's clocks. Outlives every task that waits on it.
std::unique_ptr<Clock> make_system_clock();

}  // namespace shiftd
