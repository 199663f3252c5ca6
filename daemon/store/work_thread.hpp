#pragma once

// A thread that does what blocks, one job after another, for callers on the control thread.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/task.hpp"

namespace shiftd {

// A value that another thread gives, once, and a coroutine awaits. Only give() is called on the other thread.
template <class T>
class Answer {
 public:
  explicit Answer(boost::asio::any_io_executor executor) : executor_(std::move(executor)), given_(executor_) {
    given_.expires_at(boost::asio::steady_timer::time_point::max());
  }

  // The reference is given away with the value: the last one goes on the loop's thread.
  static void give(std::shared_ptr<Answer> answer, T value) {
    auto executor = answer->executor_;
    boost::asio::post(executor, [answer = std::move(answer), value = std::move(value)]() mutable {
      answer->value_.emplace(std::move(value));
      answer->given_.cancel();
    });
  }

  // Cancelled: unwinds; the value, when it comes, is dropped.
  static Task<T> wait(std::shared_ptr<Answer> answer) {
    while (!answer->value_) {
      boost::system::error_code ignored;
      co_await answer->given_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
      auto state = co_await boost::asio::this_coro::cancellation_state;
      if (!answer->value_ && state.cancelled() != boost::asio::cancellation_type::none) {
        throw boost::system::system_error(boost::asio::error::operation_aborted);
      }
    }
    co_return std::move(*answer->value_);
  }

 private:
  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer given_;
  std::optional<T> value_;
};

class WorkThread {
 public:
  WorkThread();
  // Finishes every job that was posted, then ends.
  ~WorkThread();
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;

  void post(std::function<void()> job);

  // Does the job there and gives what it returned on the caller's executor. Jobs do not throw.
  // Cancelled: unwinds at once; the job is still done.
  template <class T>
  Task<T> run(std::function<T()> job) {
    auto answer = std::make_shared<Answer<T>>(co_await boost::asio::this_coro::executor);
    post([job = std::move(job), answer]() mutable {
      auto value = job();
      Answer<T>::give(std::move(answer), std::move(value));
    });
    co_return co_await Answer<T>::wait(std::move(answer));
  }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace shiftd
