#include <functional>

#include <gtest/gtest.h>

#include "checks/checks.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using Then = LoopbackServer::Then;

struct NetworkChecks : testing::Test {
  template <class Spec>
  std::shared_ptr<Check> made(Spec spec) {
    return make_check(*clock, std::move(spec)).value();
  }
  static CheckTarget at(std::string address) { return {.host = "web1", .address = std::move(address), .executor = nullptr}; }

  CheckResult ask(std::shared_ptr<Check> check, LoopbackServer& server) {
    return run_task(loop, beside(server.serve(), check->ask(at(server.address()))));
  }
  CheckResult ask(HttpCheck spec, std::vector<std::string> answer) {
    LoopbackServer server(loop, std::move(answer));
    return ask(made(std::move(spec)), server);
  }

  boost::asio::io_context loop{1};
  std::unique_ptr<Clock> clock = make_system_clock();
};

TEST_F(NetworkChecks, PortIsOkWhenSomebodyAccepts) {
  LoopbackServer server(loop, {});
  auto result = ask(made(PortCheck{}), server);
  EXPECT_EQ(result.status, CheckStatus::ok);
  EXPECT_EQ(result.text, "connected to " + server.address());
}

TEST_F(NetworkChecks, PortMayBeAnotherThanTheHostsOwn) {
  LoopbackServer server(loop, {});
  PortCheck spec;
  spec.port = server.port();
  auto check = made(spec);
  EXPECT_EQ(check->name(), "port " + std::to_string(server.port()));
  auto result = run_task(loop, beside(server.serve(), check->ask(at(nobody_listens()))));
  EXPECT_EQ(result.status, CheckStatus::ok) << result.text;
}

TEST_F(NetworkChecks, PortIsCriticalWhenNobodyListens) {
  auto address = nobody_listens();
  auto result = run_task(loop, made(PortCheck{})->ask(at(address)));
  EXPECT_EQ(result.status, CheckStatus::critical);
  EXPECT_EQ(result.text, "connect " + address + ": Connection refused");
}

TEST_F(NetworkChecks, CannotAskAtAnAddressThatIsNone) {
  for (const auto& check : {made(PortCheck{}), made(HttpCheck{})}) {
    auto result = run_task(loop, check->ask(at("10.0.0.1")));
    EXPECT_EQ(result.status, CheckStatus::unknown) << check->name();
    EXPECT_NE(result.text.find("'10.0.0.1' is no address"), std::string::npos) << result.text;
  }
}

TEST_F(NetworkChecks, HttpJudgesWhatWasAnswered) {
  auto answer = [](std::string head, std::string body) {
    return std::vector<std::string>{"HTTP/1.1 " + head + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body};
  };
  struct {
    const char* name;
    std::function<void(HttpCheck&)> wants;
    std::vector<std::string> answer;
    CheckStatus status;
    const char* text;
  } const cases[] = {
      {"200", [](auto&) {}, answer("200 OK", ""), CheckStatus::ok, "GET /: 200"},
      {"503", [](auto&) {}, answer("503 No", ""), CheckStatus::critical, "GET /: 503, wanted 200"},
      {"a redirect is not followed", [](auto&) {}, answer("302 Found", ""), CheckStatus::critical, "GET /: 302, wanted 200"},
      {"several statuses",
       [](auto& spec) {
         spec.statuses = {200, 204};
       },
       answer("404 No", ""), CheckStatus::critical, "GET /: 404, wanted 200 or 204"},
      {"another status is wanted", [](auto& spec) { spec.statuses = {503}; }, answer("503 No", ""), CheckStatus::ok, "GET /: 503"},
      {"the body matches", [](auto& spec) { spec.body_pattern = "re[a-z]dy"; }, answer("200 OK", "not\nready yet"), CheckStatus::ok,
       "GET /: 200"},
      {"the body of another status matches",
       [](auto& spec) {
         spec.statuses = {503};
         spec.body_pattern = "^draining$";
       },
       answer("503 No", "draining"), CheckStatus::ok, "GET /: 503"},
      {"the body does not match", [](auto& spec) { spec.body_pattern = "^ready"; }, answer("200 OK", "al\x1bready\nyes"),
       CheckStatus::critical, "GET /: 200, body 'al?ready', wanted '^ready'"},
      {"the header matches",
       [](auto& spec) {
         spec.wanted_headers = {{"x-release", "^v2$"}};
       },
       answer("200 OK\r\nX-Release: v2", ""), CheckStatus::ok, "GET /: 200"},
      {"the header does not match",
       [](auto& spec) {
         spec.wanted_headers = {{"X-Release", "^v2$"}};
       },
       answer("200 OK\r\nX-Release: v1", ""), CheckStatus::critical, "GET /: 200, header 'X-Release' is 'v1', wanted '^v2$'"},
      {"the header is missing",
       [](auto& spec) {
         spec.wanted_headers = {{"X-Release", ""}};
       },
       answer("200 OK", ""), CheckStatus::critical, "GET /: 200, without the header 'X-Release'"},
      {"no HTTP", [](auto&) {}, {"220 ftp ready\r\n\r\n"}, CheckStatus::critical, "GET /: the answer is no HTTP: bad version"},
      {"half a body",
       [](auto&) {},
       {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"},
       CheckStatus::critical,
       "GET /: the answer ended early"},
  };
  for (const auto& [name, wants, answered, status, text] : cases) {
    SCOPED_TRACE(name);
    HttpCheck spec;
    wants(spec);
    auto result = ask(spec, answered);
    EXPECT_EQ(result.status, status);
    EXPECT_EQ(result.text, text);
  }
}

TEST_F(NetworkChecks, HttpSearchesOnlyTheFrontOfAHugeBody) {
  HttpCheck spec;
  spec.body_pattern = "ready";
  auto at_front = ask(spec, {"HTTP/1.1 200 OK\r\n\r\nready", std::string(4 << 20, 'x')});
  EXPECT_EQ(at_front.status, CheckStatus::ok) << at_front.text;
  auto behind = ask(spec, {"HTTP/1.1 200 OK\r\n\r\n", std::string(64 << 10, 'x'), "ready"});
  EXPECT_EQ(behind.status, CheckStatus::critical) << behind.text;
}

TEST_F(NetworkChecks, HttpIsCriticalWhenTheAnswerDoesNotComeInTime) {
  HttpCheck spec;
  spec.timeout = 50ms;
  LoopbackServer server(loop, {"HTTP/1.1 200 OK\r\n"}, Then::hang);
  auto result = ask(made(spec), server);
  EXPECT_EQ(result.status, CheckStatus::critical);
  EXPECT_EQ(result.text, "GET /: no answer within 50ms");
}

TEST_F(NetworkChecks, HttpSendsItsHeadersToItsPort) {
  HttpCheck spec;
  spec.path = "/healthz?full";
  spec.host_header = "app.example";
  spec.headers = {{"X-Probe", "1"}};
  LoopbackServer server(loop, {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
  spec.port = server.port();
  auto result = run_task(loop, beside(server.serve(), made(spec)->ask(at(nobody_listens()))));
  EXPECT_EQ(result.status, CheckStatus::ok) << result.text;
  const auto& sent = server.requests().at(0);
  for (auto part : {"GET /healthz?full HTTP/1.1\r\n", "Host: app.example\r\n", "X-Probe: 1\r\n"})
    EXPECT_NE(sent.find(part), std::string::npos) << part << sent;
}

TEST_F(NetworkChecks, RefusesWhatCanNeverBeAsked) {
  struct {
    const char* name;
    std::function<void(HttpCheck&)> breaks;
    const char* says;
  } const cases[] = {
      {"port", [](auto& spec) { spec.port = 65536; }, "port must be 1..65535, not 65536"},
      {"timeout", [](auto& spec) { spec.timeout = 0ms; }, "timeout must be more than 0"},
      {"path", [](auto& spec) { spec.path = "healthz"; }, "path must begin with '/'"},
      {"path with a line", [](auto& spec) { spec.path = "/\r\nX: y"; }, "path must begin with '/'"},
      {"no status", [](auto& spec) { spec.statuses = {}; }, "at least one status"},
      {"status",
       [](auto& spec) {
         spec.statuses = {200, 99};
       },
       "status must be 200..599, not 99"},
      {"header",
       [](auto& spec) {
         spec.headers = {{"X: y", "z"}};
       },
       "'X: y: z' is no header"},
      {"host", [](auto& spec) { spec.host_header = "a\r\nb"; }, "control character"},
      {"body", [](auto& spec) { spec.body_pattern = "("; }, "body: '(' is no regular expression"},
      {"wanted header",
       [](auto& spec) {
         spec.wanted_headers = {{"X", "["}};
       },
       "header 'X': '[' is no regular expression"},
  };
  for (const auto& [name, breaks, says] : cases) {
    SCOPED_TRACE(name);
    HttpCheck spec;
    breaks(spec);
    auto check = make_check(*clock, spec);
    ASSERT_FALSE(check);
    EXPECT_EQ(check.error().code, Errc::bad_input);
    EXPECT_NE(check.error().what.find(says), std::string::npos) << check.error();
  }
  PortCheck port;
  port.port = -1;
  EXPECT_FALSE(make_check(*clock, port));
}

}  // namespace
}  // namespace shiftd
