#pragma once

// A server on a free loopback port, in the test's own loop, that says exactly what the test tells it to: also what no
// proper server would say.
//
//   LoopbackServer server(loop, {"HTTP/1.1 204 No Content\r\n\r\n"});
//   auto reply = run_task(loop, beside(server.serve(), ask(server.address())));

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "daemon/io/task.hpp"
#include "daemon/io/task_group.hpp"

namespace shiftd {

class LoopbackServer {
 public:
  enum class Then { close, hang };

  // Every connection's request is answered with the parts, each written on its own.
  LoopbackServer(boost::asio::io_context& loop, std::vector<std::string> parts, Then then = Then::close,
                 boost::asio::ip::address address = boost::asio::ip::address_v4::loopback())
      : acceptor_(loop, boost::asio::ip::tcp::endpoint(address, 0)), parts_(std::move(parts)), then_(then) {}

  [[nodiscard]] int port() const { return acceptor_.local_endpoint().port(); }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port()); }
  [[nodiscard]] const std::vector<std::string>& requests() const { return requests_; }

  void answer(std::vector<std::string> parts) { parts_ = std::move(parts); }

  Task<> serve() {
    TaskGroup connections(co_await boost::asio::this_coro::executor);
    std::exception_ptr stopped;
    try {
      for (;;) {
        auto socket = co_await acceptor_.async_accept(boost::asio::use_awaitable);
        connections.start("connection", converse(std::move(socket)));
      }
    } catch (...) {
      stopped = std::current_exception();
    }
    co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::disable_cancellation());
    connections.stop();
    co_await connections.join();
    std::rethrow_exception(stopped);
  }

 private:
  Task<> converse(boost::asio::ip::tcp::socket socket) {
    namespace asio = boost::asio;
    boost::system::error_code error;
    std::string request;
    co_await asio::async_read_until(socket, asio::dynamic_buffer(request, 1 << 20), "\r\n\r\n",
                                    asio::redirect_error(asio::use_awaitable, error));
    requests_.push_back(request);
    auto parts = parts_;
    for (const auto& part : parts) {
      if (!error) co_await asio::async_write(socket, asio::buffer(part), asio::redirect_error(asio::use_awaitable, error));
    }
    if (then_ == Then::hang) {
      asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
      co_await never.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  boost::asio::ip::tcp::acceptor acceptor_;
  std::vector<std::string> parts_;
  Then then_;
  std::vector<std::string> requests_;
};

// What `work` returns or throws, while `server` runs; the server is stopped and has unwound afterwards.
template <class T>
Task<T> beside(Task<> server, Task<T> work) {
  TaskGroup servers(co_await boost::asio::this_coro::executor);
  servers.start("server", std::move(server));
  std::optional<T> result;
  std::exception_ptr thrown;
  try {
    result.emplace(co_await std::move(work));
  } catch (...) {
    thrown = std::current_exception();
  }
  servers.stop();
  co_await servers.join();
  if (thrown) std::rethrow_exception(thrown);
  co_return std::move(*result);
}

// A loopback address at which nobody listens.
inline std::string nobody_listens() {
  boost::asio::io_context loop;
  boost::asio::ip::tcp::acceptor briefly(loop, {boost::asio::ip::address_v4::loopback(), 0});
  return "127.0.0.1:" + std::to_string(briefly.local_endpoint().port());
}

}  // namespace shiftd
