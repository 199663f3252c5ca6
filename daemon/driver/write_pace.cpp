#include "daemon/driver/write_pace.hpp"

#include <algorithm>
#include <utility>

namespace shiftd {

// Whoever leaves, served or cancelled, makes way.
struct WritePace::Leave {
  WritePace& pace;
  Place place;
  ~Leave() {
    pace.waiting_.erase(place);
    pace.wake_first();
  }
};

WritePace::WritePace(boost::asio::any_io_executor executor, Clock& clock, double per_second, std::function<bool(MemberIndex)> urgent)
    : executor_(std::move(executor)),
      clock_(clock),
      interval_(time_for_writes({.writes_per_second = per_second}, 1)),
      urgent_(std::move(urgent)) {}

WritePace::Place WritePace::first() {
  auto urgent = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& each) { return urgent_(each.member); });
  return urgent != waiting_.end() ? urgent : waiting_.begin();
}

void WritePace::wake_first() {
  if (!waiting_.empty()) first()->woken.notify();
}

Task<> WritePace::turn(MemberIndex member) {
  if (interval_ <= Duration(0)) co_return;
  waiting_.emplace_back(executor_, member);
  auto place = std::prev(waiting_.end());
  Leave leave{*this, place};
  while (true) {
    if (first() != place) {
      // One that has become urgent may not know it.
      wake_first();
      co_await place->woken.wait();
      continue;
    }
    auto now = clock_.steady();
    if (now >= next_) break;
    co_await place->woken.wait_for(clock_, next_ - now);
  }
  next_ = clock_.steady() + interval_;
}

void WritePace::unused() {
  next_ = clock_.steady();
  wake_first();
}

}  // namespace shiftd
