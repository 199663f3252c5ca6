#pragma once

// Private to the engine: the arithmetic of shares, stages and capacity, from the fleet as it was found to a plan, or to
// the sum that forbids it.
//
// Weights steer requests under round robin: a member of weight w in a pool whose weights sum to W serves w/W of its
// requests. Relative to normal (original weight b of sum B), a host at full weight carries B/W of its load. So "no host
// above max_load" is the one condition W >= B / max_load, for every set of hosts that may be out.

#include <string>
#include <vector>

#include "daemon/engine/plan.hpp"

namespace shiftd {

// Makes one plan. The parts run in the order of make(), each on what those before it left in `plan_`.
class Planning {
 public:
  Planning(Request request, Strategy strategy, const Fleet& fleet) : fleet_(fleet) {
    plan_.request = std::move(request);
    plan_.strategy = std::move(strategy);
  }

  Result<Plan> make();

 private:
  // planning_scale.cpp
  void set_scale(const StageSpec& first, std::uint32_t upgraded);
  [[nodiscard]] int scale_for(const StageSpec& first, PoolIndex pool, std::uint32_t upgraded) const;

  // planning_fleet.cpp
  Result<void> take_fleet();
  [[nodiscard]] Result<void> check_names() const;
  Result<void> order_hosts();
  [[nodiscard]] Result<void> check_members() const;

  // planning_bounds.cpp
  void sum_weights();
  Result<void> set_bounds();
  void set_threshold(PoolIndex pool);
  Result<void> set_batch();
  // Fails when a set of hosts that may stand while the stage is reached would overload the others.
  [[nodiscard]] Result<void> check_load(const PlannedStage& stage, std::uint32_t upgraded, std::uint32_t upgraded_before) const;

  // planning.cpp
  Result<void> set_stages();
  [[nodiscard]] Result<std::uint32_t> canary_count() const;
  [[nodiscard]] std::uint32_t hosts_within(BasisPoints share, std::uint32_t least) const;
  [[nodiscard]] double factor_for(double share, PoolIndex pool, std::uint32_t upgraded) const;
  [[nodiscard]] std::vector<double> shares_of(const PlannedStage& stage, std::uint32_t upgraded) const;
  [[nodiscard]] Result<std::vector<StageSpec>> asked_stages() const;
  [[nodiscard]] PlannedStage stage_with(const StageSpec& spec, std::uint32_t upgraded) const;
  void add_stage(PlannedStage stage);
  [[nodiscard]] bool comes_out_equal(const PlannedStage& a, const PlannedStage& b) const;
  void keep_a_baseline();
  void note_drains();
  void note_writes();

  [[nodiscard]] std::int64_t upgraded_weight(PoolIndex pool, std::uint32_t upgraded) const { return prefix_[pool][upgraded]; }

  const Fleet& fleet_;
  Plan plan_;
  std::uint32_t to_upgrade_ = 0;
  std::uint32_t serving_to_upgrade_ = 0;           // of them: they come first, the hosts out of their pools after them
  std::uint32_t serving_outside_ = 0;              // serve, and stay on what they run
  std::uint32_t already_ = 0;                      // serve the release already
  std::vector<std::vector<std::int64_t>> prefix_;  // by pool: weight of the first n hosts to upgrade
  std::vector<std::int64_t> already_weight_;       // by pool
  std::vector<std::int64_t> heaviest_;             // by pool: weight of its heaviest serving member
};

// "1 host", "3 hosts"
std::string hosts_word(std::size_t count);
// A load relative to normal: "1.25"
std::string times(double load);

}  // namespace shiftd
