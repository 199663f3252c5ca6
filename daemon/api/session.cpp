#include "daemon/api/session.hpp"

#include <optional>
#include <utility>

#include <spdlog/spdlog.h>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/api/answer.hpp"
#include "daemon/api/query.hpp"
#include "daemon/api/routes.hpp"
#include "daemon/api/sse.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;

// Records of a feed that are there at once go together, in pieces of about this size.
constexpr std::size_t piece_enough = 64 * 1024;

// Cancellation unwinds; everything else is an answer.
void unless_cancelled(const error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
}

// What a broken request deserves; nothing: the other side has gone.
std::optional<ApiAnswer> rebuke(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return refuse(431, "exhausted", "the request's head is too large");
  if (error == http::error::body_limit) return refuse(413, "exhausted", "the request's body is too large");
  if (error == http::error::end_of_stream || error == http::error::partial_message) return std::nullopt;
  if (error.category() == make_error_code(http::error::bad_version).category())
    return refuse(400, "bad_input", "this is no HTTP request: " + error.message());
  return std::nullopt;
}

class Session {
 public:
  Session(ApiShared& shared, StreamSocket socket, std::shared_ptr<const Tokens> tokens)
      : shared_(shared), socket_(std::move(socket)), tokens_(std::move(tokens)), buffer_(shared.limits.head + 64 * 1024) {}

  // One request and its answer; false: the connection is over.
  Task<bool> turn() {
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(shared_.limits.head));
    parser.body_limit(shared_.limits.body);
    auto head = co_await within(shared_.clock, shared_.limits.idle, read_head(parser));
    if (!head) co_return false;
    if (*head) co_return co_await rebuked(**head);
    // Before the body is read: whoever may not ask costs nothing more.
    if (auto reply = why_not(parser.get())) co_return co_await rebuked(std::move(*reply));
    auto body = co_await within(shared_.clock, shared_.limits.read, read_body(parser));
    if (!body) co_return co_await rebuked(refuse(408, to_string(Errc::timed_out), "the request's body did not come in time"));
    if (*body) co_return co_await rebuked(**body);

    bool keep = parser.keep_alive();
    auto request = co_await taken(parser.release());
    auto reply = co_await answered(std::move(request));
    if (!reply.feed) co_return co_await write(std::move(reply), keep);
    co_await stream(std::move(*reply.feed));
    co_return false;
  }

 private:
  using Trouble = std::optional<ApiAnswer>;
  // A result that holds no answer is a request that was read.
  Task<Result<Trouble>> read_head(Parser& parser) {
    error_code error;
    co_await http::async_read_header(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, error));
    co_return trouble(error);
  }

  Task<Result<Trouble>> read_body(Parser& parser) {
    error_code error;
    if (!parser.is_done()) co_await http::async_read(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, error));
    co_return trouble(error);
  }

  static Result<Trouble> trouble(const error_code& error) {
    if (!error) return Trouble{};
    unless_cancelled(error);
    auto reply = rebuke(error);
    if (!reply) return Failure{Errc::unreachable, error.message()};
    return reply;
  }

  // What whoever asks is told instead of an answer; none: may ask this.
  [[nodiscard]] std::optional<ApiAnswer> why_not(const http::request<http::string_body>& request) const {
    auto shown = request[http::field::authorization];
    if (!tokens_ || tokens_->everything.matches(shown)) return std::nullopt;
    if (!tokens_->desired || !tokens_->desired->matches(shown))
      return refuse(401, to_string(Errc::unauthenticated), "this needs the header 'Authorization: Bearer TOKEN' with the right token");
    auto target = parse_target(std::string(request.target()));
    auto found = find_route(request.method_string(), target ? target->path : "");
    auto* routed = std::get_if<Routed>(&found);
    if (routed != nullptr && routed->line->route == Route::desired) return std::nullopt;
    return refuse(403, to_string(Errc::refused), "this token may only ask for /api/v1/services/SERVICE/desired");
  }

  Task<bool> rebuked(ApiAnswer reply) {
    co_await write(std::move(reply), false);
    co_return false;
  }

  Task<ApiRequest> taken(http::request<http::string_body> message) {
    ApiRequest request;
    request.method = message.method_string();
    request.target = message.target();
    request.last_event_id = message["Last-Event-ID"];
    request.body = std::move(message.body());
    if (!needs_name(request)) co_return request;
    if (tokens_) {
      request.by = name_via_token(message["X-Shiftd-User"]);
    } else if (auto uid = peer_uid(socket_.native_handle())) {
      request.by = co_await shared_.users.of(*uid);
    } else {
      request.by = "somebody";
    }
    co_return request;
  }

  // What throws here is a fault of ours: one answer fails with it, and it is logged; the daemon's work goes on.
  Task<ApiAnswer> answered(ApiRequest request) {
    std::string fault;
    auto what = request.method + " " + request.target.substr(0, 200);
    try {
      co_return co_await answer(shared_.control, shared_.clock, std::move(request));
    } catch (const boost::system::system_error&) {
      throw;
    } catch (const std::exception& error) {
      fault = error.what();
    }
    spdlog::error("API: {}: {}", what, fault);
    co_return refuse(500, "fault", fault);
  }

  static http::response<http::string_body> head_of(ApiAnswer&& reply) {
    http::response<http::string_body> message(static_cast<http::status>(reply.status), 11);
    message.set(http::field::server, "shiftd");
    message.set(http::field::content_type, reply.type);
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    if (!reply.allow.empty()) message.set(http::field::allow, reply.allow);
    if (reply.status == 401) message.set(http::field::www_authenticate, "Bearer");
    message.body() = std::move(reply.body);
    return message;
  }

  // False: it could not be written, or the connection is not to be kept.
  Task<bool> write(ApiAnswer reply, bool keep) {
    auto message = head_of(std::move(reply));
    message.keep_alive(keep);
    message.prepare_payload();
    auto written = co_await within(shared_.clock, shared_.limits.write, write_message(message));
    co_return written.has_value() && keep;
  }

  Task<Result<void>> write_message(http::response<http::string_body>& message) {
    error_code error;
    co_await http::async_write(socket_, message, asio::redirect_error(asio::use_awaitable, error));
    co_return done(error);
  }

  Task<Result<void>> write_feed_head() {
    http::response<http::empty_body> message(http::status::ok, 11);
    message.set(http::field::server, "shiftd");
    message.set(http::field::content_type, "text/event-stream");
    message.set(http::field::cache_control, "no-store");
    message.keep_alive(false);
    message.chunked(true);
    http::response_serializer<http::empty_body> serializer(message);
    error_code error;
    co_await http::async_write_header(socket_, serializer, asio::redirect_error(asio::use_awaitable, error));
    co_return done(error);
  }

  Task<Result<void>> write_piece(std::string piece) {
    error_code error;
    auto chunk = http::make_chunk(asio::buffer(piece));
    co_await asio::async_write(socket_, chunk, asio::redirect_error(asio::use_awaitable, error));
    co_return done(error);
  }

  Task<bool> send(std::string piece) {
    auto written = co_await within(shared_.clock, shared_.limits.write, write_piece(std::move(piece)));
    co_return written.has_value();
  }

  // Writes records as they come, until the rollout has ended or the reader has gone. A journal that cannot be read
  // breaks the stream off: the reader comes back with the last number it has seen.
  Task<> stream(Feed feed) {
    auto begun = co_await within(shared_.clock, shared_.limits.write, write_feed_head());
    if (!begun || !co_await send(std::string(feed_begin))) co_return;
    for (;;) {
      auto part = co_await shared_.control.follow(feed.rollout, feed.from, shared_.limits.keepalive);
      if (!part) co_return;
      std::string piece;
      for (std::size_t index = 0; index < part->records.size(); ++index) {
        piece += event_text(part->from + index, part->records[index]);
        bool last = index + 1 == part->records.size();
        if ((last || piece.size() >= piece_enough) && !co_await send(std::exchange(piece, {}))) co_return;
      }
      feed.from = part->from + part->records.size();
      if (part->ended) break;
      if (part->records.empty() && !co_await send(std::string(feed_keepalive))) co_return;
    }
    if (!co_await send(std::string(feed_end))) co_return;
    auto last = co_await within(shared_.clock, shared_.limits.write, write_last());
    if (!last) co_return;
  }

  Task<Result<void>> write_last() {
    error_code error;
    auto chunk = http::make_chunk_last();
    co_await asio::async_write(socket_, chunk, asio::redirect_error(asio::use_awaitable, error));
    co_return done(error);
  }

  static Result<void> done(const error_code& error) {
    if (!error) return {};
    unless_cancelled(error);
    return Failure{Errc::unreachable, error.message()};
  }

  ApiShared& shared_;
  StreamSocket socket_;
  std::shared_ptr<const Tokens> tokens_;
  beast::flat_buffer buffer_;
};

}  // namespace

Task<> converse(ApiShared& shared, StreamSocket socket, std::shared_ptr<const Tokens> tokens) {
  Session session(shared, std::move(socket), std::move(tokens));
  for (;;) {
    bool more = co_await session.turn();
    if (!more) co_return;
  }
}

}  // namespace shiftd
