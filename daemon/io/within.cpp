#include "daemon/io/within.hpp"

#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {

namespace asio = boost::asio;

Task<bool> ends_within(Clock& clock, Duration limit, Task<> work) {
  auto executor = co_await asio::this_coro::executor;
  auto group = asio::experimental::make_parallel_group(asio::co_spawn(executor, std::move(work), asio::deferred),
                                                       asio::co_spawn(executor, clock.sleep_for(limit), asio::deferred));
  auto outcome = co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  auto& [order, work_error, timer_error] = outcome;
  auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
  bool ended = order[0] == 0;
  if (ended && work_error) std::rethrow_exception(work_error);
  if (!ended && timer_error) std::rethrow_exception(timer_error);
  co_return ended;
}

Failure no_answer_within(Duration limit) { return {Errc::timed_out, "no answer within " + to_string(limit)}; }

}  // namespace shiftd
