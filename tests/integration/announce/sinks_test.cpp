// Real listeners on loopback: what the sinks say, and what they make of being refused, reset, kept waiting.

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/asio/read.hpp>
#include <nlohmann/json.hpp>

#include "daemon/announce/sink.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/simulated_clock.hpp"
#include "tests/fakes/small_fleet.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Announcement pooled{"web-7",
                          "web",
                          42,
                          at_second(0),
                          "conftool action : set/pooled=no; selector: dc=dc1,cluster=web,service=app,name=web1 (rollout web-7)",
                          MemberChange{"dc1/web/app", "web1", {Pooled::yes, 100}, {Pooled::no, 100}}};

// As tcpircbot: takes what comes until the other side ends, says nothing, hangs up.
class Bot {
 public:
  enum class Then { hang_up, reset, keep_open };
  explicit Bot(asio::io_context& loop, Then then = Then::hang_up) : acceptor_(loop, {asio::ip::address_v4::loopback(), 0}), then_(then) {}

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

  Task<> serve() {
    std::vector<asio::ip::tcp::socket> kept;
    while (true) {
      auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
      if (then_ == Then::reset) {
        socket.set_option(asio::socket_base::linger(true, 0));
        continue;
      }
      std::string line;
      boost::system::error_code end;
      co_await asio::async_read(socket, asio::dynamic_buffer(line), asio::redirect_error(asio::use_awaitable, end));
      lines_.push_back(line);
      if (then_ == Then::keep_open) kept.push_back(std::move(socket));
    }
  }

 private:
  asio::ip::tcp::acceptor acceptor_;
  Then then_;
  std::vector<std::string> lines_;
};

class SinksTest : public testing::Test {
 protected:
  template <class To>
  std::unique_ptr<Sink> sink(To to) {
    SinkOptions options;
    options.name = "it";
    options.to = std::move(to);
    return make_sink(*clock_, options, "shiftd@deploy1");
  }

  asio::io_context loop_{1};
  std::unique_ptr<Clock> clock_ = make_system_clock();
  TemporaryDirectory directory_;
};

TEST_F(SinksTest, TheBotHearsOneLineOnAConnectionOfItsOwn) {
  Bot bot(loop_);
  auto to = sink(TcpircbotOptions{bot.address()});
  for (int time = 0; time < 2; ++time) EXPECT_TRUE(run_task(loop_, beside(bot.serve(), to->tell(pooled))));
  auto line = HasSubstr(
      "!log shiftd@deploy1 conftool action : set/pooled=no; selector: dc=dc1,cluster=web,service=app,name=web1 (rollout web-7) (at 2025");
  EXPECT_THAT(bot.lines(), ElementsAre(line, line));
  EXPECT_THAT(bot.lines()[0], Not(HasSubstr("\n")));
}

TEST_F(SinksTest, ABotThatResetsTheConnectionHasNotHeard) {
  Bot bot(loop_, Bot::Then::reset);
  auto to = sink(TcpircbotOptions{bot.address()});
  auto told = run_task(loop_, beside(bot.serve(), to->tell(pooled)));
  ASSERT_FALSE(told);
  EXPECT_NE(told.error().code, Errc::bad_input) << told.error();
}

TEST_F(SinksTest, ABotThatKeepsTheConnectionOpenHasTheLine) {
  Bot bot(loop_, Bot::Then::keep_open);
  auto to = sink(TcpircbotOptions{bot.address()});
  EXPECT_TRUE(run_task(loop_, beside(bot.serve(), to->tell(pooled))));
  EXPECT_EQ(bot.lines().size(), 1U);
}

TEST_F(SinksTest, NobodyListensIsNamed) {
  auto nobody = nobody_listens();
  for (const auto& to : {sink(TcpircbotOptions{nobody}), sink(WebhookOptions{"http://" + nobody + "/secret", "", ""})}) {
    auto told = run_task(loop_, to->tell(pooled));
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code, Errc::unreachable);
    EXPECT_THAT(told.error().what, HasSubstr(nobody));
    EXPECT_THAT(told.error().what, Not(HasSubstr("secret")));
  }
}

TEST_F(SinksTest, AWebhookIsPostedJsonWithItsToken) {
  std::ofstream(directory_.path() + "/token") << "tok-123\n";
  ::chmod((directory_.path() + "/token").c_str(), 0600);
  LoopbackServer server(loop_, {"HTTP/1.1 204 No Content\r\n\r\n"});
  auto to = sink(WebhookOptions{"http://" + server.address() + "/hook?x=1", directory_.path() + "/token", ""});
  auto told = run_task(loop_, beside(server.serve(), to->tell(pooled)));
  ASSERT_TRUE(told) << told.error();
  ASSERT_EQ(server.requests().size(), 1U);
  const auto& request = server.requests()[0];
  EXPECT_THAT(request, testing::StartsWith("POST /hook?x=1 HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("Authorization: Bearer tok-123\r\n"));
  EXPECT_THAT(request, HasSubstr("Content-Type: application/json\r\n"));
}

TEST(WebhookBody, SaysWhatChangedAndHowToKnowItAgain) {
  constexpr auto expected = R"json({
    "id": "web-7/42", "at": "2025-11-24T16:00:00.000Z", "rollout": "web-7", "service": "web",
    "text": "shiftd@deploy1 conftool action : set/pooled=no; selector: dc=dc1,cluster=web,service=app,name=web1 (rollout web-7)",
    "change": {"pool": "dc1/web/app", "member": "web1", "from": {"pooled": "yes", "weight": 100}, "to": {"pooled": "no", "weight": 100}}})json";
  EXPECT_EQ(nlohmann::json::parse(to_json(pooled, "shiftd@deploy1")), nlohmann::json::parse(expected));
}

TEST_F(SinksTest, WhatAWebhookAnswersSaysWhetherToAskAgain) {
  struct {
    int status;
    Errc code;
  } const cases[] = {{400, Errc::bad_input}, {422, Errc::bad_input}, {401, Errc::refused}, {403, Errc::refused},
                     {404, Errc::refused},   {429, Errc::refused},   {500, Errc::refused}, {503, Errc::refused}};
  LoopbackServer server(loop_, {});
  auto to = sink(WebhookOptions{"http://" + server.address() + "/", "", ""});
  for (const auto& [status, code] : cases) {
    SCOPED_TRACE(status);
    server.answer({"HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Length: 0\r\n\r\n"});
    auto told = run_task(loop_, beside(server.serve(), to->tell(pooled)));
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error(), (Failure{code, "it answers with status " + std::to_string(status)}));
  }
}

TEST_F(SinksTest, AWebhooksTokenThatCannotBeUsedSendsNothing) {
  LoopbackServer server(loop_, {"HTTP/1.1 204 No Content\r\n\r\n"});
  auto path = directory_.path() + "/token";
  auto to = sink(WebhookOptions{"http://" + server.address() + "/", path, ""});
  auto refused = [&] {
    auto told = run_task(loop_, beside(server.serve(), to->tell(pooled)));
    return told ? "told" : told.error().what;
  };
  EXPECT_THAT(refused(), HasSubstr("cannot be read"));
  std::ofstream(path) << "tok-123\n";
  ::chmod(path.c_str(), 0604);
  EXPECT_THAT(refused(), HasSubstr("chmod o="));
  ::chmod(path.c_str(), 0600);
  std::ofstream(path) << "two words\n";
  EXPECT_THAT(refused(), testing::AllOf(HasSubstr("one line of printable characters"), Not(HasSubstr("two"))));
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(SinksTest, AFileGetsALineAndMayBeRotated) {
  auto path = directory_.path() + "/announcements.log";
  auto to = sink(FileOptions{path});
  auto content = [](const std::string& file) {
    std::ifstream in(file);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  const std::string line = "2025-11-24T16:00:00.000Z shiftd@deploy1 " + pooled.action + "\n";
  ASSERT_TRUE(run_task(loop_, to->tell(pooled)));
  ASSERT_TRUE(run_task(loop_, to->tell(pooled)));
  std::filesystem::rename(path, path + ".1");
  ASSERT_TRUE(run_task(loop_, to->tell(pooled)));
  EXPECT_EQ(content(path + ".1"), line + line);
  EXPECT_EQ(content(path), line);
}

TEST_F(SinksTest, AFileThatCannotBeWrittenIsNamed) {
  auto missing = directory_.path() + "/none/announcements.log";
  auto told = run_task(loop_, sink(FileOptions{missing})->tell(pooled));
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().what, missing + " cannot be written: No such file or directory");
  // /dev/full takes no byte, as a full disk.
  auto full = run_task(loop_, sink(FileOptions{"/dev/full"})->tell(pooled));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::exhausted);
}

}  // namespace
}  // namespace shiftd
