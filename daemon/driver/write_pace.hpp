#pragma once

// Private to the driver: lets writes to one pool go no faster than its load balancers take them up, the most urgent first.
//
// PyBal takes 0.1 s for each change, its releases before 1.15.9 a second: what is written faster than that waits there, out of
// our sight, and what has to be quick waits behind it.

#include <functional>
#include <list>
#include <utility>

#include "daemon/engine/plan.hpp"
#include "daemon/io/signal.hpp"

namespace shiftd {

class WritePace {
 public:
  // `per_second` 0: as fast as they come. `urgent` is asked whenever a turn is given, since what is wanted may change while
  // it waits.
  WritePace(boost::asio::any_io_executor executor, Clock& clock, double per_second, std::function<bool(MemberIndex)> urgent);

  // Returns when the member's write may go. Cancelled: its turn is the next one's.
  Task<> turn(MemberIndex member);
  // The turn was given, and nothing was written.
  void unused();

 private:
  struct Waiting {
    Waiting(boost::asio::any_io_executor executor, MemberIndex its_member) : member(its_member), woken(std::move(executor)) {}
    MemberIndex member;
    Signal woken;
  };
  using Place = std::list<Waiting>::iterator;
  struct Leave;

  Place first();
  void wake_first();

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Duration interval_;
  std::function<bool(MemberIndex)> urgent_;
  std::list<Waiting> waiting_;
  Steady next_{};
};

}  // namespace shiftd
