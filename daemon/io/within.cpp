#include "daemon/io/within.hpp"

#include <exception>
#include <tuple>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {

namespace asio = boost::asio;

// The work is a thread of its own for Asio, so that it can be cancelled alone: by the alarm, and by our own cancellation,
// which it has to be told of. In time, nothing is thrown and nothing has to be unwound.
Task<bool> ends_within(Clock& clock, Duration limit, Task<> work) {
  auto executor = co_await asio::this_coro::executor;
  auto state = co_await asio::this_coro::cancellation_state;
  asio::cancellation_signal stop;
  bool over = false;
  auto ring = [&] {
    over = true;
    stop.emit(asio::cancellation_type::terminal);
  };
  auto alarm = clock.alarm(executor, clock.steady() + limit, ring);
  if (state.slot().is_connected()) state.slot().assign([&stop](asio::cancellation_type type) { stop.emit(type); });
  auto spawned = asio::co_spawn(executor, std::move(work), asio::bind_cancellation_slot(stop.slot(), asio::as_tuple(asio::use_awaitable)));
  auto [error] = co_await std::move(spawned);
  state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none) throw boost::system::system_error(asio::error::operation_aborted);
  if (over) co_return false;
  if (error) std::rethrow_exception(error);
  co_return true;
}

Failure no_answer_within(Duration limit) { return {Errc::timed_out, "no answer within " + to_string(limit)}; }

}  // namespace shiftd
