#include "daemon/ssh/moved.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {

namespace asio = boost::asio;

Moved::Moved(const asio::any_io_executor& executor) : waiters_(executor) { waiters_.expires_at(asio::steady_timer::time_point::max()); }

void Moved::notify() {
  ++count_;
  waiters_.cancel();
}

Task<> Moved::since(std::uint64_t seen) {
  while (count_ == seen) {
    boost::system::error_code woken;
    co_await waiters_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    // A notification and a cancellation end the wait in the same way.
    auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
  }
}

}  // namespace shiftd
