#pragma once

// A way to a server of this machine, in the test's own loop, on which connections are reset (RST) when the test says so.
//
//   ResettingWay way(loop, sshd.port());
//   way.reset_next_at(100'000);
//   auto result = run_task(loop, beside(way.serve(), upload(way.port())));

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "daemon/io/task.hpp"
#include "daemon/io/task_group.hpp"

namespace shiftd {

class ResettingWay {
 public:
  ResettingWay(boost::asio::io_context& loop, int to)
      : acceptor_(loop, {boost::asio::ip::address_v4::loopback(), 0}),
        to_(boost::asio::ip::address_v4::loopback(), static_cast<boost::asio::ip::port_type>(to)) {}

  [[nodiscard]] int port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] int resets() const { return resets_; }

  // What goes through it now.
  void reset() {
    for (auto* pair : std::exchange(open_, {})) reset(*pair);
  }
  // Whichever connection comes next, once the client has sent so many bytes; 0: before it can say anything.
  void reset_next_at(std::size_t bytes) { next_ends_at_ = bytes; }

  Task<> serve() {
    TaskGroup connections(co_await boost::asio::this_coro::executor);
    boost::system::error_code error;
    while (!error) {
      auto near = co_await acceptor_.async_accept(boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (!error) connections.start("way", carry(std::move(near)));
    }
    co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
    connections.stop();
    co_await connections.join();
  }

 private:
  using Socket = boost::asio::ip::tcp::socket;
  struct Pair {
    Socket near;
    Socket far;
    std::optional<std::size_t> ends_at;
    std::size_t sent = 0;
  };

  void reset(Pair& pair) {
    boost::system::error_code gone;
    for (auto* socket : {&pair.near, &pair.far}) {
      socket->set_option(boost::asio::socket_base::linger(true, 0), gone);
      socket->close(gone);
    }
    ++resets_;
  }

  Task<> carry(Socket near) {
    auto executor = co_await boost::asio::this_coro::executor;
    Pair pair{std::move(near), Socket(executor), std::exchange(next_ends_at_, std::nullopt)};
    boost::system::error_code error;
    co_await pair.far.async_connect(to_, boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (pair.ends_at == 0U) co_return reset(pair);
    open_.insert(&pair);
    TaskGroup both(executor);
    both.start("there", copy(pair, pair.near, pair.far));
    both.start("back", copy(pair, pair.far, pair.near));
    co_await both.join();
    open_.erase(&pair);
  }

  Task<> copy(Pair& pair, Socket& from, Socket& to) {
    std::array<char, 16 * 1024> bytes;
    boost::system::error_code error;
    while (!error) {
      auto count =
          co_await from.async_read_some(boost::asio::buffer(bytes), boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (error) break;
      if (&from == &pair.near) pair.sent += count;
      if (pair.ends_at && pair.sent >= *pair.ends_at) {
        pair.ends_at.reset();
        open_.erase(&pair);
        reset(pair);
        break;
      }
      co_await boost::asio::async_write(to, boost::asio::buffer(bytes, count),
                                        boost::asio::redirect_error(boost::asio::use_awaitable, error));
    }
    boost::system::error_code gone;
    if (to.is_open()) to.shutdown(Socket::shutdown_send, gone);
  }

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::ip::tcp::endpoint to_;
  std::optional<std::size_t> next_ends_at_;
  std::set<Pair*> open_;
  int resets_ = 0;
};

}  // namespace shiftd
