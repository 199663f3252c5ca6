#pragma once

// A broadcast: whoever waits is woken by the next notify(). Check the condition before waiting; nothing is remembered.
// One thread only; outlives its waiters.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor);

  void notify() { waiting_.cancel(); }

  // Cancelled: unwinds with operation_aborted.
  Task<> wait();
  // Returns at notify() or after `limit`, whichever is first.
  Task<> wait_for(Clock& clock, Duration limit);

 private:
  boost::asio::steady_timer waiting_;
};

}  // namespace shiftd
