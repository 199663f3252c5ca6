#include "daemon/io/http_client.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/connect.hpp"
#include "daemon/io/tls_stream.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Request = http::request<http::string_body>;

// Bounds the head of an answer (Beast refuses longer ones) and one read.
constexpr std::size_t head_most = 64 * 1024;
constexpr std::size_t chunk_most = 16 * 1024;

bool same_word(std::string_view one, std::string_view other) {
  auto lower = [](unsigned char c) { return std::tolower(c); };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(), [&](char a, char b) { return lower(a) == lower(b); });
}

// A token of RFC 9110, section 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || marks.find(static_cast<char>(c)) != std::string_view::npos);
  });
}

bool is_header_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return (c < ' ' && c != '\t') || c == 0x7f; });
}

bool is_target(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; });
}

// What cannot be written down as it was meant is refused, so that nothing given to us can add a header or a request.
Result<Request> written(const HttpRequest& request, const Address& address) {
  if (!is_token(request.method)) return Failure{Errc::bad_input, "'" + request.method + "' is no HTTP method"};
  if (!is_target(request.target)) return Failure{Errc::bad_input, "'" + request.target + "' is no request target"};
  Request message;
  message.version(11);
  message.method_string(request.method);
  message.target(request.target);
  message.set(http::field::host, address.path.empty() ? to_string(address) : "localhost");
  message.set(http::field::user_agent, "shiftd");
  message.set(http::field::connection, "close");
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name)) return Failure{Errc::bad_input, "'" + name + "' is no header name"};
    if (!is_header_value(value)) return Failure{Errc::bad_input, "the value of header '" + name + "' has a control character in it"};
    message.set(name, value);
  }
  message.body() = request.body;
  message.prepare_payload();
  return message;
}

Failure bad_reply(const error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
  if (error == http::error::body_limit) return Failure{Errc::exhausted, "the answer's body is larger than allowed"};
  if (error == http::error::end_of_stream) return Failure{Errc::unexpected_reply, "the connection was closed without an answer"};
  if (error.category() == asio::error::get_ssl_category()) return Failure{Errc::unauthenticated, "TLS: " + error.message()};
  if (error == http::error::partial_message) return Failure{Errc::unexpected_reply, "the answer ended early"};
  if (error.category() == make_error_code(http::error::bad_version).category())
    return Failure{Errc::unexpected_reply, "the answer is no HTTP: " + error.message()};
  return Failure{Errc::unexpected_reply, "the connection broke before the answer was complete: " + error.message()};
}

template <class Parser>
HttpReply head_of(const Parser& parser) {
  HttpReply reply;
  reply.status = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get()) reply.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  return reply;
}

struct Conversation {
  explicit Conversation(StreamSocket connected) : socket(std::move(connected)) {}
  StreamSocket socket;
  std::unique_ptr<TlsStream> tls;  // over `socket`, where the request says so
  beast::flat_buffer buffer{head_most};
  http::response_parser<http::empty_body> head;
};

// The same over the plain socket and over TLS.
Task<error_code> send(Conversation& talk, const Request& message) {
  error_code error;
  auto done = asio::redirect_error(asio::use_awaitable, error);
  if (talk.tls) {
    co_await http::async_write(*talk.tls, message, done);
  } else {
    co_await http::async_write(talk.socket, message, done);
  }
  co_return error;
}

Task<error_code> read_head(Conversation& talk) {
  error_code error;
  auto done = asio::redirect_error(asio::use_awaitable, error);
  if (talk.tls) {
    co_await http::async_read_header(*talk.tls, talk.buffer, talk.head, done);
  } else {
    co_await http::async_read_header(talk.socket, talk.buffer, talk.head, done);
  }
  co_return error;
}

template <class Parser>
Task<error_code> read_rest(Conversation& talk, Parser& parser) {
  error_code error;
  auto done = asio::redirect_error(asio::use_awaitable, error);
  if (talk.tls) {
    co_await http::async_read(*talk.tls, talk.buffer, parser, done);
  } else {
    co_await http::async_read(talk.socket, talk.buffer, parser, done);
  }
  co_return error;
}

template <class Parser>
Task<error_code> read_some(Conversation& talk, Parser& parser) {
  error_code error;
  auto done = asio::redirect_error(asio::use_awaitable, error);
  if (talk.tls) {
    co_await http::async_read_some(*talk.tls, talk.buffer, parser, done);
  } else {
    co_await http::async_read_some(talk.socket, talk.buffer, parser, done);
  }
  co_return error;
}

// Connects, writes the request and reads the head of the answer.
Task<Result<std::unique_ptr<Conversation>>> begin(HttpRequest request) {
  auto address = parse_address(request.address);
  if (!address) co_return std::move(address).error();
  auto message = written(request, *address);
  if (!message) co_return std::move(message).error();
  auto socket = co_await connect_to(*address);
  if (!socket) co_return std::move(socket).error();

  auto talk = std::make_unique<Conversation>(std::move(*socket));
  if (request.tls) {
    auto secured = co_await secure(talk->socket, *request.tls, address->host);
    if (!secured) co_return std::move(secured).error().during("TLS with " + request.address);
    talk->tls = std::move(*secured);
  }
  talk->head.header_limit(head_most);
  talk->head.body_limit(boost::none);
  if (request.method == "HEAD") talk->head.skip(true);
  if (auto error = co_await send(*talk, *message)) co_return bad_reply(error);
  if (auto error = co_await read_head(*talk)) co_return bad_reply(error);
  co_return std::move(talk);
}

Task<Result<HttpReply>> whole_reply(std::unique_ptr<Conversation> talk, std::size_t body_most) {
  http::response_parser<http::string_body> parser(std::move(talk->head));
  parser.body_limit(body_most);
  auto announced = parser.content_length();
  if (announced && *announced > body_most) co_return bad_reply(make_error_code(http::error::body_limit));
  if (!parser.is_done()) {
    if (auto error = co_await read_rest(*talk, parser)) co_return bad_reply(error);
  }
  auto reply = head_of(parser);
  reply.body = std::move(parser.get().body());
  co_return reply;
}

Task<Result<HttpReply>> exchange(HttpRequest request) {
  auto body_most = request.reply_body_most;
  auto talk = co_await begin(std::move(request));
  if (!talk) co_return std::move(talk).error();
  co_return co_await whole_reply(std::move(*talk), body_most);
}

struct Reading {
  explicit Reading(std::unique_ptr<Conversation> from) : talk(std::move(from)), parser(std::move(talk->head)) {
    parser.body_limit(boost::none);
  }
  std::unique_ptr<Conversation> talk;
  http::response_parser<http::buffer_body> parser;
  std::array<char, chunk_most> chunk{};
};

// What has come of the body, at most one chunk; empty when only framing came.
Task<Result<std::string_view>> next_chunk(Reading& reading) {
  auto& body = reading.parser.get().body();
  body.data = reading.chunk.data();
  body.size = reading.chunk.size();
  body.more = true;
  auto error = co_await read_some(*reading.talk, reading.parser);
  if (error && error != http::error::need_buffer) co_return bad_reply(error);
  co_return std::string_view(reading.chunk.data(), reading.chunk.size() - body.size);
}

}  // namespace

const std::string* HttpReply::header(std::string_view name) const {
  auto found = std::find_if(headers.begin(), headers.end(), [&](const auto& header) { return same_word(header.first, name); });
  return found == headers.end() ? nullptr : &found->second;
}

Task<Result<HttpReply>> http_exchange(Clock& clock, HttpRequest request, Duration limit) {
  return within(clock, limit, exchange(std::move(request)));
}

Task<Result<HttpReply>> http_stream(Clock& clock, HttpRequest request, std::function<bool(std::string_view chunk)> on_body,
                                    Duration idle_limit) {
  auto body_most = request.reply_body_most;
  auto talk = co_await within(clock, idle_limit, begin(std::move(request)));
  if (!talk) co_return std::move(talk).error();
  auto reply = head_of((*talk)->head);
  if (reply.status / 100 != 2) co_return co_await within(clock, idle_limit, whole_reply(std::move(*talk), body_most));

  Reading reading(std::move(*talk));
  while (!reading.parser.is_done()) {
    auto chunk = co_await within(clock, idle_limit, next_chunk(reading));
    if (!chunk) co_return std::move(chunk).error();
    if (!chunk->empty() && !on_body(*chunk)) break;
  }
  co_return reply;
}

}  // namespace shiftd
