#include "lb-adapters/haproxy/runtime_socket.hpp"

#include <array>
#include <charconv>
#include <utility>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "daemon/io/within.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"

namespace shiftd::haproxy {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

constexpr std::size_t reply_most = 16 * 1024 * 1024;

void unwind_if_cancelled(const error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
}

Task<error_code> connect_to(Socket& socket, Socket::endpoint_type endpoint) {
  error_code error;
  socket.close(error);
  co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  unwind_if_cancelled(error);
  co_return error;
}

Task<Result<void>> connect_unix(Socket& socket, std::string path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path)) co_return Failure{Errc::bad_input, "the path is too long for a socket"};
  asio::local::stream_protocol::endpoint endpoint(path);
  auto error = co_await connect_to(socket, endpoint);
  if (error) co_return Failure{Errc::unreachable, error.message()};
  co_return Result<void>{};
}

Task<Result<void>> connect_tcp(Socket& socket, std::string address) {
  auto colon = address.rfind(':');
  if (colon == std::string::npos) co_return Failure{Errc::bad_input, "neither an absolute path nor host:port"};
  auto host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  error_code error;
  // A resolver works on a thread of its own, which an address that is a number does not need.
  auto number = asio::ip::make_address(host, error);
  std::uint16_t port = 0;
  auto [end, not_a_port] = std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  if (!error && not_a_port == std::errc{} && end == address.data() + address.size()) {
    asio::ip::tcp::endpoint endpoint(number, port);
    error = co_await connect_to(socket, endpoint);
    if (error) co_return Failure{Errc::unreachable, error.message()};
    co_return Result<void>{};
  }
  asio::ip::tcp::resolver resolver(socket.get_executor());
  auto found = co_await resolver.async_resolve(host, address.substr(colon + 1), asio::redirect_error(asio::use_awaitable, error));
  unwind_if_cancelled(error);
  for (const auto& entry : found) {
    error = co_await connect_to(socket, entry.endpoint());
    if (!error) co_return Result<void>{};
  }
  co_return Failure{Errc::unreachable, error.message()};
}

Task<Result<std::string>> send_and_read(Socket& socket, std::string line, bool half_close) {
  error_code error;
  auto sent = co_await asio::async_write(socket, asio::buffer(line), asio::redirect_error(asio::use_awaitable, error));
  unwind_if_cancelled(error);
  if (error && sent == 0) co_return Failure{Errc::unreachable, error.message()};
  if (error) co_return Failure{Errc::timed_out, "the connection was lost while sending: " + error.message()};
  if (half_close) socket.shutdown(Socket::shutdown_send, error);
  std::string reply;
  std::array<char, 16 * 1024> chunk;
  while (true) {
    auto length = co_await socket.async_read_some(asio::buffer(chunk), asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
    reply.append(chunk.data(), length);
    if (error == asio::error::eof) break;
    if (error) co_return Failure{Errc::timed_out, "the connection was lost before the answer was complete: " + error.message()};
    if (reply.size() > reply_most) co_return Failure{Errc::unexpected_reply, "the answer is longer than 16 MiB"};
  }
  if (reply.empty()) co_return Failure{Errc::timed_out, "the connection was closed without an answer"};
  co_return std::move(reply);
}

}  // namespace

RuntimeSocket::RuntimeSocket(Clock& clock, std::string address, Duration timeout)
    : clock_(clock), address_(std::move(address)), timeout_(timeout) {}

Task<Result<std::string>> RuntimeSocket::exchange(std::string line, bool half_close) const {
  auto started = clock_.steady();
  Socket socket(co_await asio::this_coro::executor);
  auto connecting = address_.starts_with('/') ? connect_unix(socket, address_) : connect_tcp(socket, address_);
  auto connected = co_await within(clock_, timeout_, std::move(connecting));
  if (!connected) {
    auto failure = std::move(connected).error();
    if (failure.code == Errc::timed_out) failure.code = Errc::unreachable;
    co_return std::move(failure).during("connect to HAProxy at " + address_);
  }
  auto left = timeout_ - (clock_.steady() - started);
  auto reply = co_await within(clock_, left, send_and_read(socket, std::move(line), half_close));
  if (!reply) co_return std::move(reply).error().during("HAProxy at " + address_);
  co_return std::move(*reply);
}

Task<Result<std::vector<std::string>>> RuntimeSocket::ask(std::vector<std::string> commands) const {
  std::string line;
  for (const auto& command : commands) line.append(line.empty() ? "" : ";").append(command);
  line += '\n';
  auto reply = co_await exchange(std::move(line), false);
  if (!reply) co_return std::move(reply).error();
  auto replies = split_replies(*reply, commands.size());
  if (!replies) co_return std::move(replies).error().during("HAProxy at " + address_);
  co_return std::move(*replies);
}

Task<Result<std::string>> RuntimeSocket::ask_master(std::string command) const {
  auto reply = co_await exchange(command + "\n", true);
  if (!reply) co_return std::move(reply).error();
  auto replies = split_replies(*reply, 1);
  if (!replies) co_return std::move(replies).error().during("HAProxy's master at " + address_);
  co_return std::move(replies->front());
}

}  // namespace shiftd::haproxy
