// Whole rollouts over a real etcd: the daemon's heart on the machine's clock, with hosts in memory and people who write
// to the same objects.

#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>

#include "daemon/driver/supervisor.hpp"
#include "daemon/engine/codec.hpp"
#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/conftool/member_value.hpp"
#include "tests/fakes/etcd_cluster.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/refusing_journal.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/small_world.hpp"
#include "tests/integration/conftool/objects.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A load balancer that follows etcd: the world's own view, of hosts that are as the objects say.
class Follows final : public TrafficView {
 public:
  Follows(SmallWorld& world, std::unique_ptr<TrafficView> view, std::unique_ptr<PoolStore> objects)
      : world_(world), view_(std::move(view)), objects_(std::move(objects)) {}
  const std::string& name() const override { return view_->name(); }
  Task<Result<ViewReading>> read() override {
    auto reading = co_await objects_->read();
    if (!reading) co_return std::move(reading).error();
    world_.pass_time();
    for (const auto& member : reading->members) world_.hosts.at(member.name).setting = member.observed.setting;
    co_return co_await view_->read();
  }

 private:
  SmallWorld& world_;
  std::unique_ptr<TrafficView> view_;
  std::unique_ptr<PoolStore> objects_;
};

// One pool of a load balancer that shows what the objects hold, and takes up changes only while it listens.
class Shows final : public TrafficView {
 public:
  Shows(std::string name, std::unique_ptr<PoolStore> objects, const bool& listens)
      : name_(std::move(name)), objects_(std::move(objects)), listens_(listens) {}
  const std::string& name() const override { return name_; }
  Task<Result<ViewReading>> read() override {
    if (!listens_ && !shown_.members.empty()) co_return shown_;
    auto reading = co_await objects_->read();
    if (!reading) co_return std::move(reading).error();
    shown_ = {};
    for (const auto& member : reading->members) {
      MemberView view;
      bool in = member.observed.setting.pooled == Pooled::yes;
      view.traffic = in ? Traffic::flowing : Traffic::none;
      view.health = Health::up;
      view.weight = in ? member.observed.setting.weight : 0;
      shown_.members.emplace_back(member.name, view);
    }
    co_return shown_;
  }

 private:
  std::string name_;
  std::unique_ptr<PoolStore> objects_;
  const bool& listens_;
  ViewReading shown_;
};

class ConftoolRollout : public testing::Test {
 protected:
  void begin(int hosts, Strategy strategy) {
    world = std::make_unique<SmallWorld>(*clock, hosts);
    world->upgrade_time = world->drain_time = 20ms;
    for (const auto& [host, state] : world->hosts) etcd.put(folder + host, original);
    auto service = world->service(std::move(strategy));
    service->verdict.warm_up = 0ms;
    service->verdict.watch_first = 0ms;
    auto& pool = service->pools[0];
    pool.store = objects();
    pool.views[0] = std::make_unique<Follows>(*world, std::move(pool.views[0]), objects());
    if (second_service) add_second(*service);
    std::vector<std::unique_ptr<Service>> services;
    services.push_back(std::move(service));
    supervisor = std::make_unique<Supervisor>(loop.get_executor(), *clock, journal, std::move(services), 10);
  }

  // The same hosts in another service of conftool, whose objects feed two pools of a load balancer.
  void add_second(Service& service) {
    for (const auto& [host, state] : world->hosts) etcd.put(second_folder + host, original);
    ServicePool pool;
    pool.store = objects("tls");
    for (const auto* name : {"lvs1/tls_443", "lvs1/tls6_443"}) pool.views.push_back(std::make_unique<Shows>(name, objects("tls"), listens));
    service.pools.push_back(std::move(pool));
    for (auto& host : service.hosts) host.members.emplace_back(1, host.place.name);
  }

  std::unique_ptr<PoolStore> objects(const std::string& of_service = "app") {
    ConftoolOptions options;
    options.endpoints = etcd.endpoints();
    options.dc = "eqiad";
    options.cluster = "web";
    options.service = of_service;
    options.cuts_connections = false;
    options.shares_requests = true;
    options.writes_per_second = 1'000;
    return make_conftool_pool_store(*clock, options);
  }

  template <class T>
  T run(Task<T> story) {
    return run_task(loop, beside(supervisor->run(), std::move(story)));
  }

  Task<std::string> start(std::string digest) {
    co_await supervisor->recovered();
    StartRequest request;
    request.service = "web";
    request.release = {"v-" + digest, digest, "/nowhere"};
    request.by = "test";
    auto started = co_await supervisor->start(request);
    if (!started) throw std::runtime_error(started.error().what);
    co_return *started;
  }

  // Reads what has been decided until `wanted` is among it; false when the rollout has ended first.
  template <class Wanted>
  Task<bool> until(std::string id, Wanted wanted) {
    while (true) {
      auto status = co_await supervisor->show(id);
      if (!status) throw std::runtime_error(status.error().what);
      if (wanted(status->rollout)) co_return true;
      if (status->rollout.phase == Phase::ended) co_return false;
      co_await clock->sleep_for(10ms);
    }
  }

  static Strategy strategy(Gate gate) {
    Strategy made;
    made.stages = {{BasisPoints{1'000}, 0s, gate}, {all_traffic, 0s, Gate::open}};
    made.batch = {2, {}};
    made.max_failed = {0, {}};
    made.max_load = 3;
    made.min_requests = 1;
    return made;
  }

  static constexpr const char* second_folder = "/conftool/v1/pools/eqiad/web/tls/";
  bool second_service = false;
  bool listens = true;
  static constexpr const char* original = R"({"weight":100,  "pooled":"yes", "rack": "A1"})";
  std::unique_ptr<Clock> clock = make_system_clock();
  EtcdCluster etcd;
  boost::asio::io_context loop{1};
  RefusingJournal journal{*clock};
  std::unique_ptr<SmallWorld> world;
  std::unique_ptr<Supervisor> supervisor;
};

TEST_F(ConftoolRollout, BringsTheWholeFleetToTheReleaseAndEveryOriginalBack) {
  begin(4, strategy(Gate::open));
  auto story = [this]() -> Task<Result<Rollout>> {
    auto id = co_await start("two");
    co_await until(id, [](const Rollout& rollout) { return rollout.phase == Phase::ended; });
    auto status = co_await supervisor->show(id);
    co_return status.value().rollout;
  };
  auto rollout = run(story()).value();
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  for (const auto& [name, host] : world->hosts) {
    EXPECT_EQ(host.running, "two") << name;
    EXPECT_EQ(etcd.get(folder + name), original) << name;
  }
}

TEST_F(ConftoolRollout, AHostIsTouchedWhenItIsOutOfEachServiceInEachPoolThatThatFeeds) {
  second_service = true;
  begin(3, strategy(Gate::open));
  int touched = 0;
  world->at_check = [&](SmallWorld::Host& checked) {
    for (const auto& [name, host] : world->hosts) {
      if (&host != &checked || host.running != "two" || host.setting.pooled == Pooled::yes) continue;
      ++touched;
      EXPECT_NE(etcd.get(second_folder + name).find(R"("pooled":"no")"), std::string::npos) << name;
    }
  };
  listens = true;
  auto story = [this]() -> Task<Result<Rollout>> {
    auto id = co_await start("two");
    // Both pools of the second service hear of nothing: whoever is on its way out stays untouched.
    co_await until(id, [](const Rollout& rollout) { return rollout.active() && !rollout.moving.empty(); });
    listens = false;
    auto swapped = [this] {
      return std::any_of(world->hosts.begin(), world->hosts.end(), [](const auto& each) { return !each.second.swaps.empty(); });
    };
    auto out = [](const Rollout& rollout) { return rollout.in(HostPhase::depooling) > 0 && rollout.members[1].effect == 0; };
    co_await until(id, out);
    EXPECT_FALSE(swapped());
    listens = true;
    co_await until(id, [](const Rollout& rollout) { return rollout.phase == Phase::ended; });
    auto status = co_await supervisor->show(id);
    co_return status.value().rollout;
  };
  auto rollout = run(story()).value();
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  EXPECT_GE(touched, 3);
  for (const auto& [name, host] : world->hosts) {
    EXPECT_EQ(host.running, "two") << name;
    EXPECT_EQ(etcd.get(folder + name), original) << name;
    EXPECT_EQ(etcd.get(second_folder + name), original) << name;
  }
}

TEST_F(ConftoolRollout, HearsAndIsHeardAfterFifteenHundredUnrelatedWrites) {
  begin(6, strategy(Gate::manual));
  auto story = [this]() -> Task<Result<Rollout>> {
    auto id = co_await start("two");
    co_await until(id, [](const Rollout& rollout) { return rollout.phase == Phase::gated; });
    for (int write = 0; write < 1'500; ++write) etcd.put("/spicerack/locks/x", std::to_string(write));
    etcd.put(folder + std::string("web06"), R"({"weight": 300, "pooled": "no"})");
    CommandRequest promote;
    promote.verb = Verb::promote;
    promote.by = "test";
    auto promoted = co_await supervisor->command(id, promote);
    if (!promoted) co_return promoted.error();
    co_await until(id, [](const Rollout& rollout) { return rollout.phase == Phase::ended; });
    auto status = co_await supervisor->show(id);
    co_return status.value().rollout;
  };
  auto rollout = run(story());
  ASSERT_TRUE(rollout) << rollout.error();
  EXPECT_EQ(rollout->outcome, Outcome::succeeded) << rollout->reason;
  EXPECT_EQ(etcd.get(folder + std::string("web06")), R"({"weight": 300, "pooled": "no"})");
  EXPECT_EQ(world->hosts.at("web06").running, "one") << "its owner has it";
  EXPECT_EQ(world->hosts.at("web05").running, "two");
}

// Writes as confctl does: the object is read once, when the command begins; a moment later one field of it is set and both
// are written, compared only with what is read just before.
class LikeConfctl {
 public:
  LikeConfctl(EtcdCluster& etcd, Clock& clock, std::vector<std::string> hosts) : etcd_(etcd), clock_(clock), hosts_(std::move(hosts)) {}

  Task<> change() {
    // One host after the other comes into it, so that each is met in another phase of the rollout.
    auto known = 1 + static_cast<std::size_t>(changes) / 150;
    auto host = hosts_[random_() % std::min(known, hosts_.size())];
    auto key = folder + host;
    auto setting = conftool::parse_value(etcd_.get(key), 65535).value();
    co_await clock_.sleep_for(Duration(random_() % 3));
    // Never a setting that a rollout asks for itself.
    if (last_.contains(host) && random_() % 2 == 0) {
      setting.pooled = setting.pooled == Pooled::yes ? Pooled::no : Pooled::yes;
    } else {
      setting.weight = 200 + static_cast<int>(random_() % 800);
    }
    auto index = etcd_.index_of(key);
    auto now = etcd_.get(key);
    if (last_.contains(host) && now != last_[host]) ++overwritten;
    auto value = conftool::value_for(setting);
    if (value == now || !etcd_.put_if_at(key, index, value)) co_return;
    last_[host] = value;
    ++changes;
  }

  [[nodiscard]] const std::map<std::string, std::string>& last() const { return last_; }
  int changes = 0;
  int overwritten = 0;  // how often something else stood there than what this one has written last

 private:
  EtcdCluster& etcd_;
  Clock& clock_;
  std::vector<std::string> hosts_;
  std::mt19937 random_{20261125};
  std::map<std::string, std::string> last_;
};

TEST_F(ConftoolRollout, AThousandChangesOfOthersWinAndEachHostIsNamedOnce) {
  begin(16, strategy(Gate::open));
  world->upgrade_time = 200ms;
  LikeConfctl others(etcd, *clock, {"web03", "web06", "web09", "web10", "web13", "web16"});
  auto story = [&]() -> Task<Result<std::string>> {
    auto id = co_await start("two");
    co_await until(id, [](const Rollout& rollout) { return rollout.phase == Phase::shifting; });
    while (others.changes < 1'000) co_await others.change();
    co_await until(id, [](const Rollout& rollout) { return rollout.phase == Phase::ended; });
    co_return id;
  };
  auto id = run(story());
  ASSERT_TRUE(id) << id.error();
  EXPECT_EQ(others.overwritten, 0);
  EXPECT_EQ(others.last().size(), 6u);
  for (const auto& [host, value] : others.last()) EXPECT_EQ(etcd.get(folder + host), value) << host;

  auto records = run_task(journal.read(*id, 0, 100'000)).value();
  std::map<std::string, int> named;
  Codec codec;
  Rollout rollout;
  for (const auto& text : records) {
    auto record = codec.decode(text);
    ASSERT_TRUE(record) << record.error();
    apply(rollout, *record);
    const auto* moved = std::get_if<HostMoved>(&record->fact);
    if (moved != nullptr && moved->phase == HostPhase::left) ++named[rollout.plan.hosts[moved->host].name];
  }
  for (const auto& [host, value] : others.last()) EXPECT_EQ(named[host], 1) << host;
  EXPECT_EQ(named.size(), 6u) << "and nobody else";
  for (const auto& [name, host] : world->hosts) {
    if (others.last().contains(name)) continue;
    EXPECT_EQ(etcd.get(folder + name), original) << name;
    EXPECT_EQ(host.running, "two") << name;
  }
}

}  // namespace
}  // namespace shiftd
