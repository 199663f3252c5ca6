#include "daemon/ssh/agent.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/ssh/wire.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

constexpr char request_identities = 11;
constexpr char identities_answer = 12;
constexpr char sign_request = 13;
constexpr char sign_response = 14;
// OpenSSH's own bound on an agent message.
constexpr std::uint32_t message_most = 256 * 1024;
constexpr std::uint32_t keys_most = 2048;

Failure lost(const std::string& socket, const boost::system::error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
  return {Errc::unreachable, "ssh-agent at " + socket + ": " + error.message()};
}

Failure nonsense(const std::string& socket) { return {Errc::unexpected_reply, "ssh-agent at " + socket + ": an answer that is none"}; }

// One message there, one back. Returns the answer's body when it is of the kind `wanted`.
Task<Result<std::string>> ask(std::string socket, std::string message, char wanted) {
  asio::local::stream_protocol::socket connection(co_await asio::this_coro::executor);
  boost::system::error_code error;
  if (socket.size() >= 108) co_return Failure{Errc::bad_input, "ssh-agent socket path is too long: " + socket};
  asio::local::stream_protocol::endpoint endpoint(socket);
  co_await connection.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return lost(socket, error);

  std::string request;
  put_string(request, message);
  co_await asio::async_write(connection, asio::buffer(request), asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return lost(socket, error);

  std::array<char, 4> head;
  co_await asio::async_read(connection, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return lost(socket, error);
  std::string_view head_text(head.data(), head.size());
  auto length = take_u32(head_text);
  if (!length || *length < 1 || *length > message_most) co_return nonsense(socket);
  std::string answer(*length, '\0');
  co_await asio::async_read(connection, asio::buffer(answer), asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return lost(socket, error);
  if (answer[0] != wanted) co_return Failure{Errc::refused, "ssh-agent at " + socket + " refused"};
  co_return answer.substr(1);
}

}  // namespace

std::string key_type_of(const std::string& blob) {
  std::string_view rest = blob;
  return take_string(rest).value_or("");
}

Task<Result<std::vector<AgentKey>>> agent_keys(std::string socket) {
  auto answer = co_await ask(socket, std::string(1, request_identities), identities_answer);
  if (!answer) co_return std::move(answer).error().during("list keys");
  std::string_view rest = *answer;
  auto count = take_u32(rest);
  if (!count || *count > keys_most) co_return nonsense(socket);
  std::vector<AgentKey> keys;
  for (std::uint32_t i = 0; i < *count; ++i) {
    auto blob = take_string(rest);
    auto comment = take_string(rest);
    if (!blob || !comment) co_return nonsense(socket);
    keys.push_back({std::move(*blob), std::move(*comment)});
  }
  co_return keys;
}

Task<Result<std::string>> agent_sign(std::string socket, std::string key_blob, std::string data) {
  std::string message(1, sign_request);
  put_string(message, key_blob);
  put_string(message, data);
  put_u32(message, 0);
  auto answer = co_await ask(socket, std::move(message), sign_response);
  if (!answer) co_return std::move(answer).error().during("sign");
  std::string_view rest = *answer;
  auto signature = take_string(rest);
  if (!signature) co_return nonsense(socket);
  std::string_view inner = *signature;
  auto algorithm = take_string(inner);
  auto bare = take_string(inner);
  if (!algorithm || !bare) co_return nonsense(socket);
  co_return std::move(*bare);
}

}  // namespace shiftd
