#pragma once

// What must hold, judged on the true state of the world. One function each, named after its promise; the first that is
// broken stops the run.
//
// Attribution: what others broke is not held against us. Where we act on what we saw, we are judged on any state of the
// world not older than World::view_age(): what changed since cannot be known.

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/engine/codec.hpp"
#include "tests/simulator/world.hpp"

namespace shiftd::simulator {

// How often each host and rollout went from one phase to another.
struct Transitions {
  std::array<std::array<std::uint64_t, host_phases>, host_phases> hosts{};
  std::array<std::array<std::uint64_t, rollout_phases>, rollout_phases> rollouts{};
};

class Checkers final : public Witness {
 public:
  explicit Checkers(World& world) : world_(world) {}

  void wrote(std::size_t pool, std::size_t member, const Setting& before, bool late) override;
  void swaps(std::size_t host, const std::string& digest, const std::string& job) override;
  void saved(const std::string& rollout, const std::vector<std::string>& records) override;

  // What a person was answered who asked for one.
  void a_roll_back_is_always_accepted(const std::string& rollout, const Result<void>& answer);
  // The fold of what is on the disk is what the daemon has in mind.
  void the_fold_equals_the_live_state(const Rollout& live);
  void at_most_one_rollout_acts();
  // At the end, in a world where nothing has gone wrong for long.
  void stragglers_come_back();
  // Whether a host is out that a rollout which succeeded has left so, and nobody has changed since.
  [[nodiscard]] bool leaves_stragglers() const { return !stragglers().empty(); }
  // No rollout of this run is under way.
  [[nodiscard]] bool all_ended() const;

  struct Kept {
    Codec codec;
    Rollout rollout;
    // Where what is planned is in the world, and what its pools carried when it was planned.
    struct Place {
      std::size_t pool = 0;
      std::size_t member = 0;
    };
    struct Usual {
      std::int64_t weight = 0;
      std::int64_t heaviest = 0;
      std::int64_t serving = 0;
    };
    std::vector<Place> places;                   // by the plan's members
    std::vector<std::size_t> hosts;              // by the plan's hosts
    std::vector<Usual> usual;                    // by the world's pools
    std::map<std::size_t, std::string> swapped;  // by host: the digest that this rollout last swapped in
    std::set<std::size_t> handed_back;           // since then
    bool some_handed_back = false;               // ever
    bool weights_adopted = false;                // a person has left one at another weight than was planned
    bool some_had_it = false;                    // hosts that had the release when it was planned
    Steady stage_since{};
    double stage_served = 0;
    double judged_served = 0;  // requests that the release answered in judged stages of some length
    bool condemned_by_us = false;
    bool rolled_back = false;  // or on its way
    bool doubted = false;      // it was held by a doubt until it was rolled back

    // The plan's member that is this one in the world, if it is in the plan.
    [[nodiscard]] std::optional<MemberIndex> planned_as(std::size_t pool, std::size_t member) const;
  };
  std::map<std::string, Kept> rollouts;
  Transitions transitions;
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;

 private:
  bool leaves_no_trace(std::size_t pool, std::size_t member, const Setting& before);
  void never_overwrites_what_others_changed(std::size_t pool, std::size_t member, const Setting& before);
  void never_repools_what_was_found_out(std::size_t pool, std::size_t member);
  void never_puts_back_a_former_release(const Kept& kept, std::size_t pool, std::size_t member);
  void never_exceeds_the_original_weight(std::size_t pool, std::size_t member);
  void never_exceeds_the_share_of_its_stage(const Kept& kept, std::size_t pool, std::size_t member, const Setting& before);
  [[nodiscard]] bool seems_well(const Kept& kept, const Pool& pool, const Member& member) const;
  static bool seen_to_err(const Kept& kept, std::size_t host);
  void never_writes_to_a_closed_pool(const Kept& kept, std::size_t pool, std::size_t member, const Setting& before);
  void never_undercuts_the_bounds(const Kept& kept, std::size_t pool, std::size_t member, const Setting& before);
  void never_swaps_a_host_in_traffic(const Kept& kept, std::size_t host);
  void never_swaps_an_undrained_host(const Kept& kept, std::size_t host);
  void never_swaps_twice(Kept& kept, std::size_t host, const std::string& digest, const std::string& job);
  void never_passes_a_stage_blindly(const Kept& kept);
  void never_passes_a_stage_at_another_share(const Kept& kept);
  void every_member_is_accounted_for(const Kept& kept);
  void every_host_is_on_a_known_release(const Kept& kept);
  void leaves_nobody_at_a_lowered_weight(const Kept& kept);
  void every_end_says_why(const Kept& kept);
  void a_good_release_in_a_calm_world_succeeds(const Kept& kept);
  void a_bad_release_does_not_succeed(const Kept& kept);
  void a_bad_release_in_a_calm_world_is_condemned(const Kept& kept);
  void a_bad_release_harms_fewer_users_than_without_us(const Kept& kept);

  void apply_fact(Kept& kept, const Record& record);
  void note_plan(Kept& kept);
  Kept* acting();
  // By host, the newest rollout that was to upgrade it, where that left it out.
  [[nodiscard]] std::map<std::size_t, const Kept*> stragglers() const;
  // What the pool's weights are multiplied by, for now.
  [[nodiscard]] int scale_of(const Kept* kept, const Pool& pool) const;
  // Requests that the release of the rollout has answered so far.
  [[nodiscard]] double served_by_its_release(const Kept& kept) const;
  // Nothing went wrong, and nobody else did anything.
  [[nodiscard]] bool calm() const;
  [[nodiscard]] bool named(const Kept& kept, const std::string& host) const;

  World& world_;
};

}  // namespace shiftd::simulator
