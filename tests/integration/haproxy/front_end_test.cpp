// Both ways to count, held against what the clients of a real HAProxy got, for every kind of failure.

#include <filesystem>
#include <fstream>
#include <future>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "lb-adapters/haproxy/haproxy.hpp"
#include "tests/fakes/haproxy_server.hpp"
#include "tests/fakes/origin_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A directory for our log socket, which must be there before HAProxy is.
struct Directory {
  Directory() {
    if (!mkdtemp(path.data())) throw std::runtime_error("cannot make a directory");
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string path = "/tmp/shiftd-log-XXXXXX";
};

class HaproxyFrontEnds : public testing::Test {
 protected:
  void start(const std::string& backend = "balance roundrobin") {
    haproxy.emplace(HaproxyServerOptions{{{"s1", one.port()}, {"s2", two.port()}}, backend, log_socket()});
    HaproxyOptions options{"lb1", haproxy->admin_socket(), "app", "", 2s, 5ms};
    stats = make_haproxy_front_end(*clock, options);
    open_log();
    EXPECT_TRUE(poll(*stats).first);
    EXPECT_TRUE(poll(*log).first);
  }

  void open_log() {
    log.reset();
    auto opened = make_haproxy_log_front_end(*clock, {"lb1", log_socket(), "app", haproxy->admin_socket(), 2s});
    if (!opened) throw std::runtime_error(opened.error().what);
    log = std::move(*opened);
  }

  std::string log_socket() { return directory.path + "/log.sock"; }

  CountsReading poll(FrontEnd& front_end) {
    auto reading = run_task(front_end.poll());
    if (!reading) throw std::runtime_error(reading.error().what);
    return *reading;
  }

  // Both front ends say this, at the latest when HAProxy has finished its books.
  void expect_counts(HostCounts s1, HostCounts s2, std::uint64_t unattributed = 0) {
    s1.member = "s1";
    s2.member = "s2";
    for (auto* front_end : {stats.get(), log.get()}) {
      SCOPED_TRACE(front_end->name());
      CountsReading sum;
      sum.hosts = {{"s1"}, {"s2"}};
      (void)eventually([&] {
        auto reading = poll(*front_end);
        EXPECT_EQ(reading.hosts.size(), 2u);
        for (std::size_t at = 0; at < 2; ++at) {
          sum.hosts[at].requests += reading.hosts[at].requests;
          sum.hosts[at].failures += reading.hosts[at].failures;
        }
        sum.unattributed += reading.unattributed;
        sum.lost += reading.lost;
        sum.reset |= reading.reset;
        return sum.hosts[0] == s1 && sum.hosts[1] == s2 && sum.unattributed == unattributed;
      });
      EXPECT_EQ(sum.hosts[0].requests, s1.requests);
      EXPECT_EQ(sum.hosts[0].failures, s1.failures);
      EXPECT_EQ(sum.hosts[1].requests, s2.requests);
      EXPECT_EQ(sum.hosts[1].failures, s2.failures);
      EXPECT_EQ(sum.unattributed, unattributed);
      EXPECT_EQ(sum.lost, 0u);
      EXPECT_FALSE(sum.reset);
    }
  }

  // Round robin: half of them go to each server.
  void get(int requests) {
    for (; requests > 0; --requests) ++answers[http_get(haproxy->port())];
  }

  Directory directory;
  OriginServer one;
  OriginServer two;
  std::unique_ptr<Clock> clock = make_system_clock();
  std::optional<HaproxyServer> haproxy;
  std::unique_ptr<FrontEnd> stats;
  std::unique_ptr<FrontEnd> log;
  std::map<int, int> answers;
};

TEST_F(HaproxyFrontEnds, CountEveryKindOfFailureAsItsServersOwn) {
  struct {
    const char* name;
    Manner manner;
    int status;
    bool failure;
  } const cases[] = {
      {"answers 500", Manner::fail, 500, true},           {"resets the connection", Manner::reset, 502, true},
      {"answers nonsense", Manner::garbage, 502, true},   {"answers nothing", Manner::hang, 504, true},
      {"answers 429", Manner::reject, 429, false},        {"cuts its answer short", Manner::truncate, 200, false},
      {"says 103 first", Manner::early_hint, 200, false},
  };
  start("balance roundrobin\ntimeout server 50ms");
  for (const auto& [name, manner, status, failure] : cases) {
    SCOPED_TRACE(name);
    answers.clear();
    one.behave(manner);
    get(6);
    EXPECT_EQ(answers[status], status == 200 ? 6 : 3);
    expect_counts({"", 3, failure ? 3u : 0u}, {"", 3, 0});
  }
}

TEST_F(HaproxyFrontEnds, CountARefusedConnectionAsItsServersFailure) {
  start();
  one.refuse();
  get(6);
  EXPECT_EQ(answers[503], 3);
  expect_counts({"", 3, 3}, {"", 3, 0});
}

TEST_F(HaproxyFrontEnds, CountARequestThatWasTriedFourTimesOnce) {
  start("balance roundrobin\nretries 3\ntimeout connect 10ms");
  one.refuse();
  get(4);
  EXPECT_EQ(answers[503], 2);
  EXPECT_EQ(haproxy->stat("s1", "stot"), "8");
  expect_counts({"", 2, 2}, {"", 2, 0});
}

TEST_F(HaproxyFrontEnds, CountARequestThatAnotherServerAnsweredThere) {
  start("balance roundrobin\nretries 1\noption redispatch 1\ntimeout connect 10ms");
  one.refuse();
  get(4);
  EXPECT_EQ(answers[200], 4);
  expect_counts({"", 0, 0}, {"", 4, 0});
}

TEST_F(HaproxyFrontEnds, BlameNobodyWhenThereIsNoServer) {
  start();
  haproxy->command("set server app/s1 state maint; set server app/s2 state maint");
  get(3);
  EXPECT_EQ(answers[503], 3);
  expect_counts({"", 0, 0}, {"", 0, 0}, 3);
}

TEST_F(HaproxyFrontEnds, TakeARequestInProgressForNoFailure) {
  one.behave(Manner::hang);
  start();
  haproxy->command("set server app/s2 state drain");
  auto request = std::async(std::launch::async, [&] { return http_get(haproxy->port()); });
  ASSERT_TRUE(eventually([&] { return haproxy->stat("s1", "scur") == "1"; }));
  EXPECT_EQ(poll(*stats).hosts[0], (HostCounts{"s1", 0, 0}));
  one.behave(Manner::answer);
  EXPECT_EQ(request.get(), 200);
  expect_counts({"", 1, 0}, {"", 0, 0});
}

TEST_F(HaproxyFrontEnds, TakeAClientThatHungUpForNoFailure) {
  one.behave(Manner::hang);
  start();
  haproxy->command("set server app/s2 state drain");
  {
    boost::asio::io_context loop(1);
    boost::asio::ip::tcp::socket client(loop);
    client.connect({boost::asio::ip::address_v4::loopback(), haproxy->port()});
    boost::asio::write(client, boost::asio::buffer(std::string("GET / HTTP/1.1\r\nHost: app\r\n\r\n")));
    ASSERT_TRUE(eventually([&] { return one.hanging() == 1; }));
  }
  // HAProxy waits for the server all the same.
  one.behave(Manner::answer);
  ASSERT_TRUE(eventually([&] { return haproxy->stat("BACKEND", "scur") == "0"; }));
  expect_counts({"", 1, 0}, {"", 0, 0});
}

TEST_F(HaproxyFrontEnds, AfterAResetCountWhatHasComeSince) {
  start();
  one.behave(Manner::reset);
  get(8);
  EXPECT_EQ(poll(*stats).hosts[0], (HostCounts{"s1", 4, 4}));
  haproxy->command("clear counters all");
  get(2);
  auto cleared = poll(*stats);
  EXPECT_TRUE(cleared.reset);
  EXPECT_EQ(cleared.hosts[0], (HostCounts{"s1", 1, 1}));
  EXPECT_EQ(cleared.hosts[1], (HostCounts{"s2", 1, 0}));

  haproxy->reload();
  get(20);
  auto reloaded = poll(*stats);
  EXPECT_TRUE(reloaded.reset);
  EXPECT_EQ(reloaded.hosts[0], (HostCounts{"s1", 10, 10}));
  EXPECT_EQ(reloaded.hosts[1], (HostCounts{"s2", 10, 0}));
}

TEST_F(HaproxyFrontEnds, ContinueFromTheirCheckpoints) {
  start();
  get(2);
  (void)poll(*stats);
  auto checkpoint = stats->checkpoint();
  one.behave(Manner::reset);
  get(4);
  stats = make_haproxy_front_end(*clock, {"lb1", haproxy->admin_socket(), "app", "", 2s, 5ms});
  ASSERT_TRUE(stats->restore(checkpoint));
  auto reading = poll(*stats);
  EXPECT_FALSE(reading.first);
  EXPECT_EQ(reading.hosts[0], (HostCounts{"s1", 2, 2}));
}

TEST_F(HaproxyFrontEnds, RefuseACheckpointTheyCannotReadAndKeepTheirs) {
  start();
  auto before = stats->checkpoint();
  for (const auto* bad : {"", "{}", "[1]", R"({"version":2})", R"({"version":1,"epoch":"1:1","backend":[1]})"}) {
    SCOPED_TRACE(bad);
    for (auto* front_end : {stats.get(), log.get()}) {
      auto restored = front_end->restore(bad);
      ASSERT_FALSE(restored);
      EXPECT_EQ(restored.error().code, Errc::bad_input);
    }
  }
  EXPECT_EQ(stats->checkpoint(), before);
}

TEST_F(HaproxyFrontEnds, TheLogKnowsWhatItMissedWhileNobodyListened) {
  start();
  get(2);
  (void)poll(*log);
  auto checkpoint = log->checkpoint();
  log.reset();
  EXPECT_FALSE(std::filesystem::exists(log_socket()));
  get(4);
  // HAProxy closes its books, and would send the last line, after the client has its answer.
  ASSERT_TRUE(eventually([&] { return haproxy->stat("BACKEND", "hrsp_2xx") == "6"; }));
  open_log();
  ASSERT_TRUE(log->restore(checkpoint));
  std::uint64_t lost = 0;
  EXPECT_TRUE(eventually([&] { return (lost += poll(*log).lost) == 4; })) << lost;
  EXPECT_EQ(poll(*log).lost, 0u);
}

TEST_F(HaproxyFrontEnds, TheLogSaysWhenLinesWereDropped) {
  start();
  // Nobody empties the socket: the kernel keeps few, HAProxy drops the rest.
  int sent = 0;
  ASSERT_TRUE(eventually([&] {
    for (int round = 0; round < 100; ++round) get(1), ++sent;
    return haproxy->command("show info").find("DroppedLogs: 0\n") == std::string::npos;
  }));
  ASSERT_TRUE(eventually([&] { return haproxy->stat("BACKEND", "hrsp_2xx") == std::to_string(sent); }));
  auto reading = poll(*log);
  EXPECT_GT(reading.lost, 0u);
  EXPECT_EQ(reading.hosts[0].requests + reading.hosts[1].requests + reading.lost, static_cast<std::uint64_t>(sent));
}

TEST_F(HaproxyFrontEnds, TheLogIsReadBetweenPollsWhileItServes) {
  start();
  boost::asio::io_context loop(1);
  auto story = [this]() -> Task<CountsReading> {
    TaskGroup tasks(co_await boost::asio::this_coro::executor);
    tasks.start("log", log->serve());
    auto load = std::async(std::launch::async, [this] { get(2000); });
    while (load.wait_for(0s) != std::future_status::ready) co_await clock->sleep_for(1ms);
    while (haproxy->stat("BACKEND", "hrsp_2xx") != "2000") co_await clock->sleep_for(1ms);
    auto reading = co_await log->poll();
    tasks.stop();
    co_await tasks.join();
    co_return *reading;
  };
  auto reading = run_task(loop, story());
  // How many get through depends on the machine and on how few the kernel keeps; every one that does not is known.
  auto read = reading.hosts[0].requests + reading.hosts[1].requests;
  EXPECT_EQ(read + reading.lost, 2000u);
  int kept = 0;
  std::ifstream("/proc/sys/net/unix/max_dgram_qlen") >> kept;
  EXPECT_GT(read, static_cast<std::uint64_t>(kept) + 1);
}

TEST(HaproxyLogSocket, TakesThePlaceOfNothingButItsOwnStaleSocket) {
  Directory directory;
  auto clock = make_system_clock();
  HaproxyLogOptions options{"lb1", directory.path + "/log.sock", "app", "/nowhere", 1s};
  auto first = make_haproxy_log_front_end(*clock, options);
  ASSERT_TRUE(first) << first.error();
  EXPECT_EQ(std::filesystem::status(options.socket).permissions(), std::filesystem::perms(0660));
  auto second = make_haproxy_log_front_end(*clock, options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::unavailable);

  options.socket = directory.path + "/file";
  std::filesystem::create_directory(options.socket);
  auto third = make_haproxy_log_front_end(*clock, options);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Errc::unavailable);
  EXPECT_TRUE(std::filesystem::exists(options.socket));
}

}  // namespace
}  // namespace shiftd
