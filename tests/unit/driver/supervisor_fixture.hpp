#pragma once

// The daemon's heart in a small world whose time the test owns.

#include "daemon/driver/supervisor.hpp"

#include <gtest/gtest.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include "tests/fakes/refusing_journal.hpp"
#include "tests/fakes/simulated_clock.hpp"
#include "tests/fakes/small_world.hpp"

namespace shiftd {

using namespace std::chrono_literals;
namespace asio = boost::asio;

inline Strategy five_stages() {
  Strategy strategy;
  for (int percent : {1, 5, 25, 50, 100}) strategy.stages.push_back({BasisPoints{percent * 100}, 5s, Gate::open});
  strategy.max_failed = {1, {}};
  return strategy;
}

// The daemon's heart, without its face. Killing it keeps the journal and the world.
class SupervisorTest : public testing::Test {
 protected:
  ~SupervisorTest() override { halt(); }

  // Where the daemon of each life announces what happens; nowhere unless a test says so.
  virtual void add_sinks(std::vector<std::unique_ptr<Sink>>&) {}

  void begin(int hosts, Strategy strategy) {
    halt();
    journal_ = std::make_unique<RefusingJournal>(clock_);
    world_ = std::make_unique<SmallWorld>(clock_, hosts);
    strategy_ = std::move(strategy);
    boot();
  }

  void boot() {
    std::vector<std::unique_ptr<Service>> services;
    services.push_back(world_->service(strategy_));
    loop_ = std::make_unique<asio::io_context>(1);
    std::vector<std::unique_ptr<Sink>> sinks;
    add_sinks(sinks);
    supervisor_ = std::make_unique<Supervisor>(loop_->get_executor(), clock_, *journal_, std::move(services), keep_, std::move(sinks));
    asio::co_spawn(*loop_, supervisor_->run(), asio::bind_cancellation_slot(stop_.slot(), [this](std::exception_ptr) { ended_ = true; }));
  }

  // As SIGTERM does; nothing is left of the old life but the journal and the world.
  void halt() {
    if (!supervisor_) return;
    ended_ = false;
    stop_.emit(asio::cancellation_type::terminal);
    clock_.run(*loop_, [this] { return ended_; });
    EXPECT_TRUE(ended_);
    supervisor_.reset();
    for (auto& [name, host] : world_->hosts) host.executor->leave_loop();
    loop_.reset();
  }

  void boot_again() {
    halt();
    boot();
  }

  void restart(const std::string& id) {
    halt();
    boot();
    clock_.run(*loop_, [&] { return running(id) != nullptr; });
  }

  template <class T>
  Result<T> ask(Task<Result<T>> task) {
    std::optional<Result<T>> answer;
    asio::co_spawn(*loop_, std::move(task), [&answer](std::exception_ptr error, Result<T> result) {
      if (error) std::rethrow_exception(error);
      answer.emplace(std::move(result));
    });
    clock_.run(*loop_, [&answer] { return answer.has_value(); });
    return std::move(*answer);
  }

  std::string start(const std::string& digest) {
    StartRequest request;
    request.service = "web";
    request.release = {"v-" + digest, digest, "/nowhere"};
    request.by = "test";
    auto started = ask(supervisor_->start(request));
    EXPECT_TRUE(started) << started.error();
    return started ? *started : "";
  }

  // "restart", or "reboot".
  std::string start_restart(const std::string& word) {
    auto started = ask(supervisor_->start({"web", {word, word, ""}, {}, "test", "a leak"}));
    EXPECT_TRUE(started) << started.error();
    return started ? *started : "";
  }

  // Four hosts, of which web02 does not answer and so has missed "two".
  SmallWorld::Host& leave_web02_behind() {
    begin(4, five_stages());
    auto& host = world_->hosts.at("web02");
    host.reachable = false;
    finish(start("two"));
    return host;
  }

  // Four hosts, of which web01 is out of its pools and to be swapped, and does not answer.
  std::string start_until_nobody_answers() {
    begin(4, five_stages());
    auto id = start("two");
    pass_until_phase(id, HostPhase::ready);
    world_->hosts.at("web01").reachable = false;
    pass_until_phase(id, HostPhase::upgrading);
    return id;
  }

  // Of "two" and of "three", which waits for it.
  std::pair<std::string, std::string> start_two_of_which_one_waits() {
    auto strategy = five_stages();
    strategy.when_busy = WhenBusy::queue;
    begin(4, strategy);
    auto first = start("two");
    pass_until_phase(first, HostPhase::serving_new);
    return {first, start("three")};
  }

  // Of that many hosts web01 has the release already, and answers only when it is prepared.
  Rollout finish_where_web01_has(const std::string& digest, int hosts, double failure_rate = 0) {
    begin(hosts, five_stages());
    world_->failure_rate[digest] = failure_rate;
    auto& host = world_->hosts.at("web01");
    host.current = host.running = digest;
    host.reachable = false;
    auto id = start(digest);
    pass_until_phase(id, HostPhase::preparing);
    host.reachable = true;
    return finish(id);
  }

  const Rollout* running(const std::string& id) {
    for (const auto& status : supervisor_->running()) {
      if (status.rollout.request.rollout != id) continue;
      seen_ = status.rollout;
      return &seen_;
    }
    return nullptr;
  }

  // Lets time pass until the rollout has ended, at most an hour of it.
  Rollout finish(const std::string& id) {
    auto until = clock_.steady() + 1h;
    clock_.run(*loop_, [&] { return clock_.steady() >= until || brief(id).phase == "ended"; });
    auto status = ask(supervisor_->show(id));
    EXPECT_TRUE(status) << status.error();
    return status ? status->rollout : Rollout{};
  }

  RolloutBrief brief(const std::string& id) {
    for (const auto& status : supervisor_->running()) {
      if (status.rollout.request.rollout == id) return {id, "", "", std::string(to_string(status.rollout.phase)), "", "", {}, {}};
    }
    return {id, "", "", "ended", "", "", {}, {}};
  }

  // Lets time pass until the rollout is so, or is over: at most an hour of it.
  template <class Wanted>
  void pass_until(const std::string& id, Wanted wanted) {
    auto until = clock_.steady() + 1h;
    clock_.run(*loop_, [&] {
      const auto* rollout = running(id);
      return rollout == nullptr || clock_.steady() >= until || (!rollout->hosts.empty() && wanted(*rollout));
    });
  }

  void pass_until_phase(const std::string& id, HostPhase phase) {
    pass_until(id, [&](const Rollout& rollout) { return rollout.in(phase) > 0; });
  }

  void expect_all(const std::string& digest) {
    for (const auto& [name, host] : world_->hosts) {
      EXPECT_EQ(host.current, digest) << name;
      EXPECT_EQ(host.running, digest) << name;
      EXPECT_EQ(host.setting, (Setting{Pooled::yes, 100})) << name;
    }
  }

  void expect_no_swap_twice() {
    for (const auto& [name, host] : world_->hosts) {
      for (const auto& [release, times] : host.swaps) EXPECT_EQ(times, 1) << name << " " << release;
    }
  }

  void pass(Duration time) {
    auto until = clock_.steady() + time;
    clock_.run(*loop_, [&] { return clock_.steady() >= until; });
  }

  SimulatedClock clock_;
  std::unique_ptr<RefusingJournal> journal_;
  std::unique_ptr<SmallWorld> world_;
  Strategy strategy_;
  std::size_t keep_ = 100;
  std::unique_ptr<asio::io_context> loop_;
  std::unique_ptr<Supervisor> supervisor_;
  asio::cancellation_signal stop_;
  bool ended_ = false;
  Rollout seen_;
};

}  // namespace shiftd
