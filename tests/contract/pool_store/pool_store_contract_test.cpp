// What every pool store promises, held against the fake that other tests rely on, against a real HAProxy over both
// kinds of socket, and against conftool's objects in a real etcd.

#include <functional>
#include <optional>

#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/haproxy/haproxy.hpp"
#include "tests/fakes/etcd_cluster.hpp"
#include "tests/fakes/fake_pool.hpp"
#include "tests/fakes/haproxy_server.hpp"
#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A pool of s1 and s2, pooled with weight 100 each, and the ways in which the world changes it.
struct PoolAtHand {
  virtual ~PoolAtHand() = default;
  virtual void person_sets(const std::string& member, Setting setting) = 0;
  virtual void restart() = 0;
  virtual void go_away() = 0;

  std::unique_ptr<PoolStore> store;
  std::unique_ptr<TrafficView> view;
};

struct FakeAtHand final : PoolAtHand {
  explicit FakeAtHand(Clock& clock) : pool(clock) {
    pool.members["s1"].setting = pool.members["s2"].setting = {Pooled::yes, 100};
    store = pool.make_store();
    view = pool.make_view();
  }
  void person_sets(const std::string& member, Setting setting) override { pool.person_sets(member, setting); }
  void restart() override { pool.restart({{"s1", {Pooled::yes, 100}}, {"s2", {Pooled::yes, 100}}}); }
  void go_away() override { pool.store_fails = pool.view_fails = Failure{Errc::unreachable, "gone"}; }

  FakePool pool;
};

struct HaproxyAtHand final : PoolAtHand {
  HaproxyAtHand(Clock& clock, bool tcp) {
    HaproxyOptions options{"lb1", tcp ? haproxy.tcp_socket() : haproxy.admin_socket(), "app", haproxy.master_socket(), 2s, 5ms};
    store = make_haproxy_pool_store(clock, options);
    view = make_haproxy_view(clock, options);
  }
  void person_sets(const std::string& member, Setting setting) override {
    haproxy.command("set weight app/" + member + " " + std::to_string(setting.weight) + "; set server app/" + member + " state " +
                    (setting.pooled == Pooled::yes ? "ready" : "drain"));
  }
  void restart() override { haproxy.reload(); }
  void go_away() override { haproxy.stop(); }

  HaproxyServer haproxy{{{{"s1", 1}, {"s2", 1}}}};
};

// No view: it belongs to the load balancers that read the objects.
struct ConftoolAtHand final : PoolAtHand {
  ConftoolAtHand(Clock& clock, EtcdClusterOptions kind) : etcd(kind) {
    for (const auto* member : {"s1", "s2"}) person_sets(member, {Pooled::yes, 100});
    ConftoolOptions options;
    options.endpoints = etcd.endpoints();
    options.dc = "eqiad";
    options.cluster = "web";
    options.service = "app";
    options.tls = {etcd.file("ca.pem"), etcd.file("client.pem"), etcd.file("client.key")};
    store = make_conftool_pool_store(clock, options);
  }
  void person_sets(const std::string& member, Setting setting) override {
    etcd.put("/conftool/v1/pools/eqiad/web/app/" + member, R"({"weight": )" + std::to_string(setting.weight) + R"(, "pooled": ")" +
                                                               std::string(to_string(setting.pooled)) + R"(", "rack": "A\u00e9 1"})");
  }
  void restart() override {
    etcd.kill(0);
    etcd.start(0);
    etcd.wait_until_ready();
  }
  void go_away() override { etcd.kill(0); }

  EtcdCluster etcd;
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<PoolAtHand>(Clock&)> make;
};

class PoolStoreContract : public testing::TestWithParam<Kind> {
 protected:
  Observed observed(const std::string& member) {
    auto reading = run_task(pool->store->read());
    if (!reading) throw std::runtime_error(reading.error().what);
    const auto* found = reading->find(member);
    if (!found) throw std::runtime_error("no " + member);
    return found->observed;
  }

  WriteOutcome write(MemberWrite wanted) {
    auto outcome = run_task(pool->store->write(std::move(wanted)));
    if (!outcome) throw std::runtime_error(outcome.error().what);
    return *outcome;
  }

  Errc refusal(MemberWrite wanted) {
    auto outcome = run_task(pool->store->write(std::move(wanted)));
    if (outcome) throw std::runtime_error("it was written");
    return outcome.error().code;
  }

  Task<> change_soon() {
    co_await clock->sleep_for(10ms);
    pool->person_sets("s2", {Pooled::no, 100});
  }

  std::unique_ptr<Clock> clock = make_system_clock();
  std::unique_ptr<PoolAtHand> pool = GetParam().make(*clock);
};

TEST_P(PoolStoreContract, ReadsItsMembersInOrder) {
  auto reading = run_task(pool->store->read());
  ASSERT_TRUE(reading) << reading.error();
  ASSERT_EQ(reading->members.size(), 2u);
  EXPECT_EQ(reading->members[0].name, "s1");
  EXPECT_EQ(reading->members[1].name, "s2");
  EXPECT_EQ(reading->members[0].observed.setting, (Setting{Pooled::yes, 100}));
  EXPECT_NE(reading->epoch, "");
}

TEST_P(PoolStoreContract, GivesWhatItHoldsAfterAWrite) {
  auto outcome = write({"s1", {Pooled::no, 100}, "", observed("s1").revision});
  ASSERT_TRUE(std::holds_alternative<Written>(outcome));
  EXPECT_EQ(std::get<Written>(outcome).observed, observed("s1"));
  EXPECT_EQ(observed("s1").setting, (Setting{Pooled::no, 100}));
  EXPECT_EQ(observed("s2").setting, (Setting{Pooled::yes, 100}));
}

TEST_P(PoolStoreContract, ChangesStateAndWeightTogether) {
  auto out = std::get<Written>(write({"s1", {Pooled::no, 100}, "", observed("s1").revision}));
  auto in = std::get<Written>(write({"s1", {Pooled::yes, 2}, "", out.observed.revision}));
  EXPECT_EQ(in.observed.setting, (Setting{Pooled::yes, 2}));
  EXPECT_EQ(observed("s1"), in.observed);
}

TEST_P(PoolStoreContract, WritesTheExactOriginalBack) {
  auto original = observed("s1");
  auto out = std::get<Written>(write({"s1", {Pooled::no, 7}, "", original.revision}));
  EXPECT_NE(out.observed.bytes, original.bytes);
  auto back = std::get<Written>(write({"s1", original.setting, original.bytes, out.observed.revision}));
  EXPECT_EQ(back.observed.bytes, original.bytes);
  EXPECT_EQ(back.observed.setting, original.setting);
}

TEST_P(PoolStoreContract, DoesNotOverwriteAForeignChange) {
  auto known = observed("s1");
  for (auto theirs : {Setting{Pooled::no, 100}, Setting{Pooled::yes, 55}}) {
    SCOPED_TRACE(to_string(theirs));
    pool->person_sets("s1", theirs);
    auto outcome = write({"s1", {Pooled::yes, 9}, "", known.revision});
    ASSERT_TRUE(std::holds_alternative<ForeignChange>(outcome));
    EXPECT_EQ(std::get<ForeignChange>(outcome).observed.setting, theirs);
    EXPECT_EQ(observed("s1").setting, theirs);
  }
}

TEST_P(PoolStoreContract, SaysThatItWasSoAlready) {
  auto known = observed("s1");
  pool->person_sets("s1", {Pooled::no, 100});
  auto out = std::get<Written>(write({"s1", {Pooled::no, 100}, "", known.revision}));
  EXPECT_TRUE(out.was_so);
  auto again = std::get<Written>(write({"s1", {Pooled::no, 100}, "", out.observed.revision}));
  EXPECT_FALSE(again.was_so);
}

TEST_P(PoolStoreContract, AForeignChangeOfAnotherMemberIsNoneOfThisOne) {
  auto known = observed("s1");
  pool->person_sets("s2", {Pooled::no, 100});
  EXPECT_TRUE(std::holds_alternative<Written>(write({"s1", {Pooled::yes, 9}, "", known.revision})));
}

TEST_P(PoolStoreContract, MayBeAskedTwiceForTheSame) {
  MemberWrite wanted{"s1", {Pooled::no, 100}, "", observed("s1").revision};
  ASSERT_TRUE(std::holds_alternative<Written>(write(wanted)));
  // Based on what was before: what is wanted is there already, whoever wrote it.
  auto again = write(wanted);
  ASSERT_TRUE(std::holds_alternative<Written>(again));
  EXPECT_EQ(std::get<Written>(again).observed, observed("s1"));
}

TEST_P(PoolStoreContract, ARestartIsNoPerson) {
  auto held = std::get<Written>(write({"s1", {Pooled::no, 100}, "", observed("s1").revision})).observed;
  auto epoch = run_task(pool->store->read())->epoch;
  pool->restart();
  if (pool->store->capabilities().survives_restart) {
    EXPECT_EQ(run_task(pool->store->read())->epoch, epoch);
    EXPECT_EQ(observed("s1"), held);
    return;
  }
  EXPECT_NE(run_task(pool->store->read())->epoch, epoch);
  EXPECT_EQ(observed("s1").setting, (Setting{Pooled::yes, 100}));
  EXPECT_TRUE(std::holds_alternative<Written>(write({"s1", held.setting, "", held.revision})));
  EXPECT_EQ(observed("s1").setting, (Setting{Pooled::no, 100}));
}

TEST_P(PoolStoreContract, RefusesWhatItCannotHold) {
  auto known = observed("s1");
  EXPECT_EQ(refusal({"nobody", {Pooled::no, 100}, "", known.revision}), Errc::not_found);
  EXPECT_EQ(refusal({"s1", {Pooled::yes, 0}, "", known.revision}), Errc::bad_input);
  EXPECT_EQ(refusal({"s1", {Pooled::yes, pool->store->capabilities().weight_most + 1}, "", known.revision}), Errc::bad_input);
  EXPECT_EQ(refusal({"s1", {Pooled::inactive, 100}, "", known.revision}), Errc::bad_input);
  EXPECT_EQ(refusal({"s1", {Pooled::no, 100}, "", "?"}), Errc::bad_input);
  EXPECT_EQ(refusal({"s1", {}, "?", known.revision}), Errc::bad_input);
  EXPECT_EQ(observed("s1"), known);
}

TEST_P(PoolStoreContract, WatchReturnsWhenAMemberHasChanged) {
  auto story = [this]() -> Task<Result<PoolReading>> {
    auto last = co_await pool->store->read();
    if (!last) co_return last;
    TaskGroup people(co_await boost::asio::this_coro::executor);
    people.start("person", change_soon());
    auto changed = co_await pool->store->watch(*last, 10s);
    co_await people.join();
    co_return changed;
  };
  auto started = clock->steady();
  auto changed = run_task(story());
  ASSERT_TRUE(changed) << changed.error();
  EXPECT_EQ(changed->find("s2")->observed.setting, (Setting{Pooled::no, 100}));
  EXPECT_LT(clock->steady() - started, 9s);
}

TEST_P(PoolStoreContract, WatchReturnsWhatIsThereWhenNothingChanges) {
  auto last = run_task(pool->store->read());
  ASSERT_TRUE(last);
  auto same = run_task(pool->store->watch(*last, 20ms));
  ASSERT_TRUE(same) << same.error();
  EXPECT_EQ(same->members, last->members);
}

TEST_P(PoolStoreContract, IsUnreachableWhenNobodyIsThere) {
  auto known = observed("s1");
  pool->go_away();
  auto reading = run_task(pool->store->read());
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code, Errc::unreachable);
  EXPECT_EQ(refusal({"s1", {Pooled::no, 100}, "", known.revision}), Errc::unreachable);
  if (!pool->view) return;
  auto view = run_task(pool->view->read());
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, Errc::unreachable);
}

TEST_P(PoolStoreContract, TheViewFollowsTheStore) {
  if (!pool->view) return;
  auto see = [&](const std::string& member) { return run_task(pool->view->read())->of(member); };
  EXPECT_EQ(see("s1").traffic, Traffic::flowing);
  EXPECT_EQ(see("s1").weight, 100);
  auto out = std::get<Written>(write({"s1", {Pooled::no, 100}, "", observed("s1").revision}));
  EXPECT_EQ(see("s1").traffic, Traffic::none);
  EXPECT_EQ(see("s1").weight, 0);
  write({"s1", {Pooled::yes, 3}, "", out.observed.revision});
  EXPECT_EQ(see("s1").traffic, Traffic::flowing);
  EXPECT_EQ(see("s1").weight, 3);
  EXPECT_EQ(see("nobody").traffic, Traffic::cannot_tell);
}

TEST_P(PoolStoreContract, TellsPeopleHowToRestoreAMember) {
  auto command = pool->store->restore_command("s1", observed("s1"));
  EXPECT_NE(command.find("s1"), std::string::npos);
  EXPECT_NE(command.find("100"), std::string::npos);
  EXPECT_EQ(command.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Of, PoolStoreContract,
    testing::Values(Kind{"fake", [](Clock& clock) { return std::make_unique<FakeAtHand>(clock); }},
                    Kind{"haproxy_unix", [](Clock& clock) { return std::make_unique<HaproxyAtHand>(clock, false); }},
                    Kind{"haproxy_tcp", [](Clock& clock) { return std::make_unique<HaproxyAtHand>(clock, true); }},
                    Kind{"conftool", [](Clock& clock) { return std::make_unique<ConftoolAtHand>(clock, EtcdClusterOptions{}); }},
                    Kind{"conftool_tls",
                         [](Clock& clock) { return std::make_unique<ConftoolAtHand>(clock, EtcdClusterOptions{.tls = true}); }}),
    [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace shiftd
