// What can go wrong between us and a real etcd, of three members where that matters.

#include <gtest/gtest.h>
#include <filesystem>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>

#include "daemon/io/task_group.hpp"
#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/conftool/etcd_client.hpp"
#include "tests/fakes/etcd_cluster.hpp"
#include "tests/fakes/loopback_server.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/integration/conftool/objects.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using conftool::EtcdClient;

constexpr const char* in_pool = R"({"weight": 100, "pooled": "yes"})";

struct ConftoolBadLuck : testing::Test {
  void begin(EtcdClusterOptions kind) {
    etcd = std::make_unique<EtcdCluster>(kind);
    if (kind.expired_certificate) return;
    for (std::string host : {"s1", "s2", "s3"}) etcd->put(folder + host, in_pool);
  }

  ConftoolOptions options(std::vector<std::string> endpoints) const {
    ConftoolOptions made;
    made.endpoints = std::move(endpoints);
    made.dc = "eqiad";
    made.cluster = "web";
    made.service = "app";
    made.timeout = 500ms;
    return made;
  }
  std::unique_ptr<PoolStore> store(std::vector<std::string> endpoints) const {
    return make_conftool_pool_store(*clock, options(std::move(endpoints)));
  }
  static Observed observed(PoolStore& from, const std::string& host) { return run_task(from.read()).value().find(host)->observed; }
  int follower() const { return (etcd->leader() + 1) % 3; }

  std::unique_ptr<Clock> clock = make_system_clock();
  std::unique_ptr<EtcdCluster> etcd;
};

TEST_F(ConftoolBadLuck, ALateWriteOfAFrozenFollowerIsRecognisedAsOurs) {
  begin({.members = 3});
  auto frozen = follower();
  auto mine = store(etcd->endpoints());
  auto before = observed(*mine, "s1");
  auto index = etcd->index_of(folder + std::string("s1"));

  etcd->freeze(frozen);
  EtcdClient at_frozen(*clock, options({etcd->endpoint(frozen)}));
  auto unheard = run_task(at_frozen.compare_and_swap(folder + std::string("s1"), index, R"({"weight": 100, "pooled": "no"})"));
  ASSERT_FALSE(unheard);
  EXPECT_EQ(unheard.error().code, Errc::timed_out) << unheard.error();
  EXPECT_EQ(observed(*mine, "s1"), before) << "a quorum does not know of it";

  etcd->thaw(frozen);
  ASSERT_TRUE(eventually([&] { return etcd->index_of(folder + std::string("s1")) != index; })) << "it lands after all";
  auto again = run_task(mine->write({"s1", {Pooled::no, 100}, "", before.revision}));
  ASSERT_TRUE(again) << again.error();
  ASSERT_TRUE(std::holds_alternative<Written>(*again)) << "what we wanted is there: nobody else has changed it";
  EXPECT_EQ(std::get<Written>(*again).observed, observed(*mine, "s1"));
}

TEST_F(ConftoolBadLuck, AWriteThatSucceededElsewhereSettlesTheOneThatWasLeftBehind) {
  begin({.members = 3});
  auto frozen = follower();
  auto key = folder + std::string("s1");
  auto index = etcd->index_of(key);
  auto both = options({etcd->endpoint(frozen), etcd->endpoint(etcd->leader())});
  etcd->freeze(frozen);
  EtcdClient client(*clock, both);
  auto written = run_task(client.compare_and_swap(key, index, R"({"weight": 1, "pooled": "yes"})"));
  ASSERT_TRUE(written) << written.error();
  etcd->thaw(frozen);
  // A quorum read at the follower comes after what it had in its hands when it was frozen.
  auto mine = store({etcd->endpoint(frozen)});
  ASSERT_TRUE(eventually([&] { return run_task(mine->read()).has_value(); }));
  EXPECT_EQ(etcd->index_of(key), written->reply.node.index);
}

TEST_F(ConftoolBadLuck, AnOriginalKeepsWhatAToolHasSetBesideItSince) {
  begin({.members = 1});
  auto mine = store(etcd->endpoints());
  auto original = observed(*mine, "s1");
  ASSERT_TRUE(run_task(mine->write({"s1", {Pooled::yes, 1}, "", original.revision})));
  etcd->put(folder + std::string("s1"), R"({"weight": 1, "pooled": "yes", "note": "disk"})");

  auto back = run_task(mine->write({"s1", original.setting, original.bytes, observed(*mine, "s1").revision}));
  ASSERT_TRUE(back) << back.error();
  EXPECT_EQ(std::get<Written>(*back).observed.bytes, R"({"weight": 100, "pooled": "yes", "note": "disk"})");
}

TEST_F(ConftoolBadLuck, AtTheSameIndexItWritesAgainWhatIsThereAlready) {
  begin({.members = 1});
  auto mine = store(etcd->endpoints());
  auto before = observed(*mine, "s1");
  // A write of `no` may be on its way somewhere, based on this index. The member is wanted as it is: that has to be said.
  auto outcome = run_task(mine->write({"s1", before.setting, "", before.revision}));
  ASSERT_TRUE(outcome);
  EXPECT_NE(std::get<Written>(*outcome).observed.revision, before.revision);
  EXPECT_EQ(std::get<Written>(*outcome).observed.setting, before.setting);
}

// Passes requests on to etcd, and the answers back, but for those to a PUT.
class DeafToWrites {
 public:
  DeafToWrites(boost::asio::io_context& loop, Clock& clock, std::string etcd)
      : clock_(clock), etcd_(std::move(etcd)), acceptor_(loop, {boost::asio::ip::address_v4::loopback(), 0}) {}

  [[nodiscard]] std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }
  int puts = 0;

  Task<> serve() {
    namespace asio = boost::asio;
    while (true) {
      auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
      std::string head;
      auto size = co_await asio::async_read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", asio::use_awaitable);
      HttpRequest request;
      request.address = etcd_;
      request.method = head.substr(0, head.find(' '));
      auto target = head.find(' ') + 1;
      request.target = head.substr(target, head.find(' ', target) - target);
      auto length = head.find("Content-Length: ");
      auto body = length == head.npos ? 0 : std::stoul(head.substr(length + 16));
      request.body = head.substr(size);
      if (request.body.size() < body) {
        std::string rest(body - request.body.size(), '\0');
        co_await asio::async_read(socket, asio::buffer(rest), asio::use_awaitable);
        request.body += rest;
      }
      if (request.method == "PUT") request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
      auto reply = co_await http_exchange(clock_, request, 5s);
      if (!reply || request.method == "PUT") {
        ++puts;
        continue;
      }
      std::string answer =
          "HTTP/1.1 " + std::to_string(reply->status) + " x\r\nContent-Length: " + std::to_string(reply->body.size()) + "\r\n";
      for (const char* name : {"X-Etcd-Index", "X-Etcd-Cluster-Id"}) answer += std::string(name) + ": " + *reply->header(name) + "\r\n";
      answer += "\r\n" + reply->body;
      co_await asio::async_write(socket, asio::buffer(answer), asio::use_awaitable);
    }
  }

 private:
  Clock& clock_;
  std::string etcd_;
  boost::asio::ip::tcp::acceptor acceptor_;
};

TEST_F(ConftoolBadLuck, AWriteWhoseAnswerIsLostIsFoundAtTheNextEndpoint) {
  begin({.members = 1});
  boost::asio::io_context loop(1);
  DeafToWrites deaf(loop, *clock, etcd->endpoint(0).substr(7));
  auto mine = store({deaf.endpoint(), etcd->endpoint(0)});
  auto before = run_task(loop, beside(deaf.serve(), mine->read())).value().find("s1")->observed;
  auto outcome = run_task(loop, beside(deaf.serve(), mine->write({"s1", {Pooled::no, 100}, "", before.revision})));
  ASSERT_TRUE(outcome) << outcome.error();
  EXPECT_EQ(deaf.puts, 1);
  ASSERT_TRUE(std::holds_alternative<Written>(*outcome)) << "412, and it holds what we wrote";
  EXPECT_EQ(std::get<Written>(*outcome).observed, observed(*store(etcd->endpoints()), "s1"));
}

TEST_F(ConftoolBadLuck, AWriteWhoseAnswerIsLostAtTheOnlyEndpointIsUnknown) {
  begin({.members = 1});
  boost::asio::io_context loop(1);
  DeafToWrites deaf(loop, *clock, etcd->endpoint(0).substr(7));
  auto mine = store({deaf.endpoint()});
  auto before = run_task(loop, beside(deaf.serve(), mine->read())).value().find("s1")->observed;
  auto outcome = run_task(loop, beside(deaf.serve(), mine->write({"s1", {Pooled::no, 100}, "", before.revision})));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::timed_out) << outcome.error();
  // Another intent by now: what is there is not what is wanted, and has not been seen before. The engine knows its own.
  auto other = run_task(loop, beside(deaf.serve(), mine->write({"s1", {Pooled::yes, 100}, "", before.revision})));
  ASSERT_TRUE(other) << other.error();
  ASSERT_TRUE(std::holds_alternative<ForeignChange>(*other));
  EXPECT_EQ(std::get<ForeignChange>(*other).observed.setting, (Setting{Pooled::no, 100}));
}

TEST_F(ConftoolBadLuck, LosesNoWriteWhenTheLeaderIsKilled) {
  begin({.members = 3});
  auto mine = store(etcd->endpoints());
  auto known = observed(*mine, "s1");
  auto leader = etcd->leader();
  boost::asio::io_context loop(1);
  int written = 0;
  int unknown = 0;
  auto writes = [&]() -> Task<Result<int>> {
    for (int weight = 1; weight <= 60; ++weight) {
      bool tried = false;
      while (true) {
        MemberWrite wanted{"s1", {Pooled::yes, weight}, "", known.revision};
        auto outcome = co_await mine->write(wanted);
        if (!outcome) {
          tried |= outcome.error().code == Errc::timed_out;
          unknown += outcome.error().code == Errc::timed_out ? 1 : 0;
          continue;
        }
        if (!std::holds_alternative<Written>(*outcome)) co_return Failure{Errc::conflict, "nobody but us writes here"};
        known = std::get<Written>(*outcome).observed;
        ++written;
        break;
      }
    }
    co_return written;
  };
  auto killing = [&]() -> Task<> {
    co_await clock->sleep_for(30ms);
    etcd->kill(leader);
    boost::asio::steady_timer never(loop, boost::asio::steady_timer::time_point::max());
    co_await never.async_wait(boost::asio::use_awaitable);
  };
  auto done = run_task(loop, beside(killing(), writes()));
  ASSERT_TRUE(done) << done.error();
  EXPECT_EQ(*done, 60);
  EXPECT_EQ(observed(*mine, "s1"), known);
  EXPECT_EQ(known.setting.weight, 60);
  RecordProperty("unknown", unknown);
}

TEST_F(ConftoolBadLuck, WithoutAQuorumNothingIsWrittenAndNothingStaleBelieved) {
  begin({.members = 3});
  auto mine = store(etcd->endpoints());
  auto before = observed(*mine, "s1");
  etcd->kill(1);
  etcd->kill(2);
  auto reading = run_task(mine->read());
  ASSERT_FALSE(reading) << "the last member remembers, and that may be the past";
  auto watched = run_task(mine->watch({}, 10ms));
  EXPECT_FALSE(watched);
  auto outcome = run_task(mine->write({"s1", {Pooled::no, 100}, "", before.revision}));
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().code, Errc::timed_out) << "only asked: " << outcome.error();
  etcd->start(1);
  etcd->start(2);
  etcd->wait_until_ready();
  EXPECT_EQ(observed(*mine, "s1"), before);
}

TEST_F(ConftoolBadLuck, AnOutdatedWatchReadsAnew) {
  begin({.members = 1});
  auto mine = store(etcd->endpoints());
  auto last = run_task(mine->read()).value();
  for (int write = 0; write < 1'100; ++write) etcd->put("/spicerack/locks/" + std::to_string(write % 7), "held");
  auto index = conftool::parse_index(last.cursor);
  EtcdClient client(*clock, options(etcd->endpoints()));
  EXPECT_FALSE(run_task(client.wait(std::string("/conftool/v1/pools/eqiad/web/app"), *index, 10s))) << "401: outdated and cleared";

  auto same = run_task(mine->watch(last, 50ms));
  ASSERT_TRUE(same) << same.error();
  EXPECT_EQ(same->members, last.members);
  etcd->put(folder + std::string("s2"), R"({"weight": 7, "pooled": "no"})");
  auto changed = run_task(mine->watch(last, 60s));
  ASSERT_TRUE(changed) << changed.error();
  EXPECT_EQ(changed->find("s2")->observed.setting, (Setting{Pooled::no, 7}));
}

TEST_F(ConftoolBadLuck, AWrongPasswordChangesNothingAndIsNotRepeated) {
  begin({.members = 1});
  etcd->enable_passwords("shiftd", "right-one");
  auto mine = options(etcd->endpoints());
  mine.credentials = etcd->file("etcdrc");
  auto with_password = [&](const std::string& password) {
    write_text(mine.credentials, "username: shiftd\npassword: " + password + "\n");
    std::filesystem::permissions(mine.credentials, std::filesystem::perms(0600));
  };
  with_password("wrong-one");
  auto pool = make_conftool_pool_store(*clock, mine);
  auto reading = run_task(pool->read());
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code, Errc::unauthenticated) << reading.error();
  EXPECT_EQ(reading.error().what.find("wrong-one"), std::string::npos);

  with_password("right-one");
  auto before = observed(*pool, "s1");
  auto outcome = run_task(pool->write({"s1", {Pooled::no, 100}, "", before.revision}));
  ASSERT_TRUE(outcome) << outcome.error();
  auto held = std::get<Written>(*outcome).observed;

  mine.credentials.clear();
  auto nobody = make_conftool_pool_store(*clock, mine);
  auto refused = run_task(nobody->write({"s1", {Pooled::yes, 100}, "", held.revision}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthenticated) << refused.error();
  EXPECT_EQ(observed(*pool, "s1"), held);

  // What people are told to paste works with the same file, and shows no secret.
  auto command = pool->restore_command("s1", before);
  EXPECT_EQ(command.find("right-one"), std::string::npos);
  ASSERT_EQ(Process::run({"sh", "-c", command}), 0) << command;
  EXPECT_EQ(observed(*pool, "s1").bytes, before.bytes);

  std::filesystem::permissions(mine.credentials = etcd->file("etcdrc"), std::filesystem::perms(0644));
  auto open_file = run_task(make_conftool_pool_store(*clock, mine)->read());
  ASSERT_FALSE(open_file);
  EXPECT_NE(open_file.error().what.find("everybody may read it"), std::string::npos) << open_file.error();
}

TEST_F(ConftoolBadLuck, AnExpiredCertificateIsNamed) {
  begin({.tls = true, .expired_certificate = true});
  auto mine = options(etcd->endpoints());
  mine.tls = {etcd->file("ca.pem"), etcd->file("client.pem"), etcd->file("client.key")};
  auto pool = make_conftool_pool_store(*clock, mine);
  Result<PoolReading> reading = Failure{Errc::unreachable, ""};
  auto answers = [&] {
    reading = run_task(pool->read());
    return !reading && reading.error().code != Errc::unreachable && reading.error().code != Errc::timed_out;
  };
  ASSERT_TRUE(eventually(answers)) << reading.error();
  EXPECT_NE(reading.error().what.find("certificate has expired"), std::string::npos) << reading.error();
}

TEST_F(ConftoolBadLuck, NobodyIsTrustedWithoutAReason) {
  begin({.tls = true});
  auto mine = options(etcd->endpoints());
  mine.tls = {etcd->file("client.pem"), etcd->file("client.pem"), etcd->file("client.key")};
  auto unknown_ca = run_task(make_conftool_pool_store(*clock, mine)->read());
  ASSERT_FALSE(unknown_ca);
  EXPECT_NE(unknown_ca.error().what.find("their certificate is refused"), std::string::npos) << unknown_ca.error();

  mine.tls.ca = etcd->file("ca.pem");
  mine.endpoints = {"https://localhost:" + mine.endpoints[0].substr(mine.endpoints[0].rfind(':') + 1)};
  auto other_name = run_task(make_conftool_pool_store(*clock, mine)->read());
  ASSERT_FALSE(other_name) << "the certificate is for 127.0.0.1";

  mine.endpoints = etcd->endpoints();
  mine.tls.certificate.clear();
  auto no_certificate = run_task(make_conftool_pool_store(*clock, mine)->read());
  ASSERT_FALSE(no_certificate) << "etcd asks for one";
}

TEST_F(ConftoolBadLuck, AnEndpointOfAnotherEtcdIsLeftAlone) {
  begin({.members = 1});
  EtcdCluster other;
  other.put(folder + std::string("s1"), R"({"weight": 5, "pooled": "yes"})");
  auto mine = store({etcd->endpoint(0), other.endpoint(0)});
  auto before = observed(*mine, "s1");
  etcd->kill(0);
  auto reading = run_task(mine->read());
  ASSERT_FALSE(reading);
  EXPECT_NE(reading.error().what.find("another etcd"), std::string::npos) << reading.error();
  EXPECT_FALSE(run_task(mine->write({"s1", {Pooled::no, 100}, "", before.revision})));
  EXPECT_EQ(other.get(folder + std::string("s1")), R"({"weight": 5, "pooled": "yes"})");
}

TEST_F(ConftoolBadLuck, WhatCannotBeUnderstoodIsReportedAndNeverOverwritten) {
  begin({.members = 1});
  auto mine = store(etcd->endpoints());
  auto before = observed(*mine, "s1");
  etcd->put(folder + std::string("s1"), R"({"weight": "7", "pooled": "yes"})");
  auto reading = run_task(mine->read());
  ASSERT_TRUE(reading) << reading.error();
  EXPECT_EQ(reading->find("s1")->malformed, "weight is no integer but string");
  EXPECT_EQ(reading->find("s2")->malformed, "");
  for (auto revision : {before.revision, reading->find("s1")->observed.revision}) {
    auto outcome = run_task(mine->write({"s1", {Pooled::no, 100}, "", revision}));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::refused) << outcome.error();
  }
  EXPECT_EQ(etcd->get(folder + std::string("s1")), R"({"weight": "7", "pooled": "yes"})");
}

}  // namespace
}  // namespace shiftd
