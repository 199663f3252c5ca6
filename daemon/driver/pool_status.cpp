#include "daemon/driver/pool_status.hpp"

#include <map>
#include <utility>

#include <boost/asio/this_coro.hpp>

#include "daemon/engine/release_on.hpp"
#include "daemon/io/task_group.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

// What was answered about one pool.
struct Answers {
  Result<PoolReading> store = Failure{Errc::unreachable, "not asked"};
  std::vector<Result<ViewReading>> views;
};

Task<> ask_store(Clock& clock, Service& service, std::size_t pool, Answers& answers) {
  auto limit = service.pace.call_limit;
  answers.store = co_await within(clock, limit, service.pools[pool].store->read());
}

Task<> ask_view(Clock& clock, Service& service, std::size_t pool, std::size_t view, Answers& answers) {
  auto limit = service.pace.call_limit;
  answers.views[view] = co_await within(clock, limit, service.pools[pool].views[view]->read());
}

// Whose hands the members of a pool are in. Taken before anything is asked: the rollout may have gone by then.
struct Hand {
  std::string host;
  std::string holder;
  Observed original;
};
using Hands = std::map<std::string, Hand>;

Hands hands_on(const Service& service, std::size_t pool, const Rollout* rollout) {
  Hands hands;
  for (const auto& host : service.hosts) {
    for (const auto& [where, name] : host.members) {
      if (where == pool) hands[name].host = host.place.name;
    }
  }
  if (rollout == nullptr) return hands;
  for (std::size_t index = 0; index < rollout->members.size(); ++index) {
    const auto& planned = rollout->plan.members[index];
    if (rollout->plan.pools[planned.pool].name != service.pools[pool].store->name()) continue;
    const auto& member = rollout->members[index];
    auto& hand = hands[planned.name];
    hand.holder = to_string(member.holder);
    hand.original = member.original;
  }
  return hands;
}

// The hosts that nobody has named yet and that the next plan would find here.
void name_found_hosts(const Service& service, const std::vector<Answers>& answers, std::vector<Hands>& hands) {
  if (!service.found || !answers[service.found->pool].store) return;
  for (const auto& member : answers[service.found->pool].store->members) {
    auto name = service.found->host_of(member.name);
    auto host = name ? service.found->make(*name) : Failure{Errc::not_found, member.name};
    if (!host) continue;
    for (const auto& [pool, in_pool] : host->members) {
      if (answers[pool].store && answers[pool].store->find(in_pool) != nullptr) hands[pool][in_pool].host = *name;
    }
  }
}

PoolStatus status_of(const ServicePool& pool, const Answers& answers, Hands hands) {
  PoolStatus status;
  status.pool = pool.store->name();
  for (std::size_t view = 0; view < pool.views.size(); ++view) {
    const auto& answer = answers.views[view];
    status.views.push_back(
        {pool.views[view]->name(), answer ? "" : answer.error().what, answer ? answer->closed : std::vector<std::string>()});
  }
  if (!answers.store) status.trouble = answers.store.error().what;

  auto add = [&](const std::string& name, const PoolReading::Member* read) {
    PoolMemberStatus member;
    auto& hand = hands[name];
    member.member = name;
    member.host = hand.host;
    member.holder = hand.holder;
    member.original = hand.original;
    member.missing = read == nullptr && answers.store.has_value();
    if (read != nullptr) member.observed = read->observed;
    if (read != nullptr) member.malformed = read->malformed;
    for (std::size_t view = 0; view < pool.views.size(); ++view) {
      const auto& answer = answers.views[view];
      MemberView seen;
      if (answer) seen = answer->of(name);
      if (!answer) seen.why = answer.error().what;
      if (read != nullptr && read->malformed.empty()) {
        auto drift = drift_of(read->observed.setting, pool.views[view]->name(), seen);
        if (!drift.empty()) member.drift.push_back(std::move(drift));
      }
      member.views.push_back(std::move(seen));
    }
    bool is_original = read != nullptr && (hand.original.bytes.empty() ? read->observed.setting == hand.original.setting
                                                                       : read->observed.bytes == hand.original.bytes);
    if (!hand.holder.empty() && !is_original) member.restore = pool.store->restore_command(name, hand.original);
    status.members.push_back(std::move(member));
  };
  if (answers.store) {
    for (const auto& read : answers.store->members) add(read.name, &read);
  }
  // What the service or its rollout knows and the store did not name.
  auto known = hands;
  for (const auto& [name, hand] : known) {
    if (!answers.store || answers.store->find(name) == nullptr) add(name, nullptr);
  }
  return status;
}

}  // namespace

std::string drift_of(const Setting& holds, const std::string& view_name, const MemberView& view) {
  if (view.taken_up) return *view.taken_up == holds ? "" : view_name + " has taken up " + to_string(*view.taken_up);
  if (view.traffic == Traffic::cannot_tell || view.health == Health::down) return "";
  bool in = holds.pooled == Pooled::yes;
  bool flows = view.traffic == Traffic::flowing;
  if (!in && flows) return view_name + " still sends it requests";
  if (in && !flows) return view_name + " sends it nothing";
  if (in && view.weight != holds.weight) return view_name + " gives it weight " + std::to_string(view.weight);
  return "";
}

Task<std::vector<PoolStatus>> look_at_pools(Clock& clock, Service& service, const Rollout* rollout) {
  std::vector<Answers> answers(service.pools.size());
  std::vector<Hands> hands;
  auto id = rollout == nullptr ? std::string() : rollout->request.rollout;
  for (std::size_t pool = 0; pool < service.pools.size(); ++pool) hands.push_back(hands_on(service, pool, rollout));
  TaskGroup asking(co_await boost::asio::this_coro::executor);
  for (std::size_t pool = 0; pool < service.pools.size(); ++pool) {
    const auto views = service.pools[pool].views.size();
    for (std::size_t view = 0; view < views; ++view) answers[pool].views.emplace_back(Failure{Errc::unreachable, "not asked"});
    asking.start("store", ask_store(clock, service, pool, answers[pool]));
    for (std::size_t view = 0; view < views; ++view) asking.start("view", ask_view(clock, service, pool, view, answers[pool]));
  }
  co_await asking.join();
  name_found_hosts(service, answers, hands);
  std::vector<PoolStatus> all;
  for (std::size_t pool = 0; pool < service.pools.size(); ++pool) {
    all.push_back(status_of(service.pools[pool], answers[pool], std::move(hands[pool])));
    if (!id.empty()) all.back().rollout = id;
  }
  co_return all;
}

}  // namespace shiftd
