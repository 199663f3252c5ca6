#pragma once

// A broadcast: whoever waits is woken by the next notify(). Check the condition before waiting; nothing is remembered.
// One thread only; outlives its waiters.
//
// All that waits for something else than a socket waits here, in memory alone: no timer, no system call.

#include <boost/asio/any_io_executor.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/list_hook.hpp>

#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  void notify();

  // Cancelled: unwinds with operation_aborted.
  Task<> wait();
  // Returns at notify() or after `limit`, whichever is first.
  Task<> wait_for(Clock& clock, Duration limit);
  // True at notify(). False when it is cancelled: it returns then, and the caller's next await unwinds.
  Task<bool> wait_or_cancelled();

  // One suspended coroutine.
  struct Waiter;

 private:
  using Hook = boost::intrusive::list_base_hook<boost::intrusive::tag<Signal>, boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  struct Listed : Hook {};
  using Waiters = boost::intrusive::list<Listed, boost::intrusive::base_hook<Hook>, boost::intrusive::constant_time_size<false>>;

  // As wait_or_cancelled. `waiter`, if given, is set while it waits, and gone when it goes on.
  Task<bool> suspend(Waiter** waiter);

  boost::asio::any_io_executor executor_;
  Waiters waiters_;
};

}  // namespace shiftd
