#pragma once

// A Control whose rollouts are what the test says: records are put in by hand, and what was asked is kept to be looked at.

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "daemon/driver/control.hpp"
#include "daemon/driver/plan_digest.hpp"
#include "daemon/engine/codec.hpp"
#include "daemon/engine/record.hpp"
#include "daemon/io/within.hpp"
#include "tests/fakes/small_fleet.hpp"

namespace shiftd {

class FakeControl : public Control {
 public:
  explicit FakeControl(boost::asio::any_io_executor executor, Clock& clock) : clock_(clock), changed_(std::move(executor)) {
    changed_.expires_at(boost::asio::steady_timer::time_point::max());
  }

  // Adds records to a rollout, which begins with the first.
  void say(const std::string& rollout, const std::vector<Record>& records) {
    auto& told = told_of(rollout);
    for (const auto& record : records) {
      told.records.push_back(told.codec.encode(record));
      apply(told.status.rollout, record);
    }
    changed_.cancel();
  }
  void say(const std::string& rollout, Fact fact) {
    auto now = told_of(rollout).status.rollout.now + std::chrono::seconds(1);
    say(rollout, std::vector<Record>{{now, std::move(fact)}});
  }
  Live& live(const std::string& rollout) { return told_of(rollout).status.live; }

  std::vector<std::string> known_services = {"web"};
  std::optional<Failure> refusal;  // what every question fails with
  Result<void> readiness;
  std::vector<StartRequest> starts;
  std::vector<DryRun> dry_runs;
  std::function<void(Plan&)> fleet;  // what the fleet is like, where it is not that of small_plan()
  std::vector<std::pair<std::string, CommandRequest>> commands;

  [[nodiscard]] std::vector<std::string> services() const override { return known_services; }

  std::vector<PoolStatus> known_pools;
  Task<Result<std::vector<PoolStatus>>> pools(std::string service) override {
    if (refusal) co_return *refusal;
    if (service != "web") co_return Failure{Errc::not_found, "no service '" + service + "'"};
    co_return known_pools;
  }

  Task<Result<Proposal>> plan(StartRequest request) override {
    if (refusal) co_return *refusal;
    if (request.service != "web") co_return Failure{Errc::not_found, "no service '" + request.service + "'"};
    auto asked = small_request("");
    asked.release = request.release;
    asked.by = request.by;
    auto made = small_plan(asked);
    if (fleet) fleet(made);
    Proposal proposal{std::move(made), dry_runs};
    co_return proposal;
  }

  Task<Result<std::string>> start(StartRequest request) override {
    auto made = co_await plan(request);
    if (!made) co_return std::move(made).error();
    if (!request.if_plan.empty() && request.if_plan != plan_digest(made->plan)) co_return Failure{Errc::conflict, "the fleet has changed"};
    auto rollout = "web-" + std::to_string(told_.size() + 1);
    made->plan.request.rollout = rollout;
    starts.push_back(std::move(request));
    say(rollout, first_records(made->plan));
    co_return rollout;
  }

  Task<Result<void>> command(std::string rollout, CommandRequest request) override {
    if (refusal) co_return *refusal;
    auto* told = find(rollout);
    if (told == nullptr) co_return no_such(rollout);
    Command asked{request.verb, 0, request.by, request.reason};
    if (!request.host.empty()) asked.host = host_index(told->status.rollout, request.host);
    auto permitted = permits(told->status.rollout, asked);
    if (!permitted) co_return permitted;
    commands.emplace_back(rollout, std::move(request));
    co_return Result<void>{};
  }

  Task<Result<std::vector<RolloutBrief>>> list(std::size_t most) override {
    if (refusal) co_return *refusal;
    std::vector<RolloutBrief> briefs;
    for (auto told = told_.rbegin(); told != told_.rend() && briefs.size() < most; ++told) {
      const auto& rollout = told->status.rollout;
      briefs.push_back({rollout.request.rollout, rollout.request.service, rollout.request.release.version,
                        std::string(to_string(rollout.phase)), std::string(to_string(rollout.outcome)), rollout.reason, rollout.created,
                        rollout.now});
    }
    co_return briefs;
  }

  Task<Result<RolloutStatus>> show(std::string rollout) override {
    if (refusal) co_return *refusal;
    auto* told = find(rollout);
    if (told == nullptr) co_return no_such(rollout);
    co_return told->status;
  }

  std::string known_logs;  // of every host
  Task<Result<std::string>> logs(std::string rollout, std::string host) override {
    if (refusal) co_return *refusal;
    if (find(rollout) == nullptr) co_return no_such(rollout);
    if (!host.starts_with("web")) co_return Failure{Errc::not_found, "web has no host " + host};
    co_return known_logs;
  }

  Task<Result<FeedPart>> follow(std::string rollout, std::uint64_t from, Duration at_most) override {
    if (refusal) co_return *refusal;
    auto* told = find(rollout);
    if (told == nullptr) co_return no_such(rollout);
    auto until = clock_.steady() + at_most;
    bool ended = told->status.rollout.phase == Phase::ended;
    while (told->records.size() <= from && !ended && clock_.steady() < until) {
      auto woken = co_await within(clock_, until - clock_.steady(), change());
      if (!woken && woken.error().code != Errc::timed_out) co_return woken.error();
      ended = told->status.rollout.phase == Phase::ended;
    }
    FeedPart part{from, {}, ended};
    for (auto index = from; index < told->records.size(); ++index) part.records.push_back(told->records[index]);
    co_return part;
  }

  Task<Result<std::string>> trace(std::string rollout) override {
    if (refusal) co_return *refusal;
    if (find(rollout) == nullptr) co_return no_such(rollout);
    co_return known_trace;
  }
  Task<Result<std::string>> desired(std::string service) override {
    if (service != "web") co_return Failure{Errc::not_found, "no service '" + service + "'"};
    co_return "shiftd-desired 1\nservice web\nat 1700000000\nhost web1 abc\n";
  }

  Task<Result<std::string>> history(std::string service) override {
    if (refusal) co_return *refusal;
    if (service != "web") co_return Failure{Errc::not_found, "no service '" + service + "'"};
    co_return known_trace;
  }
  std::string known_trace = "shiftd-trace 2\n";

  [[nodiscard]] DaemonStats stats() const override {
    DaemonStats stats;
    for (const auto& told : told_) {
      ++stats.started;
      stats.records += told.records.size();
      switch (told.status.rollout.outcome) {
        case Outcome::none: ++(told.status.rollout.phase == Phase::quarantined ? stats.quarantined : stats.running); break;
        case Outcome::succeeded: ++stats.succeeded; break;
        case Outcome::rolled_back: ++stats.rolled_back; break;
        case Outcome::failed: ++stats.failed; break;
        case Outcome::aborted: ++stats.aborted; break;
      }
    }
    return stats;
  }
  [[nodiscard]] std::vector<RunningRollout> running() const override {
    std::vector<RunningRollout> list;
    for (const auto& told : told_) {
      if (told.status.rollout.phase != Phase::ended) list.push_back({told.status.rollout, told.status.live});
    }
    return list;
  }
  [[nodiscard]] Result<void> ready() const override { return readiness; }

 private:
  struct Told {
    RolloutStatus status;
    Codec codec;
    std::vector<std::string> records;
  };

  Told* find(const std::string& rollout) {
    for (auto& told : told_) {
      if (told.status.rollout.request.rollout == rollout) return &told;
    }
    return nullptr;
  }
  Told& told_of(const std::string& rollout) {
    if (auto* told = find(rollout)) return *told;
    told_.emplace_back().status.rollout.request.rollout = rollout;
    return told_.back();
  }
  static Failure no_such(const std::string& rollout) { return {Errc::not_found, "no rollout '" + rollout + "'"}; }
  static HostIndex host_index(const Rollout& rollout, const std::string& name) {
    for (HostIndex host = 0; host < rollout.plan.hosts.size(); ++host) {
      if (rollout.plan.hosts[host].name == name) return host;
    }
    return static_cast<HostIndex>(rollout.plan.hosts.size());
  }
  Task<Result<void>> change() {
    boost::system::error_code ignored;
    co_await changed_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    co_return Result<void>{};
  }

  Clock& clock_;
  boost::asio::steady_timer changed_;
  std::list<Told> told_;  // in the order in which they began
};

}  // namespace shiftd
