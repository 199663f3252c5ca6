#pragma once

// Runs one task on a loop of its own until it ends, and gives what it returned or threw.

#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "daemon/io/task.hpp"

namespace shiftd {

template <class T>
T run_task(boost::asio::io_context& loop, Task<T> task) {
  std::exception_ptr error;
  bool ended = false;
  if constexpr (std::is_void_v<T>) {
    boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr thrown) {
      error = std::move(thrown);
      ended = true;
    });
    loop.restart();
    loop.run();
    if (error) std::rethrow_exception(error);
    if (!ended) throw std::logic_error("the loop ran dry before the task ended");
  } else {
    std::optional<T> result;
    boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr thrown, T value) {
      error = std::move(thrown);
      if (!error) result.emplace(std::move(value));
      ended = true;
    });
    loop.restart();
    loop.run();
    if (error) std::rethrow_exception(error);
    if (!ended) throw std::logic_error("the loop ran dry before the task ended");
    return std::move(*result);
  }
}

template <class T>
T run_task(Task<T> task) {
  boost::asio::io_context loop(1);
  return run_task(loop, std::move(task));
}

}  // namespace shiftd
