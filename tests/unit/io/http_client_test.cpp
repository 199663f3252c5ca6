#include "daemon/io/http_client.hpp"

#include <filesystem>

#include <unistd.h>

#include <gtest/gtest.h>
#include <boost/asio/local/stream_protocol.hpp>

#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;
using Then = LoopbackServer::Then;

struct HttpClient : testing::Test {
  Result<HttpReply> ask(LoopbackServer& server, HttpRequest request = {}, Duration limit = 10s) {
    request.address = server.address();
    return run_task(loop, beside(server.serve(), http_exchange(*clock, request, limit)));
  }
  Result<HttpReply> ask(std::vector<std::string> answer, HttpRequest request = {}) {
    LoopbackServer server(loop, std::move(answer));
    return ask(server, std::move(request));
  }
  Result<HttpReply> stream(LoopbackServer& server, std::function<bool(std::string_view)> on_body, Duration idle_limit = 10s) {
    HttpRequest request;
    request.address = server.address();
    return run_task(loop, beside(server.serve(), http_stream(*clock, request, std::move(on_body), idle_limit)));
  }

  asio::io_context loop{1};
  std::unique_ptr<Clock> clock = make_system_clock();
};

TEST_F(HttpClient, UnderstandsEveryProperWayToAnswer) {
  struct {
    const char* name;
    std::vector<std::string> answer;
    int status;
    std::string body;
  } const cases[] = {
      {"a length", {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, 200, "hello"},
      {"a length, byte by byte", {"HTTP/1.1 2", "00 OK\r\nContent-", "Length: 5\r\n\r", "\nhe", "llo"}, 200, "hello"},
      {"until the end", {"HTTP/1.0 200 OK\r\n\r\nhello"}, 200, "hello"},
      {"chunks", {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "3\r\nllo\r\n", "0\r\n\r\n"}, 200, "hello"},
      {"no content", {"HTTP/1.1 204 No Content\r\n\r\n"}, 204, ""},
      {"an error status", {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"}, 503, "busy"},
      {"a redirect", {"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"}, 302, ""},
      {"more than was announced", {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, world"}, 200, "hello"},
  };
  for (const auto& [name, answer, status, body] : cases) {
    SCOPED_TRACE(name);
    auto reply = ask(answer);
    ASSERT_TRUE(reply) << reply.error();
    EXPECT_EQ(reply->status, status);
    EXPECT_EQ(reply->body, body);
  }
}

TEST_F(HttpClient, NamesWhatIsWrongWithAnImproperAnswer) {
  struct {
    const char* name;
    std::vector<std::string> answer;
    Errc code;
    const char* says;
  } const cases[] = {
      {"nothing", {}, Errc::unexpected_reply, "closed without an answer"},
      {"garbage", {"SSH-2.0-OpenSSH_9.2\r\n\r\n"}, Errc::unexpected_reply, "no HTTP"},
      {"zeros", {std::string(64, '\0')}, Errc::unexpected_reply, "no HTTP"},
      {"half a head", {"HTTP/1.1 200 OK\r\nContent-"}, Errc::unexpected_reply, "ended early"},
      {"half a body", {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"}, Errc::unexpected_reply, "ended early"},
      {"half a chunk", {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"}, Errc::unexpected_reply, "ended early"},
      {"a chunk of nonsense size", {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}, Errc::unexpected_reply, "no HTTP"},
      {"two lengths", {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"}, Errc::unexpected_reply, "no HTTP"},
      {"an endless head", {"HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x')}, Errc::unexpected_reply, "no HTTP"},
      {"a huge announced body", {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"}, Errc::exhausted, "larger than allowed"},
      {"a huge unannounced body", {"HTTP/1.1 200 OK\r\n\r\n" + std::string(2 << 20, 'x')}, Errc::exhausted, "larger than allowed"},
      {"a huge chunk", {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\nxx"}, Errc::exhausted, "larger than allowed"},
  };
  for (const auto& [name, answer, code, says] : cases) {
    SCOPED_TRACE(name);
    auto reply = ask(answer);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code) << reply.error();
    EXPECT_NE(reply.error().what.find(says), std::string::npos) << reply.error();
  }
}

TEST_F(HttpClient, TakesABodyOfExactlyTheAllowedSizeAndNotOneByteMore) {
  HttpRequest request;
  request.reply_body_most = 5;
  EXPECT_TRUE(ask({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, request));
  auto reply = ask({"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!"}, request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::exhausted);
}

TEST_F(HttpClient, SaysThatNobodyListens) {
  HttpRequest request;
  request.address = nobody_listens();
  auto reply = run_task(loop, http_exchange(*clock, request, 10s));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error(), (Failure{Errc::unreachable, "connect " + request.address + ": Connection refused"}));
}

TEST_F(HttpClient, SaysThatAUnixSocketIsNotThere) {
  HttpRequest request;
  request.address = "/nonexistent/shiftd.sock";
  auto reply = run_task(loop, http_exchange(*clock, request, 10s));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::unreachable) << reply.error();
}

TEST_F(HttpClient, GivesUpOnAServerThatHangs) {
  struct {
    const char* name;
    std::vector<std::string> answer;
  } const cases[] = {{"before the answer", {}},
                     {"in the head", {"HTTP/1.1 200 OK\r\n"}},
                     {"in the body", {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"}}};
  for (const auto& [name, answer] : cases) {
    SCOPED_TRACE(name);
    LoopbackServer server(loop, answer, Then::hang);
    auto reply = ask(server, {}, 50ms);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error(), (Failure{Errc::timed_out, "no answer within 50ms"}));
  }
}

TEST_F(HttpClient, SendsWhatItWasGiven) {
  LoopbackServer server(loop, {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Kind: a\r\nx-kind: b\r\n\r\n"});
  HttpRequest request;
  request.method = "POST";
  request.target = "/rollouts?dry=1";
  request.headers = {{"Host", "app.example"}, {"X-Token", "t"}};
  request.body = "{}";
  auto reply = ask(server, request);
  ASSERT_TRUE(reply) << reply.error();
  ASSERT_NE(reply->header("X-KIND"), nullptr);
  EXPECT_EQ(*reply->header("X-KIND"), "a");
  EXPECT_EQ(reply->header("X-Other"), nullptr);
  ASSERT_EQ(server.requests().size(), 1U);
  const auto& sent = server.requests()[0];
  EXPECT_EQ(sent.rfind("POST /rollouts?dry=1 HTTP/1.1\r\n", 0), 0U) << sent;
  for (auto line : {"Host: app.example\r\n", "X-Token: t\r\n", "Content-Length: 2\r\n", "Connection: close\r\n"})
    EXPECT_NE(sent.find(line), std::string::npos) << line << sent;
  EXPECT_EQ(sent.find("127.0.0.1"), std::string::npos) << sent;
}

TEST_F(HttpClient, DoesNotWaitForTheBodyThatAHeadRequestNeverGets) {
  HttpRequest request;
  request.method = "HEAD";
  auto reply = ask({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}, request);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->body, "");
}

TEST_F(HttpClient, RefusesToWriteDownWhatWouldSmuggleALine) {
  struct {
    const char* name;
    HttpRequest request;
  } cases[] = {{"method", {}}, {"target", {}}, {"header name", {}}, {"header value", {}}, {"address", {}}};
  for (auto& [name, request] : cases) request.address = "127.0.0.1:1";
  cases[0].request.method = "GET / HTTP/1.1\r\nX:";
  cases[1].request.target = "/ HTTP/1.1\r\nX: y";
  cases[2].request.headers = {{"X: y\r\nZ", "z"}};
  cases[3].request.headers = {{"X", "y\r\nZ: z"}};
  cases[4].request.address = "127.0.0.1";
  for (const auto& [name, request] : cases) {
    SCOPED_TRACE(name);
    auto reply = run_task(loop, http_exchange(*clock, request, 10s));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, Errc::bad_input) << reply.error();
  }
}

TEST_F(HttpClient, ResolvesNamesAndSpeaksIpv6) {
  HttpRequest request;
  LoopbackServer by_name(loop, {"HTTP/1.1 204 No Content\r\n\r\n"});
  request.address = "localhost:" + std::to_string(by_name.port());
  auto reply = run_task(loop, beside(by_name.serve(), http_exchange(*clock, request, 10s)));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 204);

  LoopbackServer by_ipv6(loop, {"HTTP/1.1 204 No Content\r\n\r\n"}, Then::close, asio::ip::address_v6::loopback());
  request.address = "[::1]:" + std::to_string(by_ipv6.port());
  reply = run_task(loop, beside(by_ipv6.serve(), http_exchange(*clock, request, 10s)));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_NE(by_ipv6.requests().at(0).find("Host: " + request.address + "\r\n"), std::string::npos) << by_ipv6.requests()[0];
}

TEST_F(HttpClient, SaysThatANameIsUnknown) {
  HttpRequest request;
  // A label of 64 characters cannot be asked for, so no name server hears of this.
  auto name = std::string(64, 'x') + ".invalid";
  request.address = name + ":80";
  auto reply = run_task(loop, http_exchange(*clock, request, 30s));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::unreachable) << reply.error();
  EXPECT_NE(reply.error().what.find("resolve " + name), std::string::npos) << reply.error();
}

TEST_F(HttpClient, SpeaksOverAUnixSocket) {
  auto path = std::filesystem::temp_directory_path() / ("shiftd-http-client-" + std::to_string(getpid()) + ".sock");
  std::filesystem::remove(path);
  asio::local::stream_protocol::acceptor acceptor(loop, path.string());
  auto serve = [](asio::local::stream_protocol::acceptor& from) -> Task<> {
    auto socket = co_await from.async_accept(asio::use_awaitable);
    std::string request;
    co_await asio::async_read_until(socket, asio::dynamic_buffer(request, 4096), "\r\n\r\n", asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer("HTTP/1.1 204 No Content\r\n\r\n", 27), asio::use_awaitable);
  };
  HttpRequest request;
  request.address = path.string();
  auto reply = run_task(loop, beside(serve(acceptor), http_exchange(*clock, request, 10s)));
  std::filesystem::remove(path);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 204);
}

constexpr auto events_head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST_F(HttpClient, HandsOverAStreamAsItComesUntilItEnds) {
  LoopbackServer server(loop, {events_head, "9\r\ndata: a\n\n\r\n", "9\r\ndata: b\n\n\r\n", "0\r\n\r\n"});
  std::string body;
  auto take = [&](std::string_view chunk) {
    body += chunk;
    return true;
  };
  auto reply = stream(server, take);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(*reply->header("content-type"), "text/event-stream");
  EXPECT_EQ(body, "data: a\n\ndata: b\n\n");
}

TEST_F(HttpClient, HandsOverAStreamThatIsLargerThanAnyReplyMayBe) {
  const std::string large(4 << 20, 'x');
  LoopbackServer server(loop, {"HTTP/1.1 200 OK\r\n\r\n", large});
  std::size_t taken = 0;
  auto take = [&](std::string_view chunk) {
    taken += chunk.size();
    return true;
  };
  auto reply = stream(server, take);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(taken, large.size());
}

TEST_F(HttpClient, LeavesAStreamWhenItsReaderHasEnough) {
  LoopbackServer server(loop, {events_head, "9\r\ndata: a\n\n\r\n"}, Then::hang);
  auto enough = [](std::string_view) { return false; };
  auto reply = stream(server, enough);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 200);
}

TEST_F(HttpClient, GivesUpOnAStreamThatFallsSilent) {
  LoopbackServer server(loop, {events_head, "9\r\ndata: a\n\n\r\n"}, Then::hang);
  std::string body;
  auto take = [&](std::string_view chunk) {
    body += chunk;
    return true;
  };
  auto reply = stream(server, take, 50ms);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::timed_out);
  EXPECT_EQ(body, "data: a\n\n");
}

TEST_F(HttpClient, SaysThatAStreamBrokeOff) {
  LoopbackServer server(loop, {events_head, "9\r\ndata: a\n\n\r\n"});
  auto take = [](std::string_view) { return true; };
  auto reply = stream(server, take);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error(), (Failure{Errc::unexpected_reply, "the answer ended early"}));
}

TEST_F(HttpClient, ReturnsARefusedStreamWithItsReason) {
  LoopbackServer server(loop, {"HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\nno such rollout"});
  bool called = false;
  auto take = [&](std::string_view) { return called = true; };
  auto reply = stream(server, take);
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_EQ(reply->status, 404);
  EXPECT_EQ(reply->body, "no such rollout");
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace shiftd
