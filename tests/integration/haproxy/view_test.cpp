#include <future>

#include <gtest/gtest.h>

#include "lb-adapters/haproxy/haproxy.hpp"
#include "tests/fakes/haproxy_server.hpp"
#include "tests/fakes/origin_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

class HaproxyTrafficView : public testing::Test {
 protected:
  HaproxyOptions options() { return {"lb1", haproxy.admin_socket(), "app", haproxy.master_socket(), 2s, 5ms}; }

  MemberView of(const std::string& member) {
    auto reading = run_task(view->read());
    if (!reading) throw std::runtime_error(reading.error().what);
    return reading->of(member);
  }

  // Waits until HAProxy says what the test is about: its checks run every 10 ms.
  bool becomes(const std::string& member, Traffic traffic, Health health) {
    return eventually([&] {
      auto now = of(member);
      return now.traffic == traffic && now.health == health;
    });
  }

  OriginServer one;
  OriginServer two;
  std::unique_ptr<Clock> clock = make_system_clock();
  HaproxyServer haproxy{{{{"s1", one.port(), "weight 100 check inter 10ms rise 2 fall 3"}, {"s2", two.port()}}}};
  std::unique_ptr<TrafficView> view = make_haproxy_view(*clock, options());
};

TEST_F(HaproxyTrafficView, SeesTrafficFlowAndWhoIsChecked) {
  EXPECT_TRUE(becomes("s1", Traffic::flowing, Health::up));
  EXPECT_EQ(of("s1").weight, 100);
  EXPECT_EQ(of("s2").health, Health::unchecked);
  EXPECT_EQ(of("s3").traffic, Traffic::cannot_tell);
}

TEST_F(HaproxyTrafficView, ADrainedServerIsOutOnlyWhenItsLastRequestHasEnded) {
  two.refuse();
  haproxy.command("set server app/s2 state drain");
  one.behave(Manner::hang);
  auto request = std::async(std::launch::async, [&] { return http_get(haproxy.port()); });
  ASSERT_TRUE(eventually([&] { return one.hanging() == 1; }));
  EXPECT_EQ(of("s1").connections, 1);

  haproxy.command("set server app/s1 state drain");
  EXPECT_EQ(of("s1").traffic, Traffic::draining);
  EXPECT_EQ(of("s1").weight, 0);
  EXPECT_EQ(of("s2").traffic, Traffic::none);

  one.behave(Manner::answer);
  EXPECT_EQ(request.get(), 200);
  EXPECT_TRUE(eventually([&] { return of("s1").traffic == Traffic::none; }));
  EXPECT_EQ(of("s1").connections, 0);
}

TEST_F(HaproxyTrafficView, ChecksGoOnWhileDrainedSoThatReadyIsSafe) {
  haproxy.command("set server app/s1 state drain");
  ASSERT_TRUE(becomes("s1", Traffic::none, Health::up));
  one.refuse();
  ASSERT_TRUE(becomes("s1", Traffic::none, Health::down));
  one.listen();
  EXPECT_TRUE(becomes("s1", Traffic::none, Health::up));
}

TEST_F(HaproxyTrafficView, AServerThatIsOnlyDownMayGetTrafficAnyMoment) {
  one.refuse();
  ASSERT_TRUE(becomes("s1", Traffic::flowing, Health::down));
  // It is "UP 1/3" first, and gets requests.
  EXPECT_TRUE(eventually([&] { return of("s1").weight == 0; }));
  EXPECT_EQ(of("s1").traffic, Traffic::flowing);
}

TEST_F(HaproxyTrafficView, MaintAndWeightZeroAreOutToo) {
  haproxy.command("set server app/s1 state maint");
  EXPECT_EQ(of("s1").traffic, Traffic::none);
  EXPECT_EQ(of("s1").health, Health::unknown);
  haproxy.command("set weight app/s2 0");
  EXPECT_EQ(of("s2").traffic, Traffic::none);
}

TEST_F(HaproxyTrafficView, NothingIsDrainedWhileAnOldWorkerOfAReloadStillServes) {
  haproxy.command("set server app/s2 state drain");
  one.behave(Manner::hang);
  auto request = std::async(std::launch::async, [&] { return http_get(haproxy.port()); });
  ASSERT_TRUE(eventually([&] { return one.hanging() >= 1 && haproxy.stat("s1", "scur") == "1"; }));
  auto before = run_task(view->read())->epoch;

  haproxy.reload();
  haproxy.command("set server app/s1 state drain; set server app/s2 state drain");
  auto after = run_task(view->read());
  ASSERT_TRUE(after) << after.error();
  EXPECT_NE(after->epoch, before);
  // The new worker has no session of it: scur is 0.
  EXPECT_EQ(after->of("s1").connections, 0);
  EXPECT_EQ(after->of("s1").traffic, Traffic::draining);
  EXPECT_NE(after->of("s1").why.find("former configuration"), std::string::npos);

  one.behave(Manner::answer);
  EXPECT_EQ(request.get(), 200);
  EXPECT_TRUE(eventually([&] { return of("s1").traffic == Traffic::none; }));
}

TEST_F(HaproxyTrafficView, AMasterThatDoesNotAnswerIsNoProof) {
  auto wrong = options();
  wrong.master_socket = haproxy.master_socket() + ".gone";
  view = make_haproxy_view(*clock, wrong);
  auto reading = run_task(view->read());
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code, Errc::unreachable) << reading.error();
}

}  // namespace
}  // namespace shiftd
