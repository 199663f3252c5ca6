#pragma once

// within(clock, 3s, work): the deadline of an await, at the place where it is awaited.
//
//   auto reply = co_await within(clock, 3s, ask(host));     // Result<Reply>; Errc::timed_out: "no answer within 3s"
//
// When the time is over the work is cancelled and has unwound before `within` returns. When the work throws, `within`
// throws the same at once. When `within` itself is cancelled, the work is, and the cancellation unwinds.

#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

template <class T>
Task<Result<T>> within(Clock& clock, Duration limit, Task<Result<T>> work) {
  namespace asio = boost::asio;
  auto executor = co_await asio::this_coro::executor;
  // The result travels through a slot of its own, so that a Result need not be default constructible.
  auto group = asio::experimental::make_parallel_group(asio::co_spawn(executor, std::move(work), asio::deferred),
                                                       asio::co_spawn(executor, clock.sleep_for(limit), asio::deferred));
  auto outcome = co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  auto& [order, work_error, result, timer_error] = outcome;
  auto cancelled = co_await asio::this_coro::cancellation_state;
  if (cancelled.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
  if (order[0] == 0) {
    if (work_error) std::rethrow_exception(work_error);
    co_return std::move(result);
  }
  if (timer_error) std::rethrow_exception(timer_error);
  co_return Failure{Errc::timed_out, "no answer within " + to_string(limit)};
}

}  // namespace shiftd
