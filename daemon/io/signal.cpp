#include "daemon/io/signal.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/within.hpp"

namespace shiftd {

namespace asio = boost::asio;

Signal::Signal(asio::any_io_executor executor) : waiting_(executor) { waiting_.expires_at(asio::steady_timer::time_point::max()); }

Task<> Signal::wait() {
  boost::system::error_code woken;
  co_await waiting_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
}

Task<> Signal::wait_for(Clock& clock, Duration limit) {
  auto woken = [](Signal& signal) -> Task<Result<void>> {
    co_await signal.wait();
    co_return Result<void>{};
  };
  // Being woken and having waited long enough are equally good here.
  auto waited = co_await within(clock, limit, woken(*this));
  (void)waited;
}

}  // namespace shiftd
