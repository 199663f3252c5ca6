#include "daemon/driver/idle_counts.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "daemon/driver/history.hpp"
#include "daemon/io/log.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

class IdleCounts {
 public:
  IdleCounts(Clock& clock, Journal& journal, Service& service)
      : clock_(clock), journal_(journal), service_(service), members_(service.pools.size()) {}

  // What a rollout has counted meanwhile is its own: the next poll only tells where the counters stand.
  void interrupted() { known_ = false; }

  Task<> once() {
    auto counted = co_await poll();
    if (!counted) {
      known_ = false;
      co_return note(counted.error().what);
    }
    bool covers_one_pace = std::exchange(known_, true) && !*counted;
    if (!covers_one_pace) co_return note({});
    CountsPoint point{clock_.wall(), counts_.dump()};
    auto kept = co_await journal_.add_counts(service_.name, std::move(point), kept_history(service_));
    note(kept ? std::string() : kept.error().what);
  }

 private:
  // A service's hosts are only ever added to.
  void learn_hosts() {
    for (; hosts_known_ < service_.hosts.size(); ++hosts_known_) {
      const auto& host = service_.hosts[hosts_known_];
      for (const auto& [pool, member] : host.members) members_.at(pool).emplace(member, host.place.name);
    }
  }

  // True: a first reading, of which every count is 0 and means nothing.
  Task<Result<bool>> poll() {
    struct Polling {
      explicit Polling(bool& flag) : flag_(flag) { flag_ = true; }
      ~Polling() { flag_ = false; }
      Polling(const Polling&) = delete;
      Polling& operator=(const Polling&) = delete;
      bool& flag_;
    } polling(service_.polling);

    learn_hosts();
    bool first = false;
    std::map<std::string, HostBlock> sums;
    for (std::size_t pool = 0; pool < service_.pools.size(); ++pool) {
      auto* front_end = service_.pools[pool].front_end.get();
      if (front_end == nullptr) continue;
      auto reading = co_await within(clock_, service_.pace.call_limit, front_end->poll());
      if (!reading) co_return std::move(reading).error().during(front_end->name());
      first = first || reading->first;
      for (const auto& counts : reading->hosts) {
        auto found = members_[pool].find(counts.member);
        if (found == members_[pool].end()) continue;
        sums[found->second].requests += static_cast<double>(counts.requests);
        sums[found->second].failures += static_cast<double>(std::min(counts.failures, counts.requests));
      }
    }
    counts_ = nlohmann::json::object();
    for (const auto& [host, sum] : sums)
      counts_[host] = {static_cast<std::uint64_t>(sum.requests), static_cast<std::uint64_t>(sum.failures)};
    co_return first;
  }

  void note(const std::string& trouble) {
    if (trouble == trouble_) return;
    trouble_ = trouble;
    if (!trouble.empty()) log::warning("service {}: its hosts' history is not kept: {}", service_.name, trouble);
    if (trouble.empty()) log::info("service {}: its hosts' history is kept again", service_.name);
  }

  Clock& clock_;
  Journal& journal_;
  Service& service_;
  std::vector<std::map<std::string, std::string, std::less<>>> members_;  // by pool: the host by its name in the pool
  std::size_t hosts_known_ = 0;
  nlohmann::json counts_;
  bool known_ = false;  // where the counters stood one pace ago
  std::string trouble_;
};

}  // namespace

Task<> count_between_rollouts(Clock& clock, Journal& journal, Service& service, std::function<bool()> rollout_counts) {
  auto counts = [](const ServicePool& pool) { return pool.front_end != nullptr; };
  if (std::none_of(service.pools.begin(), service.pools.end(), counts)) co_return;
  IdleCounts idle(clock, journal, service);
  while (true) {
    if (rollout_counts()) {
      idle.interrupted();
    } else {
      co_await idle.once();
    }
    co_await clock.sleep_for(service.pace.checkpoint);
  }
}

}  // namespace shiftd
