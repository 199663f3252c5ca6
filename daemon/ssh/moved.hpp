#pragma once

// Something moved: a counter that many tasks can wait on at once.
//
//   auto seen = moved.count();
//   ... look; nothing there yet ...
//   co_await moved.since(seen);     // returns when notify() has been called after `seen` was read, also if before this line
//
// Everybody is woken and looks again. One thread only.

#include <cstdint>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "daemon/io/task.hpp"

namespace shiftd {

class Moved {
 public:
  explicit Moved(const boost::asio::any_io_executor& executor);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  void notify();
  // Cancelled: unwinds with operation_aborted.
  Task<> since(std::uint64_t seen);

 private:
  boost::asio::steady_timer waiters_;
  std::uint64_t count_ = 0;
};

}  // namespace shiftd
