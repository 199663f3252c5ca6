#include "daemon/io/signal.hpp"

#include <memory>
#include <utility>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {

namespace asio = boost::asio;
namespace intrusive = boost::intrusive;

namespace {

using LoopHook = intrusive::list_base_hook<intrusive::link_mode<intrusive::auto_unlink>>;

}  // namespace

struct Signal::Waiter : Signal::Listed, LoopHook {
  virtual ~Waiter() = default;
  // Goes on in a later turn of the loop; `this` is gone.
  virtual void wake() = 0;
  Waiter** known_at = nullptr;  // by whom it may be woken alone
};

namespace {

// What is suspended belongs to its loop, as a timer's wait would: a loop that is destroyed takes it along.
class Suspended final : public asio::execution_context::service {
 public:
  static asio::execution_context::id id;  // NOLINT(readability-identifier-naming): Asio asks for this name

  explicit Suspended(asio::execution_context& loop) : service(loop) {}
  void add(Signal::Waiter& waiter) { waiters_.push_back(waiter); }

 private:
  void shutdown() override {
    while (!waiters_.empty()) delete &waiters_.front();
  }

  intrusive::list<Signal::Waiter, intrusive::base_hook<LoopHook>, intrusive::constant_time_size<false>> waiters_;
};
asio::execution_context::id Suspended::id;

// What a cancellation of the suspended coroutine does. It stays in its slot until the coroutine goes on, and may be called again.
struct OnCancel {
  Signal::Waiter* waiter;
  void operator()(asio::cancellation_type) const {
    if (waiter != nullptr) waiter->wake();
  }
};

template <class Handler>
struct Waiting final : Signal::Waiter {
  explicit Waiting(Handler handler) : go_on(std::move(handler)) {
    auto slot = asio::get_associated_cancellation_slot(go_on);
    if (slot.is_connected()) on_cancel = &slot.template emplace<OnCancel>(OnCancel{this});
  }
  void wake() override {
    if (on_cancel != nullptr) on_cancel->waiter = nullptr;
    if (known_at != nullptr) *known_at = nullptr;
    auto handler = std::move(go_on);
    delete this;
    asio::post(std::move(handler));
  }
  Handler go_on;
  OnCancel* on_cancel = nullptr;
};

}  // namespace

Signal::Signal(asio::any_io_executor executor) : executor_(std::move(executor)) {}

Signal::~Signal() { notify(); }

void Signal::notify() {
  // Nobody runs, and so nobody waits anew, before this has returned.
  while (!waiters_.empty()) static_cast<Waiter&>(waiters_.front()).wake();
}

Task<bool> Signal::suspend(Waiter** waiter) {
  auto initiate = [this, waiter](auto handler) {
    auto* waiting = new Waiting<decltype(handler)>(std::move(handler));
    waiters_.push_back(*waiting);
    asio::use_service<Suspended>(asio::query(executor_, asio::execution::context)).add(*waiting);
    waiting->known_at = waiter;
    if (waiter != nullptr) *waiter = waiting;
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(initiate, asio::use_awaitable);
  auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() == asio::cancellation_type::none;
}

Task<bool> Signal::wait_or_cancelled() { return suspend(nullptr); }

Task<> Signal::wait() {
  auto woken = co_await suspend(nullptr);
  if (!woken) throw boost::system::system_error(asio::error::operation_aborted);
}

Task<> Signal::wait_for(Clock& clock, Duration limit) {
  Waiter* waiter = nullptr;
  auto over = [&waiter] {
    if (waiter != nullptr) waiter->wake();
  };
  auto alarm = clock.alarm(executor_, clock.steady() + limit, over);
  auto woken = co_await suspend(&waiter);
  if (!woken) throw boost::system::system_error(asio::error::operation_aborted);
}

}  // namespace shiftd
