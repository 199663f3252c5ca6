// The real server, asked by the project's own client, and by clients that no proper program would be.

#include <gtest/gtest.h>

#include <pwd.h>
#include <unistd.h>

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

}  // namespace
}  // namespace shiftd
