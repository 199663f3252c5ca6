// The real server, asked by the project's own client, and by clients that no proper program would be.

#include <gtest/gtest.h>

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include <nlohmann/json.hpp>

#include "daemon/io/http_client.hpp"
#include "tests/fakes/api_fixture.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

const std::string start_body =
    R"({"service":"web","release":{"version":"2.0","source":"/srv/web.tar.gz","sha256":")" + std::string(64, 'a') + R"("}})";

class ApiServerTest : public testing::Test {
 protected:
  Result<HttpReply> ask(std::string method, std::string target, std::string body = "", HttpHeaders headers = {}, std::string address = "") {
    auto clock = make_system_clock();
    HttpRequest request{std::move(method), address.empty() ? api_.socket() : std::move(address), std::move(target), std::move(headers),
                        std::move(body)};
    return run_task(http_exchange(*clock, std::move(request), 10s));
  }
  json asked(std::string method, std::string target, int status, std::string body = "") {
    auto reply = ask(std::move(method), target, std::move(body));
    if (!reply) {
      ADD_FAILURE() << target << ": " << reply.error();
      return {};
    }
    EXPECT_EQ(reply->status, status) << target << ": " << reply->body;
    return json::parse(reply->body, nullptr, false);
  }

  ApiFixture api_;
};

TEST_F(ApiServerTest, SaysThatItIsHealthyAndWhyItIsNotReady) {
  EXPECT_EQ(ask("GET", "/-/healthy")->status, 200);
  EXPECT_EQ(ask("GET", "/-/ready")->status, 200);
  api_.control([](FakeControl& control) { control.readiness = Failure{Errc::unavailable, "the journal's disk is full"}; });
  auto reply = ask("GET", "/-/ready");
  EXPECT_EQ(reply->status, 503);
  EXPECT_EQ(reply->body, "the journal's disk is full\n");
}

TEST_F(ApiServerTest, StartsARolloutAndShowsIt) {
  auto started = asked("POST", "/api/v1/rollouts", 201, start_body);
  EXPECT_EQ(started["rollout"], "web-1");
  auto shown = asked("GET", "/api/v1/rollouts/web-1", 200);
  EXPECT_EQ(shown["phase"], "shifting");
  EXPECT_EQ(shown["hosts"].size(), 3U);
  EXPECT_EQ(asked("GET", "/api/v1/rollouts", 200)["rollouts"][0]["rollout"], "web-1");
}

TEST_F(ApiServerTest, KnowsByTheSocketWhoAsks) {
  asked("POST", "/api/v1/rollouts", 201, start_body);
  std::string by;
  api_.control([&](FakeControl& control) { by = control.starts.at(0).by; });
  auto* user = ::getpwuid(::getuid());
  EXPECT_EQ(by, user != nullptr ? user->pw_name : "uid " + std::to_string(::getuid()));
}

TEST_F(ApiServerTest, RefusesWithTheEnginesWordAndAFittingStatus) {
  api_.control([](FakeControl& control) { control.say("web-1", first_records(small_plan(small_request("web-1")))); });
  struct {
    const char* method;
    const char* target;
    const char* body;
    int status;
    const char* code;
  } const cases[] = {
      {"GET", "/nowhere", "", 404, "not_found"},
      {"DELETE", "/api/v1/rollouts", "", 405, "bad_input"},
      {"GET", "/api/v1/rollouts/web-9", "", 404, "not_found"},
      {"GET", "/api/v1/rollouts/web-9/events", "", 404, "not_found"},
      {"GET", "/api/v1/rollouts?many=5", "", 400, "bad_input"},
      {"GET", "/api/v1/rollouts?most=some", "", 400, "bad_input"},
      {"GET", "/api/v1/rollouts/web-1/events?from=-1", "", 400, "bad_input"},
      {"POST", "/api/v1/rollouts", "{}", 400, "bad_input"},
      {"POST", "/api/v1/rollouts/web-1/resume", "", 409, "conflict"},
      {"POST", "/api/v1/rollouts/web-1/release-hold", R"({"host":"web9"})", 404, "not_found"},
  };
  for (const auto& [method, target, body, status, code] : cases)
    EXPECT_EQ(asked(method, target, status, body)["error"]["code"], code) << target;
  api_.control([](FakeControl& control) { control.refusal = Failure{Errc::unavailable, "the disk is full"}; });
  EXPECT_EQ(asked("GET", "/api/v1/rollouts", 503)["error"]["what"], "the disk is full");
}

TEST_F(ApiServerTest, LetsInOnThePortOnlyWhoKnowsTheToken) {
  auto right = std::string("Bearer ") + ApiFixture::token;
  struct {
    const char* what;
    HttpHeaders headers;
    int status;
  } const cases[] = {{"no token", {}, 401},
                     {"a wrong token", {{"Authorization", "Bearer not-the-right-token"}}, 401},
                     {"another scheme", {{"Authorization", std::string("Basic ") + ApiFixture::token}}, 401},
                     {"the right token", {{"Authorization", right}}, 200}};
  for (const auto& [what, headers, status] : cases) {
    SCOPED_TRACE(what);
    for (const auto* target : {"/-/healthy", "/metrics", "/api/v1/rollouts"})
      EXPECT_EQ(ask("GET", target, "", headers, api_.address())->status, status);
  }
  auto started = ask("POST", "/api/v1/rollouts", start_body, {{"Authorization", right}, {"X-Shiftd-User", "carol"}}, api_.address());
  EXPECT_EQ(started->status, 201);
  api_.control([](FakeControl& control) { EXPECT_EQ(control.starts.at(0).by, "carol via token"); });
}

// Hosts have it, and whoever has a host has it too.
TEST_F(ApiServerTest, TheHostsTokenMayOnlyAskWhatTheyAreToRun) {
  HttpHeaders hosts{{"Authorization", std::string("Bearer ") + ApiFixture::desired_token}};
  auto desired = ask("GET", "/api/v1/services/web/desired", "", hosts, api_.address());
  EXPECT_EQ(desired->status, 200);
  EXPECT_EQ(desired->body, "shiftd-desired 1\nservice web\nat 1700000000\nhost web1 abc\n");
  for (const auto* target : {"/metrics", "/api/v1/rollouts", "/api/v1/services/web/pools", "/api/v1/services/web/desired/", "/nowhere"})
    EXPECT_EQ(ask("GET", target, "", hosts, api_.address())->status, 403) << target;
  EXPECT_EQ(ask("POST", "/api/v1/rollouts", start_body, hosts, api_.address())->status, 403);
  EXPECT_EQ(ask("POST", "/api/v1/services/web/desired", "", hosts, api_.address())->status, 403);
  api_.control([](FakeControl& control) { EXPECT_TRUE(control.starts.empty()); });
}

std::string thousand_headers() {
  std::string all;
  for (int count = 0; count < 1000; ++count) all += "X-Header-Number: 1234567890\r\n";
  return all;
}

// What the socket says to these bytes, until it closes.
std::string said_to(const std::string& path, const std::string& bytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  for (std::size_t at = 0; at < bytes.size();) {
    auto sent = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (sent <= 0) break;
    at += static_cast<std::size_t>(sent);
  }
  std::string answer;
  char piece[4096];
  for (ssize_t size; (size = ::recv(fd, piece, sizeof piece, 0)) > 0;) answer.append(piece, static_cast<std::size_t>(size));
  ::close(fd);
  return answer;
}

TEST_F(ApiServerTest, AnswersClientsThatAreNotProperAndGoesOn) {
  struct {
    const char* what;
    std::string bytes;
    const char* answer;
  } const cases[] = {
      {"garbage", "\x16\x03\x01 hello\r\n\r\n", "HTTP/1.1 400"},
      {"a head that does not end", "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", "HTTP/1.1 431"},
      {"a thousand headers", "GET / HTTP/1.1\r\n" + thousand_headers() + "\r\n", "HTTP/1.1 431"},
      {"a body that is announced too large", "POST /api/v1/plan HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 413"},
      {"a chunked body that grows too large",
       "POST /api/v1/plan HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" + std::string(0x200000, 'x') + "\r\n0\r\n\r\n", ""},
      {"a length that is none", "POST /api/v1/plan HTTP/1.1\r\nContent-Length: many\r\n\r\n", "HTTP/1.1 400"},
      {"two lengths", "POST /api/v1/plan HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 400"},
      {"a number that is too large", "GET /api/v1/rollouts?most=99999999999999999999 HTTP/1.1\r\nConnection: close\r\n\r\n",
       "HTTP/1.1 400"},
      {"a path that is no path", "GET ../../etc/passwd HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"},
  };
  for (const auto& [what, bytes, answer] : cases) {
    SCOPED_TRACE(what);
    auto said = said_to(api_.socket(), bytes);
    EXPECT_EQ(said.substr(0, std::string_view(answer).size()), answer);
  }
  EXPECT_EQ(ask("GET", "/-/healthy")->status, 200);
}

TEST_F(ApiServerTest, KeepsAConnectionForSeveralRequests) {
  auto said = said_to(api_.socket(), "GET /-/healthy HTTP/1.1\r\n\r\nGET /-/ready HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_NE(said.find("healthy\n"), std::string::npos);
  EXPECT_NE(said.find("ready\n"), std::string::npos);
}

// The events of a feed: "number kind".
class ApiFeedTest : public ApiServerTest {
 protected:
  ApiFeedTest() {
    api_.control([](FakeControl& control) {
      control.say("web-1", first_records(small_plan(small_request("web-1"))));
      control.say("web-1", Held{"no traffic"});
      control.say("web-1", Ended{Outcome::aborted, "asked for"});
    });
  }
  std::vector<std::string> feed(std::string target, HttpHeaders headers = {}) {
    auto reply = ask("GET", std::move(target), "", std::move(headers));
    EXPECT_TRUE(reply) << reply.error();
    EXPECT_EQ(*reply->header("content-type"), "text/event-stream");
    std::vector<std::string> events;
    std::istringstream lines(reply->body);
    std::string id;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("id: ")) id = line.substr(4) + " ";
      if (line.starts_with("event: ")) events.push_back(id + line.substr(7)), id.clear();
    }
    return events;
  }
};

TEST_F(ApiFeedTest, BeginsWithTheFirstRecordAndEndsAfterTheLast) {
  EXPECT_EQ(feed("/api/v1/rollouts/web-1/events"),
            (std::vector<std::string>{"0 requested", "1 planned", "2 stage_begun", "3 held", "4 ended", "end"}));
}

TEST_F(ApiFeedTest, GoesOnWhereTheReaderWas) {
  EXPECT_EQ(feed("/api/v1/rollouts/web-1/events?from=3"), (std::vector<std::string>{"3 held", "4 ended", "end"}));
  EXPECT_EQ(feed("/api/v1/rollouts/web-1/events", {{"Last-Event-ID", "3"}}), (std::vector<std::string>{"4 ended", "end"}));
  EXPECT_EQ(feed("/api/v1/rollouts/web-1/events?from=0", {{"Last-Event-ID", "3"}}), (std::vector<std::string>{"4 ended", "end"}));
  EXPECT_EQ(feed("/api/v1/rollouts/web-1/events", {{"Last-Event-ID", "4"}}), (std::vector<std::string>{"end"}));
}

ApiLimits short_limits() {
  ApiLimits limits;
  limits.idle = 50ms;
  limits.read = 50ms;
  limits.keepalive = 20ms;
  limits.connections = 2;
  return limits;
}

class ImpatientApiTest : public testing::Test {
 protected:
  ApiFixture api_{short_limits()};
};

TEST_F(ImpatientApiTest, ClosesOnWhoSaysNothingMore) {
  EXPECT_EQ(said_to(api_.socket(), ""), "");
  EXPECT_EQ(said_to(api_.socket(), "GET /-/hea"), "");
  EXPECT_TRUE(said_to(api_.socket(), "POST /api/v1/plan HTTP/1.1\r\nContent-Length: 10\r\n\r\n{").starts_with("HTTP/1.1 408"));
}

TEST_F(ImpatientApiTest, ShowsThatAFeedWithoutNewsIsAlive) {
  api_.control([](FakeControl& control) { control.say("web-1", first_records(small_plan(small_request("web-1")))); });
  auto clock = make_system_clock();
  std::string heard;
  HttpRequest request;
  request.address = api_.socket();
  request.target = "/api/v1/rollouts/web-1/events";
  std::function<bool(std::string_view)> on_body = [&](std::string_view piece) {
    heard += piece;
    return heard.find(": keepalive\n\n") == std::string::npos;
  };
  auto reply = run_task(http_stream(*clock, request, on_body, 10s));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_NE(heard.find("event: stage_begun"), std::string::npos);
}

TEST(ApiSocket, IsReplacedOnlyWhenNobodyAnswersOnIt) {
  ApiFixture first;
  boost::asio::io_context loop(1);
  auto clock = make_system_clock();
  FakeControl control(loop.get_executor(), *clock);
  auto second = [&](ApiOptions options) { return ApiServer::open(loop.get_executor(), *clock, control, std::move(options)); };
  EXPECT_EQ(second({first.socket(), {}, "", {}}).error().code, Errc::conflict);

  auto stale = first.directory() + "/stale.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  stale.copy(address.sun_path, sizeof address.sun_path - 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  {
    auto server = second({stale, {}, "", {}});
    ASSERT_TRUE(server) << server.error();
    struct stat about {};
    ASSERT_EQ(::stat(stale.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777, 0660U);
  }
  EXPECT_FALSE(std::filesystem::exists(stale)) << "a server takes its socket with it";
  EXPECT_EQ(second({first.token_file(), {}, "", {}}).error().code, Errc::bad_input);
}

TEST(ApiPort, NeedsATokenAndALoopbackAddress) {
  ApiFixture other;
  boost::asio::io_context loop(1);
  auto clock = make_system_clock();
  FakeControl control(loop.get_executor(), *clock);
  auto refusal = [&](Address address, std::string token_file) {
    return ApiServer::open(loop.get_executor(), *clock, control, {"", std::move(address), std::move(token_file), {}}).error();
  };
  EXPECT_EQ(refusal({"127.0.0.1", 0, ""}, "").code, Errc::bad_input);
  EXPECT_EQ(refusal({"0.0.0.0", 0, ""}, other.token_file()).code, Errc::bad_input);
  EXPECT_EQ(refusal({"example.org", 0, ""}, other.token_file()).code, Errc::bad_input);
  EXPECT_EQ(refusal({"127.0.0.1", 0, ""}, other.directory() + "/none").code, Errc::not_found);
}

}  // namespace
}  // namespace shiftd
