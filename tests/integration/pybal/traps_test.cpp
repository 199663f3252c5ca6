// PyBal's traps, each provoked at a PyBal (the stand-in) that follows a real etcd, and what shiftd makes of it: the pool
// closes with the reason, or the member is not believed to be where it is said to be.

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/pybal/pybal.hpp"
#include "tests/fakes/etcd_cluster.hpp"
#include "tests/fakes/origin_server.hpp"
#include "tests/fakes/pybal_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string pool_path = "/conftool/v1/pools/dc/web/nginx";

std::string value(int weight, const std::string& pooled) {
  return "{\"weight\": " + std::to_string(weight) + ", \"pooled\": \"" + pooled + "\"}";
}

class PybalTraps : public testing::Test {
 protected:
  static void SetUpTestSuite() { etcd = new EtcdCluster; }
  static void TearDownTestSuite() { delete etcd; }

  PybalTraps() {
    for (const auto* name : {"be1", "be2", "be3", "be4"}) write(name, value(10, "yes"));
    ConftoolOptions options;
    options.endpoints = etcd->endpoints();
    options.dc = "dc";
    options.cluster = "web";
    options.service = "nginx";
    store = make_conftool_pool_store(*clock, options);
  }
  void TearDown() override { etcd->remove(pool_path); }

  static void write(const std::string& name, const std::string& bytes) { etcd->put(pool_path + "/" + name, bytes); }

  void start(const std::string& interval = "0.1", Duration monitor_round = 1ms) {
    pybal = std::make_unique<PybalServer>(
        etcd->endpoint(0), pool_path,
        std::vector<std::pair<std::string, int>>{
            {"be1", servers[0].port()}, {"be2", servers[1].port()}, {"be3", servers[2].port()}, {"be4", servers[3].port()}},
        interval);
    view = view_of("web_80", monitor_round);
  }
  // Every server in, and every monitor has spoken.
  void start_and_settle() {
    start();
    ASSERT_TRUE(eventually([&] { return closed().empty() && look()->members.size() == 4; }));
  }

  std::unique_ptr<TrafficView> view_of(const std::string& pool, Duration monitor_round) {
    PybalOptions options{.name = "lvs1",
                         .address = pybal->address(),
                         .pool = pool,
                         .monitors = {"ProxyFetch"},
                         .monitor_round = monitor_round,
                         .timeout = 500ms};
    return make_pybal_view(*clock, options);
  }

  Result<ViewReading> look() { return run_task(view->read()); }
  MemberView of(const std::string& member) {
    auto reading = look();
    if (!reading) throw std::runtime_error(reading.error().what);
    return reading->of(member);
  }
  // Everything that forbids a write.
  std::vector<std::string> closed() {
    auto reading = look();
    return reading ? reading->closed : std::vector<std::string>{reading.error().what};
  }
  std::vector<std::string> differ() {
    auto held = run_task(store->read());
    auto shown = look();
    if (!held || !shown) return {"no answer"};
    return disagreements(*held, *shown, [](std::string_view) { return false; });
  }
  bool says(const std::string& member, Traffic traffic, Health health) {
    return eventually([&] {
      auto now = of(member);
      return now.traffic == traffic && now.health == health;
    });
  }

  static EtcdCluster* etcd;
  OriginServer servers[4];
  std::unique_ptr<Clock> clock = make_system_clock();
  std::unique_ptr<PoolStore> store;
  std::unique_ptr<PybalServer> pybal;
  std::unique_ptr<TrafficView> view;
};

EtcdCluster* PybalTraps::etcd = nullptr;

TEST_F(PybalTraps, AHealthyPoolIsOpenAndShowsWhatItsStoreHolds) {
  start_and_settle();
  auto reading = look();
  EXPECT_EQ(reading->counted, 4u);
  EXPECT_EQ(reading->depool_threshold, 0.5);
  EXPECT_EQ(reading->of("be1").weight, 10);
  EXPECT_THAT(differ(), IsEmpty());
}

TEST_F(PybalTraps, OutIsDisabledAndNotPooled) {
  start_and_settle();
  write("be1", value(1, "no"));
  EXPECT_TRUE(says("be1", Traffic::none, Health::up));
  EXPECT_THAT(closed(), IsEmpty());
  write("be1", value(3, "yes"));
  EXPECT_TRUE(says("be1", Traffic::flowing, Health::up));
  EXPECT_EQ(of("be1").weight, 3);
}

TEST_F(PybalTraps, Weight0IsNoDrainButWeight1) {
  start_and_settle();
  write("be1", value(0, "yes"));
  ASSERT_TRUE(eventually([&] { return of("be1").weight == 1; }));
  EXPECT_EQ(of("be1").traffic, Traffic::flowing);
  // And we never write it.
  MemberWrite wanted{"be2", {Pooled::yes, 0}, {}, {}};
  auto held = run_task(store->read());
  ASSERT_TRUE(held) << held.error();
  wanted.based_on = held->find("be2")->observed.revision;
  EXPECT_FALSE(run_task(store->write(wanted)));
}

TEST_F(PybalTraps, AWeightThatIsAStringIsIgnoredThereAndMalformedHere) {
  start_and_settle();
  write("be1", R"({"weight": "7", "pooled": "no"})");
  EXPECT_TRUE(says("be1", Traffic::none, Health::up));
  EXPECT_EQ(of("be1").taken_up->weight, 10);
  auto held = run_task(store->read());
  ASSERT_TRUE(held) << held.error();
  EXPECT_NE(held->find("be1")->malformed, "");
}

TEST_F(PybalTraps, AServerHeldAtTheThresholdClosesThePool) {
  start_and_settle();
  for (int ill : {1, 2, 3}) servers[ill].behave(Manner::fail);
  ASSERT_TRUE(
      eventually([&] { return of("be2").health == Health::down && of("be3").health == Health::down && of("be4").health == Health::down; }));
  auto reasons = closed();
  EXPECT_THAT(reasons, Contains(HasSubstr("is down but pooled: any write would take it out")));
  EXPECT_THAT(reasons, Contains(HasSubstr("it alerts: web_80: Servers be")));
  EXPECT_THAT(reasons, Contains("it can take no failing member out: 1 of 4 are up and enabled"));
}

TEST_F(PybalTraps, BeforeItsMonitorsHaveSpokenThePoolIsClosed) {
  start("2", 30s);
  ASSERT_TRUE(eventually([&] { return look().has_value() && look()->members.size() == 4; }));
  auto reasons = closed();
  EXPECT_THAT(reasons, Contains(HasSubstr("its monitors need 1m")));
  EXPECT_THAT(reasons, Contains("not every monitor has spoken of be1, be2, be3 and 1 more"));
  // It calls them up, though nobody has looked.
  EXPECT_EQ(of("be1").health, Health::unknown);
}

TEST_F(PybalTraps, AServerThatComesFromInactiveIsNotUpBeforeItsFirstCheck) {
  write("be4", value(10, "inactive"));
  start("1");
  ASSERT_TRUE(eventually([&] { return look().has_value() && look()->members.size() == 3; }));
  EXPECT_EQ(of("be4").traffic, Traffic::cannot_tell);
  EXPECT_THAT(differ(), IsEmpty());
  servers[3].behave(Manner::fail);
  write("be4", value(10, "yes"));
  EXPECT_TRUE(says("be4", Traffic::flowing, Health::unknown));
  EXPECT_TRUE(says("be4", Traffic::flowing, Health::down));
}

TEST_F(PybalTraps, AWatcherThatAResetHasKilledShowsAsDisagreement) {
  start_and_settle();
  pybal->control("rst");
  write("be3", value(10, "no"));
  ASSERT_TRUE(eventually([&] { return !differ().empty(); }));
  EXPECT_THAT(closed(), IsEmpty());  // it says itself that all is well
  EXPECT_THAT(differ(), ElementsAre("be3: its store holds no, weight 10, it has yes, weight 10"));
}

TEST_F(PybalTraps, AWatcherWithAnOutdatedIndexShowsAsDisagreement) {
  start_and_settle();
  for (int i = 0; i < 1100; ++i) etcd->put("/others/lock", std::to_string(i));
  pybal->control("fin");
  write("be3", value(7, "yes"));
  ASSERT_TRUE(eventually([&] { return !differ().empty(); }));
  EXPECT_THAT(closed(), IsEmpty());
  EXPECT_THAT(differ(), ElementsAre("be3: its store holds yes, weight 7, it has yes, weight 10"));
}

TEST_F(PybalTraps, OneMalformedKeyAtItsStartLoadsAnEmptyPoolThatIsClosed) {
  write("be1", "{");
  start();
  ASSERT_TRUE(eventually([&] { return look().has_value(); }));
  EXPECT_THAT(closed(), Contains("its pool is empty"));
  EXPECT_EQ(of("be2").traffic, Traffic::cannot_tell);
  // The next one that is written appears alone: half a pool is seen, too.
  write("be2", value(10, "yes"));
  ASSERT_TRUE(eventually([&] { return look()->members.size() == 1; }));
  EXPECT_THAT(differ(), Contains("be3: its store holds yes, weight 10, it does not know the member"));
}

TEST_F(PybalTraps, AnEmptyPoolThatItCallsHealthyIsClosed) {
  start_and_settle();
  for (const auto* name : {"be1", "be2", "be3", "be4"}) write(name, value(10, "inactive"));
  ASSERT_TRUE(eventually([&] { return look().has_value() && look()->members.empty(); }));
  EXPECT_THAT(closed(), Contains("its pool is empty"));
}

TEST_F(PybalTraps, AWrongPoolNameIsAnErrorThatNamesIt) {
  start_and_settle();
  view = view_of("web_81", 1ms);
  auto reading = look();
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code, Errc::not_found);
  EXPECT_THAT(reading.error().what, HasSubstr("has no pool 'web_81'; curl http://127.0.0.1:"));
}

TEST_F(PybalTraps, OneThatIsFrozenOrGoneCannotTell) {
  start_and_settle();
  pybal->freeze();
  auto frozen = look();
  pybal->signal(SIGCONT);
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code, Errc::timed_out);
  EXPECT_TRUE(eventually([&] { return look().has_value(); }));
  pybal.reset();
  auto gone = look();
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Errc::unreachable);
  EXPECT_THAT(gone.error().what, HasSubstr("view lvs1/web_80: /pools/web_80"));
}

}  // namespace
}  // namespace shiftd
