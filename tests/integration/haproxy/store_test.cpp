#include "lb-adapters/haproxy/haproxy.hpp"

#include <gtest/gtest.h>

#include "tests/fakes/haproxy_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

class HaproxyStore : public testing::Test {
 protected:
  HaproxyOptions options(const std::string& socket) { return {"lb1", socket, "app", "", 2s, 5ms}; }

  PoolReading read() {
    auto reading = run_task(store->read());
    if (!reading) throw std::runtime_error(reading.error().what);
    return *reading;
  }

  Observed observed(const std::string& member) { return read().find(member)->observed; }

  Result<WriteOutcome> write(const std::string& member, Setting setting, const std::string& based_on) {
    return run_task(store->write({member, setting, "", based_on}));
  }

  std::unique_ptr<Clock> clock = make_system_clock();
  HaproxyServer haproxy{{{{"s1", 1}, {"s2", 1, "weight 10 disabled"}, {"s3", 1, "weight 256"}}}};
  std::unique_ptr<PoolStore> store = make_haproxy_pool_store(*clock, options(haproxy.admin_socket()));
};

TEST_F(HaproxyStore, ReadsDisabledAsInactiveAndDrainAsNo) {
  haproxy.command("set server app/s3 state drain");
  auto reading = read();
  ASSERT_EQ(reading.members.size(), 3u);
  EXPECT_EQ(reading.find("s1")->observed.setting, (Setting{Pooled::yes, 100}));
  EXPECT_EQ(reading.find("s1")->observed.bytes, "ready weight 100");
  EXPECT_EQ(reading.find("s2")->observed.setting, (Setting{Pooled::inactive, 10}));
  EXPECT_EQ(reading.find("s3")->observed.setting, (Setting{Pooled::no, 256}));
  EXPECT_EQ(reading.find("s3")->observed.revision, reading.epoch + ":drain:256");
}

TEST_F(HaproxyStore, AServerThatIsReadyAgainAfterDisabledInTheConfigurationIsPooled) {
  haproxy.command("set server app/s2 state ready");
  EXPECT_EQ(observed("s2").setting, (Setting{Pooled::yes, 10}));
}

TEST_F(HaproxyStore, AServerWithoutWeightIsNotPooled) {
  haproxy.command("set weight app/s1 0");
  EXPECT_EQ(observed("s1").setting, (Setting{Pooled::no, 0}));
}

TEST_F(HaproxyStore, DrainsAndNeverUsesMaint) {
  auto outcome = write("s1", {Pooled::no, 100}, observed("s1").revision);
  ASSERT_TRUE(outcome) << outcome.error();
  EXPECT_EQ(std::get<Written>(*outcome).observed.bytes, "drain weight 100");
  EXPECT_EQ(haproxy.stat("s1", "status"), "DRAIN");
}

TEST_F(HaproxyStore, WritesAbsoluteWeights) {
  auto outcome = write("s1", {Pooled::yes, 1}, observed("s1").revision);
  ASSERT_TRUE(outcome) << outcome.error();
  EXPECT_EQ(haproxy.stat("s1", "weight"), "1");
}

TEST_F(HaproxyStore, RefusesWeightsThatHaproxyCannotHold) {
  auto revision = observed("s1").revision;
  for (int weight : {-1, 0, 257, 100000}) {
    SCOPED_TRACE(weight);
    auto outcome = write("s1", {Pooled::yes, weight}, revision);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::bad_input);
    EXPECT_NE(outcome.error().what.find("weights are 1 to 256"), std::string::npos) << outcome.error();
  }
  EXPECT_EQ(observed("s1").bytes, "ready weight 100");
}

TEST_F(HaproxyStore, RefusesNamesThatWouldBecomeOtherCommands) {
  auto revision = observed("s1").revision;
  auto outcome = write("s1;disable server app/s3", {Pooled::no, 100}, revision);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::bad_input);
  EXPECT_EQ(observed("s3").bytes, "ready weight 256");
}

TEST_F(HaproxyStore, SaysWhatTheSocketNeedsWhenItsLevelIsTooLow) {
  store = make_haproxy_pool_store(*clock, options(haproxy.user_socket()));
  auto outcome = write("s1", {Pooled::no, 100}, observed("s1").revision);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::refused);
  EXPECT_NE(outcome.error().what.find("level admin"), std::string::npos) << outcome.error();
}

TEST_F(HaproxyStore, WritesAgainAfterAReloadThatForgotEverything) {
  auto drained = write("s1", {Pooled::no, 100}, observed("s1").revision);
  ASSERT_TRUE(drained) << drained.error();
  auto held = std::get<Written>(*drained).observed;
  auto epoch = read().epoch;

  haproxy.reload();
  auto after = read();
  EXPECT_NE(after.epoch, epoch);
  EXPECT_EQ(after.find("s1")->observed.bytes, "ready weight 100");

  auto again = write("s1", {Pooled::no, 100}, held.revision);
  ASSERT_TRUE(again) << again.error();
  ASSERT_TRUE(std::holds_alternative<Written>(*again));
  EXPECT_EQ(std::get<Written>(*again).observed.bytes, "drain weight 100");
}

TEST_F(HaproxyStore, TellsWhatItsConfigurationSaysFromWhatSomebodySetSince) {
  auto as_configured = [this](const std::string& member) { return read().find(member)->as_configured; };
  for (const auto* member : {"s1", "s2", "s3"}) EXPECT_TRUE(as_configured(member)) << member;
  haproxy.command("set server app/s1 state drain");
  haproxy.command("set server app/s2 state ready");
  haproxy.command("set weight app/s3 7");
  for (const auto* member : {"s1", "s2", "s3"}) EXPECT_FALSE(as_configured(member)) << member;
  haproxy.command("set server app/s1 state ready");
  EXPECT_TRUE(as_configured("s1"));
}

TEST_F(HaproxyStore, LeavesAloneWhatSomebodySetAfterAReload) {
  auto drained = write("s1", {Pooled::no, 100}, observed("s1").revision);
  ASSERT_TRUE(drained) << drained.error();
  haproxy.reload();
  haproxy.command("set weight app/s1 7");
  auto again = write("s1", {Pooled::yes, 50}, std::get<Written>(*drained).observed.revision);
  ASSERT_TRUE(again) << again.error();
  ASSERT_TRUE(std::holds_alternative<ForeignChange>(*again));
  EXPECT_EQ(observed("s1").bytes, "ready weight 7");
}

TEST_F(HaproxyStore, IsUnreachableWhileHaproxyIsDown) {
  auto revision = observed("s1").revision;
  haproxy.stop();
  auto reading = run_task(store->read());
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code, Errc::unreachable) << reading.error();
  auto outcome = write("s1", {Pooled::no, 100}, revision);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::unreachable) << outcome.error();
}

TEST_F(HaproxyStore, DoesNotWaitLongerThanItsTimeoutForAFrozenHaproxy) {
  auto revision = observed("s1").revision;
  for (const auto& socket : {haproxy.admin_socket(), haproxy.tcp_socket()}) {
    SCOPED_TRACE(socket);
    auto impatient = options(socket);
    impatient.timeout = 50ms;
    store = make_haproxy_pool_store(*clock, impatient);
    haproxy.freeze();
    auto started = clock->steady();
    auto reading = run_task(store->read());
    auto outcome = write("s1", {Pooled::no, 100}, revision);
    EXPECT_LT(clock->steady() - started, 20s);
    haproxy.thaw();
    ASSERT_FALSE(reading);
    EXPECT_EQ(reading.error().code, Errc::timed_out) << reading.error();
    // Only the question before the write was sent.
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::unreachable) << outcome.error();
  }
}

TEST_F(HaproxyStore, KnowsWhatAStaticAlgorithmCannotDo) {
  HaproxyServer fixed({{{"s1", 1}, {"s2", 1}}, "balance static-rr"});
  store = make_haproxy_pool_store(*clock, options(fixed.admin_socket()));
  EXPECT_TRUE(store->capabilities().weights_steer);
  auto revision = observed("s1").revision;
  EXPECT_FALSE(store->capabilities().weights_steer);
  EXPECT_FALSE(store->capabilities().shares_requests);

  auto lighter = write("s1", {Pooled::yes, 10}, revision);
  ASSERT_FALSE(lighter);
  EXPECT_EQ(lighter.error().code, Errc::refused) << lighter.error();
  auto out = write("s1", {Pooled::no, 100}, revision);
  ASSERT_TRUE(out) << out.error();
  EXPECT_EQ(fixed.stat("s1", "status"), "DRAIN");
}

TEST_F(HaproxyStore, DoesNotMakeAServerReadyWhoseWeightWasRefused) {
  HaproxyServer fixed({{{"s1", 1}, {"s2", 1}}, "balance static-rr"});
  fixed.command("set server app/s1 state drain");
  store = make_haproxy_pool_store(*clock, options(fixed.admin_socket()));
  auto outcome = write("s1", {Pooled::yes, 1}, observed("s1").revision);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::refused);
  EXPECT_EQ(fixed.stat("s1", "status"), "DRAIN");
}

TEST_F(HaproxyStore, ThePastedRestoreCommandRestoresTheOriginal) {
  for (const auto& socket : {haproxy.admin_socket(), haproxy.tcp_socket()}) {
    SCOPED_TRACE(socket);
    store = make_haproxy_pool_store(*clock, options(socket));
    auto original = observed("s1");
    haproxy.command("set weight app/s1 7; set server app/s1 state drain");
    auto command = store->restore_command("s1", original);
    EXPECT_EQ(std::system((command + " > /dev/null").c_str()), 0) << command;
    EXPECT_EQ(observed("s1"), original) << command;
  }
}

TEST_F(HaproxyStore, AnUnknownBackendIsNotFound) {
  auto other = options(haproxy.admin_socket());
  other.backend = "nope";
  store = make_haproxy_pool_store(*clock, other);
  auto reading = run_task(store->read());
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code, Errc::not_found) << reading.error();
}

}  // namespace
}  // namespace shiftd
