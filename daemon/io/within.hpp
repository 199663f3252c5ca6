#pragma once

// within(clock, 3s, work): the deadline of an await, at the place where it is awaited.
//
//   auto reply = co_await within(clock, 3s, ask(host));     // Result<Reply>; Errc::timed_out: "no answer within 3s"
//
// When the time is over the work is cancelled and has unwound before `within` returns. When the work throws, `within`
// throws the same at once. When `within` itself is cancelled, the work is, and the cancellation unwinds.

#include <optional>
#include <utility>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

// Whether `work` ended before `limit` had passed; it has unwound in either case. What both forms of within() are made of:
// the machinery of running two things at once is compiled here, once.
Task<bool> ends_within(Clock& clock, Duration limit, Task<> work);

Failure no_answer_within(Duration limit);

namespace detail {

template <class T>
Task<> keep_result(Task<Result<T>> work, std::optional<Result<T>>& result) {
  result.emplace(co_await std::move(work));
}

}  // namespace detail

template <class T>
Task<Result<T>> within(Clock& clock, Duration limit, Task<Result<T>> work) {
  std::optional<Result<T>> result;
  bool ended = co_await ends_within(clock, limit, detail::keep_result(std::move(work), result));
  if (!ended) co_return no_answer_within(limit);
  co_return std::move(*result);
}

}  // namespace shiftd
