#include "daemon/config/capacity.hpp"

#include "daemon/engine/plan.hpp"

namespace shiftd {
namespace {

constexpr int assumed_weight = 100;

// Every host in every pool, on an old release, with the same weight.
Fleet equal_fleet(const ServiceConfig& service) {
  Fleet fleet;
  for (const auto& pool : service.pools) fleet.pools.push_back({name_of(pool), Capabilities{}});
  for (const auto& host : service.hosts) {
    fleet.hosts.push_back({host.name, host.address, "old"});
    for (std::size_t pool = 0; pool < service.pools.size(); ++pool) {
      MemberFound member;
      member.host = host.name;
      member.pool = fleet.pools[pool].name;
      member.name = host.members.at(pool);
      member.observed.setting = {Pooled::yes, assumed_weight};
      fleet.members.push_back(std::move(member));
    }
  }
  return fleet;
}

class CapacityCheck {
 public:
  explicit CapacityCheck(const ServiceConfig& service) : service_(service), fleet_(equal_fleet(service)) {}

  // The planner says that something cannot be done, and why. Which key is to blame is found by asking it again about
  // less: one host at a time in a single stage, then the batch alone, then one stage more each time.
  std::vector<CapacityProblem> find() {
    auto whole = refusal(service_.strategy);
    if (whole.empty()) return {};
    auto least = service_.strategy;
    least.batch = HostQuota{1, {}};
    least.stages = {{all_traffic}};
    if (auto why = refusal(least); !why.empty()) return {{key_of_bound(least), why}};
    std::vector<CapacityProblem> problems;
    auto batched = least;
    batched.batch = service_.strategy.batch;
    if (auto why = refusal(batched); !why.empty()) problems.push_back({"strategy.batch", why});
    check_stages(least, problems);
    if (problems.empty()) problems.push_back({"strategy", whole});
    return problems;
  }

 private:
  // Why there is no plan; empty when there is one.
  std::string refusal(const Strategy& strategy) {
    Request request;
    request.service = service_.name;
    request.release = {"new", "new", ""};
    auto plan = make_plan(request, strategy, fleet_);
    if (plan) return "";
    auto why = plan.error().what;
    if (auto activity = "plan " + service_.name + ": "; why.starts_with(activity)) why.erase(0, activity.size());
    return why + " (every host at weight " + std::to_string(assumed_weight) + ")";
  }

  // Which bound does not let a single host out.
  std::string key_of_bound(const Strategy& strategy) {
    auto without_floor = strategy;
    without_floor.floor.reset();
    if (strategy.floor && refusal(without_floor).empty()) return "strategy.floor";
    auto without_max_load = strategy;
    without_max_load.max_load.reset();
    if (strategy.max_load && refusal(without_max_load).empty()) return "strategy.max_load";
    return "strategy";
  }

  // The first stage that cannot be reached; those after it follow from it.
  void check_stages(Strategy strategy, std::vector<CapacityProblem>& problems) {
    const auto& stages = service_.strategy.stages;
    strategy.stages.clear();
    for (std::size_t i = 0; i < stages.size(); ++i) {
      strategy.stages.push_back(stages[i]);
      auto complete = strategy;
      if (stages[i].share < all_traffic) complete.stages.push_back({all_traffic});
      if (auto why = refusal(complete); !why.empty()) {
        problems.push_back({"strategy.stages[" + std::to_string(i) + "].share", why});
        return;
      }
    }
  }

  const ServiceConfig& service_;
  Fleet fleet_;
};

}  // namespace

std::vector<CapacityProblem> check_capacity(const ServiceConfig& service) { return CapacityCheck(service).find(); }

}  // namespace shiftd
