// What no PyBal should answer, and one without prometheus_client: the view cannot tell, or the pool is closed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lb-adapters/pybal/pybal.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

std::string answer(const std::string& status, const std::string& type, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class PybalAnswers : public testing::Test {
 protected:
  Result<ViewReading> read(const std::string& said) {
    server.answer({said});
    auto view = make_pybal_view(
        *clock, {.name = "lvs1", .address = server.address(), .pool = "web_80", .monitors = {}, .monitor_round = 15s, .timeout = 300ms});
    return run_task(loop, beside(server.serve(), view->read()));
  }

  boost::asio::io_context loop{1};
  std::unique_ptr<Clock> clock = make_system_clock();
  LoopbackServer server{loop, {}};
};

TEST_F(PybalAnswers, ThatAreNoneCannotTell) {
  const std::string json = "application/json";
  const std::string good = R"({"be1": {"pooled": true, "weight": 10, "up": true, "enabled": true}})";
  struct {
    const char* name;
    std::string said;
    Errc code;
  } const cases[] = {
      {"words for people", answer("200 OK", "text/plain", "be1:\tenabled/up/pooled\n"), Errc::unexpected_reply},
      {"JSON that is not called so", answer("200 OK", "text/plain", good), Errc::unexpected_reply},
      {"bad JSON", answer("200 OK", json, good.substr(0, 30)), Errc::unexpected_reply},
      {"404", answer("404 Not Found", json, R"({"error": "The desired url was not found"})"), Errc::not_found},
      {"500", answer("500 Internal Server Error", json, good), Errc::unexpected_reply},
      {"a redirect", answer("302 Found", json, good), Errc::unexpected_reply},
      {"no content", "HTTP/1.1 204 No Content\r\n\r\n", Errc::unexpected_reply},
      {"no HTTP", "be1: up\r\n\r\n", Errc::unexpected_reply},
      {"cut off", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}", Errc::unexpected_reply},
      {"far too long", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{", Errc::exhausted},
  };
  for (const auto& [name, said, code] : cases) {
    SCOPED_TRACE(name);
    auto reading = read(said);
    ASSERT_FALSE(reading);
    EXPECT_EQ(reading.error().code, code) << reading.error().what;
  }
}

TEST_F(PybalAnswers, AreAskedForWithTheExactAcceptHeader) {
  ASSERT_FALSE(read(answer("404 Not Found", "application/json", "{}")));
  EXPECT_THAT(server.requests().front(), HasSubstr("GET /pools/web_80 HTTP/1.1\r\n"));
  EXPECT_THAT(server.requests().front(), HasSubstr("\r\nAccept: application/json\r\n"));
}

// To every question it says the pool: what it should have said of alerts and metrics is missing.
TEST_F(PybalAnswers, WithoutAlertsAndMetricsShowTheMembersAndCloseThePool) {
  auto reading = read(answer("200 OK", "application/json", R"({"be1": {"pooled": true, "weight": 10, "up": true, "enabled": true}})"));
  ASSERT_TRUE(reading) << reading.error();
  EXPECT_EQ(reading->of("be1").traffic, Traffic::flowing);
  EXPECT_EQ(reading->of("be1").health, Health::unknown);
  EXPECT_THAT(reading->closed, Contains(HasSubstr("its alerts cannot be read")));
  EXPECT_THAT(reading->closed, Contains("it does not say whether it can depool"));
}

}  // namespace
}  // namespace shiftd
