#include "daemon/api/server.hpp"

#include <cerrno>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/connect.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using UnixProtocol = asio::local::stream_protocol;

constexpr mode_t socket_mode = 0660;
// When the machine has no file descriptor left for a new connection.
constexpr Duration breathe{100};

Failure failed(Errc code, const std::string& where, const error_code& error) { return {code, where + ": " + error.message()}; }

// Removes a socket file that nobody answers on.
Result<void> clear(asio::any_io_executor executor, const std::string& path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) {
    if (errno == ENOENT) return {};
    return failed(Errc::unavailable, path, error_code(errno, boost::system::generic_category()));
  }
  if (!S_ISSOCK(about.st_mode)) return Failure{Errc::bad_input, path + " exists and is no socket: name another path, or remove it"};
  UnixProtocol::socket probe(executor);
  error_code error;
  probe.open(UnixProtocol(), error);
  probe.non_blocking(true, error);
  probe.connect(UnixProtocol::endpoint(path), error);
  if (error != asio::error::connection_refused)
    return Failure{Errc::conflict, path + ": somebody answers there: another shiftd? (" + (error ? error.message() : "connected") + ")"};
  if (::unlink(path.c_str()) != 0) return failed(Errc::unavailable, path, error_code(errno, boost::system::generic_category()));
  return {};
}

std::uint64_t inode_of(const std::string& path) {
  struct stat about {};
  return ::lstat(path.c_str(), &about) == 0 ? about.st_ino : 0;
}

}  // namespace

ApiServer::ApiServer(asio::any_io_executor executor, Clock& clock, Control& control, ApiOptions options)
    : executor_(executor),
      options_(std::move(options)),
      shared_{control, clock, options_.limits, {}},
      on_path_(executor),
      on_port_(executor),
      tasks_(executor) {}

ApiServer::~ApiServer() {
  if (inode_ != 0 && inode_of(options_.socket) == inode_) ::unlink(options_.socket.c_str());
}

Result<std::unique_ptr<ApiServer>> ApiServer::open(asio::any_io_executor executor, Clock& clock, Control& control, ApiOptions options) {
  std::unique_ptr<ApiServer> server(new ApiServer(executor, clock, control, std::move(options)));
  if (auto listening = server->listen_on_path(); !listening) return std::move(listening).error().during("API socket");
  if (auto listening = server->listen_on_port(); !listening) return std::move(listening).error().during("API address");
  return server;
}

Result<void> ApiServer::listen_on_path() {
  const auto& path = options_.socket;
  if (path.empty()) return {};
  if (path.size() > unix_path_most) return Failure{Errc::bad_input, path + " is longer than " + std::to_string(unix_path_most) + " bytes"};
  if (auto cleared = clear(executor_, path); !cleared) return cleared;
  error_code error;
  on_path_.open(UnixProtocol(), error);
  // The file is made with the mode of the descriptor, less the umask: at no moment is it open to more people.
  if (!error && ::fchmod(on_path_.native_handle(), socket_mode) != 0) error.assign(errno, boost::system::generic_category());
  if (!error) on_path_.bind(UnixProtocol::endpoint(path), error);
  if (error == asio::error::address_in_use) return failed(Errc::conflict, path, error);
  if (error) return failed(Errc::unavailable, path, error);
  inode_ = inode_of(path);
  if (::chmod(path.c_str(), socket_mode) != 0) return failed(Errc::unavailable, path, error_code(errno, boost::system::generic_category()));
  on_path_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(Errc::unavailable, path, error);
  return {};
}

Result<void> ApiServer::listen_on_port() {
  if (!options_.listen) return {};
  const auto& address = *options_.listen;
  auto where = to_string(address);
  if (options_.token_file.empty()) return Failure{Errc::bad_input, where + " needs a token_file: there, anybody on this machine could ask"};
  auto token = Token::read(options_.token_file);
  if (!token) return std::move(token).error();
  Tokens tokens{std::move(*token), {}};
  if (!options_.desired_token_file.empty()) {
    auto desired = Token::read(options_.desired_token_file);
    if (!desired) return std::move(desired).error();
    tokens.desired = std::move(*desired);
  }
  tokens_ = std::make_shared<const Tokens>(std::move(tokens));

  error_code error;
  auto ip = asio::ip::make_address(address.host == "localhost" ? "127.0.0.1" : address.host, error);
  if (error || !ip.is_loopback())
    return Failure{Errc::bad_input, where +
                                        " is no loopback address, and the token would cross the network in the clear: "
                                        "listen on 127.0.0.1 or [::1], and put a TLS proxy in front of it"};
  asio::ip::tcp::endpoint endpoint(ip, address.port);
  on_port_.open(endpoint.protocol(), error);
  if (!error) on_port_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) on_port_.bind(endpoint, error);
  if (!error) on_port_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(error == asio::error::address_in_use ? Errc::conflict : Errc::unavailable, where, error);
  return {};
}

int ApiServer::port() const { return on_port_.is_open() ? on_port_.local_endpoint().port() : 0; }

template <class Acceptor>
Task<> ApiServer::accept(Acceptor& acceptor, std::shared_ptr<const Tokens> tokens) {
  for (;;) {
    typename Acceptor::protocol_type::socket socket(executor_);
    error_code error;
    co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
    if (error) {
      co_await shared_.clock.sleep_for(breathe);
      continue;
    }
    // Over the limit, the new one is turned away: who is being served goes on.
    if (tasks_.running() >= listeners_ + options_.limits.connections) {
      constexpr std::string_view busy = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
      socket.non_blocking(true, error);
      socket.send(asio::buffer(busy), 0, error);
      continue;
    }
    tasks_.start("API connection", converse(shared_, StreamSocket(std::move(socket)), tokens));
  }
}

Task<> ApiServer::serve() {
  if (on_path_.is_open()) tasks_.start("API socket", accept(on_path_, nullptr)), ++listeners_;
  if (on_port_.is_open()) tasks_.start("API address", accept(on_port_, tokens_)), ++listeners_;
  co_await tasks_.join();
}

}  // namespace shiftd
