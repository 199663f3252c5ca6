// conftool's way to the Server Admin Log: a TCP connection for each line, the line in UTF-8 without a line feed, and its end.

#include <array>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "daemon/announce/sink.hpp"
#include "daemon/io/connect.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

constexpr Duration bot_patience = std::chrono::seconds(5);
// It says nothing back, and ends the connection when it has read the line: what is reset instead was not read.
constexpr Duration until_it_hangs_up = std::chrono::seconds(1);

Failure failed(const boost::system::error_code& error) { return {Errc::unreachable, "the connection was lost: " + error.message()}; }

Task<Result<void>> hangs_up(StreamSocket& socket) {
  std::array<char, 512> ignored{};
  boost::system::error_code error;
  while (!error) co_await socket.async_read_some(asio::buffer(ignored), asio::redirect_error(asio::use_awaitable, error));
  if (error != asio::error::eof) co_return failed(error);
  co_return Result<void>{};
}

Task<Result<void>> say(Clock& clock, Address address, std::string line) {
  auto socket = co_await connect_to(std::move(address));
  if (!socket) co_return std::move(socket).error();
  boost::system::error_code error;
  co_await asio::async_write(*socket, asio::buffer(line), asio::redirect_error(asio::use_awaitable, error));
  if (!error) socket->shutdown(asio::socket_base::shutdown_send, error);
  if (error) co_return failed(error);
  auto heard = co_await within(clock, until_it_hangs_up, hangs_up(*socket));
  // One that keeps the connection open has the line all the same.
  if (!heard && heard.error().code != Errc::timed_out) co_return heard;
  co_return Result<void>{};
}

class Tcpircbot final : public Sink {
 public:
  Tcpircbot(Clock& clock, SinkOptions options, std::string from) : clock_(clock), options_(std::move(options)), from_(std::move(from)) {}

  const SinkOptions& options() const override { return options_; }

  Task<Result<void>> tell(Announcement announcement) override {
    auto address = parse_address(std::get<TcpircbotOptions>(options_.to).address);
    if (!address) co_return std::move(address).error();
    auto line = log_line(announcement, from_, clock_.wall());
    auto told = co_await within(clock_, bot_patience, say(clock_, std::move(*address), std::move(line)));
    co_return told;
  }

 private:
  Clock& clock_;
  SinkOptions options_;
  std::string from_;
};

}  // namespace

std::unique_ptr<Sink> make_tcpircbot(Clock& clock, SinkOptions options, std::string from) {
  return std::make_unique<Tcpircbot>(clock, std::move(options), std::move(from));
}

}  // namespace shiftd
