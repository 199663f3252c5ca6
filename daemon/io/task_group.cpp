#include "daemon/io/task_group.hpp"

#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/base/invariant.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

bool is_cancellation(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& thrown) {
    return thrown.code() == asio::error::operation_aborted;
  } catch (...) {
    return false;
  }
}

}  // namespace

TaskGroup::TaskGroup(asio::any_io_executor executor) : executor_(std::move(executor)), all_ended_(executor_) {}

TaskGroup::~TaskGroup() {
  // A group destroyed with children would leave them running on a dead group.
  if (!children_.empty()) std::terminate();
}

void TaskGroup::start(std::string name, Task<> task) {
  auto child = children_.emplace(children_.end());
  child->name = std::move(name);
  auto on_end = [this, child](std::exception_ptr error) { ended(child, std::move(error)); };
  asio::co_spawn(executor_, std::move(task), asio::bind_cancellation_slot(child->cancel.slot(), std::move(on_end)));
  // Emitted in a later turn: the child first reaches a point at which it can be cancelled.
  if (stopping_) asio::post(executor_, [this] { stop(); });
}

void TaskGroup::stop() {
  stopping_ = true;
  for (auto child = children_.begin(); child != children_.end();) {
    auto next = std::next(child);
    child->cancel.emit(asio::cancellation_type::terminal);
    child = next;
  }
}

void TaskGroup::ended(std::list<Child>::iterator child, std::exception_ptr error) {
  children_.erase(child);
  if (error && !(stopping_ && is_cancellation(error)) && !first_error_) {
    first_error_ = error;
    asio::post(executor_, [this] { stop(); });
  }
  if (children_.empty()) all_ended_.notify();
}

Task<> TaskGroup::join() {
  bool cancelled = false;
  while (!children_.empty()) {
    // A cancelled join still waits: its own cancellation becomes the children's, and is thrown on at the end.
    auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none && !cancelled) {
      cancelled = true;
      stop();
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    }
    (void)co_await all_ended_.wait_or_cancelled();
  }
  if (first_error_) std::rethrow_exception(std::exchange(first_error_, nullptr));
  if (cancelled) throw boost::system::system_error(asio::error::operation_aborted);
}

}  // namespace shiftd
