#include "daemon/ssh/gate.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {

namespace asio = boost::asio;

struct Gate::State {
  struct Waiter {
    asio::steady_timer wake;
    bool admitted = false;
  };
  std::size_t free;
  std::deque<std::shared_ptr<Waiter>> queue;

  void give_back() {
    if (queue.empty()) {
      ++free;
      return;
    }
    auto next = std::move(queue.front());
    queue.pop_front();
    next->admitted = true;
    next->wake.cancel();
  }
};

Gate::Gate(std::size_t at_once) : state_(std::make_shared<State>(State{at_once, {}})) {}

Gate::Pass& Gate::Pass::operator=(Pass&& other) noexcept {
  if (this != &other) {
    leave();
    state_ = std::move(other.state_);
  }
  return *this;
}

void Gate::Pass::leave() {
  if (auto state = std::exchange(state_, nullptr)) state->give_back();
}

std::optional<Gate::Pass> Gate::try_enter() {
  if (state_->free == 0) return std::nullopt;
  --state_->free;
  return Pass(state_);
}

Task<Gate::Pass> Gate::enter() {
  auto state = state_;
  if (state->free > 0) {
    --state->free;
    co_return Pass(state);
  }
  auto executor = co_await asio::this_coro::executor;
  auto waiter = std::make_shared<State::Waiter>(State::Waiter{asio::steady_timer(executor, asio::steady_timer::time_point::max())});
  state->queue.push_back(waiter);
  boost::system::error_code woken;
  co_await waiter->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none;
  // Admitted and cancelled in the same turn: the pass goes on to the next in line.
  auto pass = waiter->admitted ? Pass(state) : Pass();
  if (!waiter->admitted) std::erase(state->queue, waiter);
  if (cancelled) throw boost::system::system_error(asio::error::operation_aborted);
  co_return pass;
}

}  // namespace shiftd
