#pragma once

// A loop that lives through several steps of a test, with what they leave behind on it (an open connection).

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

class OnALoop {
 public:
  Clock& clock() { return *clock_; }
  boost::asio::io_context& context() { return loop_; }

  template <class T>
  T run(Task<T> task) {
    std::exception_ptr error;
    std::optional<T> result;
    bool ended = false;
    boost::asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr thrown, T value) {
      error = std::move(thrown);
      if (!error) result.emplace(std::move(value));
      ended = true;
    });
    loop_.restart();
    while (!ended && loop_.run_one() > 0) {
    }
    if (error) std::rethrow_exception(error);
    if (!ended) throw std::logic_error("the loop ran dry before the task ended");
    return std::move(*result);
  }

 private:
  std::unique_ptr<Clock> clock_ = make_system_clock();
  boost::asio::io_context loop_{1};
};

}  // namespace shiftd
