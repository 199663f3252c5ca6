#include "daemon/io/connect.hpp"

#include <charconv>
#include <memory>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

Failure could_not(const error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
  return Failure{error == asio::error::access_denied ? Errc::refused : Errc::unreachable, error.message()};
}

// Asio resolves on a thread of its own, and a lookup that has begun cannot be called back. So the answer is left in a
// place that outlives us, and what we wait on is a timer, which can be cancelled.
Task<Result<Endpoints>> resolve(std::string host, std::uint16_t port) {
  struct Lookup {
    explicit Lookup(const asio::any_io_executor& executor) : resolver(executor), answered(executor) {
      answered.expires_at(asio::steady_timer::time_point::max());
    }
    tcp::resolver resolver;
    asio::steady_timer answered;
    bool done = false;
    error_code error;
    Endpoints found;
  };
  auto lookup = std::make_shared<Lookup>(co_await asio::this_coro::executor);
  lookup->resolver.async_resolve(host, std::to_string(port), [lookup](const error_code& error, const tcp::resolver::results_type& results) {
    lookup->done = true;
    lookup->error = error;
    for (const auto& result : results) lookup->found.push_back(result.endpoint());
    lookup->answered.cancel();
  });
  error_code woken;
  co_await lookup->answered.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  if (!lookup->done) throw boost::system::system_error(asio::error::operation_aborted);
  if (lookup->error) co_return Failure{Errc::unreachable, "resolve " + host + ": " + lookup->error.message()};
  co_return std::move(lookup->found);
}

Task<Result<StreamSocket>> connect_by_path(std::string path) {
  asio::local::stream_protocol::socket socket(co_await asio::this_coro::executor);
  error_code error;
  const asio::local::stream_protocol::endpoint endpoint(path);
  co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return could_not(error);
  co_return StreamSocket(std::move(socket));
}

Task<Result<StreamSocket>> connect_by_host(std::string host, std::uint16_t port) {
  auto endpoints = co_await endpoints_of(std::move(host), port);
  if (!endpoints) co_return std::move(endpoints).error();
  tcp::socket socket(co_await asio::this_coro::executor);
  error_code error;
  co_await asio::async_connect(socket, *endpoints, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return could_not(error);
  co_return StreamSocket(std::move(socket));
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  auto refuse = [&] {
    return Failure{Errc::bad_input, "'" + std::string(text) + "' is no address: write host:port, [IPv6]:port or /path/of.sock"};
  };
  if (text.empty() || text.find_first_of(std::string_view("\0\r\n\t ", 5)) != std::string_view::npos) return refuse();
  if (text.front() == '/') {
    if (text.size() > unix_path_most) return refuse();
    return Address{.host = {}, .port = 0, .path = std::string(text)};
  }
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  auto host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return refuse();
  } else if (host.find_first_of(":[]/") != std::string_view::npos) {
    return refuse();
  }
  auto digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || error != std::errc() || end != digits.data() + digits.size() || port == 0) return refuse();
  return Address{.host = std::string(host), .port = port, .path = {}};
}

std::string to_string(const Address& address) {
  if (!address.path.empty()) return address.path;
  auto host = address.host.find(':') == std::string::npos ? address.host : "[" + address.host + "]";
  return host + ":" + std::to_string(address.port);
}

Task<Result<Endpoints>> endpoints_of(std::string host, std::uint16_t port) {
  error_code not_numeric;
  auto numeric = asio::ip::make_address(host, not_numeric);
  if (not_numeric) co_return co_await resolve(host, port);
  co_return Endpoints{tcp::endpoint(numeric, port)};
}

Task<Result<StreamSocket>> connect_to(Address address) {
  auto name = to_string(address);
  // Awaited outside of any expression: GCC 12 destroys the result of a co_await inside `?:` twice.
  auto work = address.path.empty() ? connect_by_host(address.host, address.port) : connect_by_path(address.path);
  auto socket = co_await std::move(work);
  if (!socket) co_return std::move(socket).error().during("connect " + name);
  co_return std::move(socket);
}

}  // namespace shiftd
