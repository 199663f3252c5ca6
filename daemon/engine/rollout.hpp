#pragma once

// A rollout is a value: the fold of its records. Nothing here decides; see decide.hpp.

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/engine/plan.hpp"

namespace shiftd {

// Names one effect of a rollout. 0 is none; a later effect has a greater id.
using EffectId = std::uint64_t;

enum class Phase : std::uint8_t {
  queued,        // asked for, and waiting for another rollout to let go of its hosts
  shifting,      // bringing the stage's hosts to the release
  baking,        // all of the stage's hosts serve: watching
  gated,         // waiting for a person's `promote`
  finishing,     // every stage has passed: stragglers are taken out
  rolling_back,  // putting everything back
  aborting,      // starting nothing more; what is on its way is finished
  ended,
  quarantined,  // an invariant was broken here: nothing is done any more
};
inline constexpr std::size_t rollout_phases = 9;

enum class HostPhase : std::uint8_t {
  pooled_old,       // serves as it was found
  preparing,        // the code is brought to it while it serves
  ready,            // prepared, still serves as it was found
  quiescing,        // at the least weight, where leaving cuts connections: they are waited for
  depooling,        // to leave its pools; not yet shown by every view
  draining,         // out of its pools; its last requests are finishing
  upgrading,        // the release is swapped in and restarted
  verifying,        // its own checks, and the proof that the new release answers
  awaiting_health,  // the load balancers' checks have to pass while it is still out
  joining,          // to enter its pools with its stage's weight; not yet shown by every view
  serving_new,      // upgraded, takes traffic
  requiescing,      // as quiescing, on the way back
  withdrawing,      // to leave its pools again
  emptying,         // out again; its last requests are finishing
  reverting,        // its own former release is swapped back and restarted
  reverifying,      // checks on the former release
  rejoining,        // its originals are written back; not yet shown by every view
  restored,         // serves as it was found, and is not tried again
  straggler,        // cannot be upgraded; serves as it was found until the rollout ends
  out,              // stays out of its pools and needs a person
  left,             // somebody else has changed it: theirs, not touched
};
inline constexpr std::size_t host_phases = 21;

enum class Outcome : std::uint8_t { none, succeeded, rolled_back, failed, aborted };

enum class Holder : std::uint8_t {
  untouched,  // nobody has changed it since the plan
  ours,
  theirs,  // somebody else has: never overwritten until `release-hold` or `take`
};

std::string_view to_string(Phase phase);
std::string_view to_string(HostPhase phase);
std::string_view to_string(Outcome outcome);
std::string_view to_string(Role role);

struct HostState {
  HostPhase phase = HostPhase::pooled_old;
  Instant since;        // when it entered the phase
  EffectId effect = 0;  // the step under way, if the phase has one
  bool prepared = false;
  bool swapped = false;           // the release may be on it: from the swap's start to the end of a proven revert
  bool failed = false;            // counts against max_failed
  bool empty = false;             // drained, and kept so for the grace
  bool put_back = false;          // its load balancer forgot since that it is out, and what it gave to it may go on
  bool erring = false;            // in traffic, and answers mostly with failures: no capacity
  std::uint32_t down = 0;         // members that are
  std::uint32_t unconfirmed = 0;  // members whose wanted setting is not yet shown by every view
  std::string why;                // of the last move, when there is something to say
  Instant joined;                 // when it began to serve the release
  std::string key;                // the fingerprint of the key that shiftd last logged in there with
  std::string rendered;           // the digest of the release's configuration files as they were rendered for it

  bool operator==(const HostState&) const = default;
};

struct MemberState {
  Holder holder = Holder::untouched;
  Setting wanted;        // what we last decided
  Instant wanted_at{};   // when
  bool verbatim = true;  // wanted is the original, to be written byte for byte
  // The plan's; or, after a `release-hold`, what the person left. Without bytes when somebody changed other fields of it:
  // then only the setting is written back.
  Observed original;
  Observed known;       // what the store held when we last knew
  std::string past;     // the revision that this replaced: however late it is told, nobody has made it so again
  EffectId effect = 0;  // the write under way
  // What writes asked for that were superseded before their results were known: such a write may still land, and is no
  // foreign change. Settled by the next write of ours that succeeds.
  std::vector<Setting> unsettled;
  bool confirmed = true;
  bool blind = false;        // confirmed, but for a load balancer that cannot tell
  bool down = false;         // a load balancer's check fails: no capacity in its pool
  bool missed = false;       // what the write under way takes away, others have to carry: that they can is asked again as it is sent
  std::uint32_t queued = 0;  // writes to its pool that were under way when its own was last asked for, itself included

  bool operator==(const MemberState&) const = default;
};

// What flows in one pool now, by what we decided and were told. Kept, not recomputed.
struct PoolFlow {
  std::int64_t flow = 0;      // sum of the present weights of members in traffic
  std::int64_t canary = 0;    // of that, on the release
  std::int64_t capacity = 0;  // sum of the original weights of members in traffic
  std::int64_t serving = 0;   // members in traffic
  // Of flow and capacity, what erring hosts have.
  std::int64_t erring_flow = 0;
  std::int64_t erring_capacity = 0;

  [[nodiscard]] std::int64_t well() const { return flow - erring_flow; }
  void add(const PoolFlow& other, int sign);
  bool operator==(const PoolFlow&) const = default;
};

struct Rollout {
  Request request;
  Plan plan;  // empty while queued
  Phase phase = Phase::queued;
  StageIndex stage = 0;
  Instant stage_since;
  Instant bake_until;
  bool paused = false;
  bool condemned = false;   // the verdict spoke against the release: what serves it is harming users
  bool shrunk = false;      // no counters for too long: the canary is at its least weight
  bool forced = false;      // a person has hosts reverted that not every load balancer shows out of traffic
  bool watched = false;     // the hosts' history is as long as the plan wants it, or a person does not want to wait
  bool overridden = false;  // a person lets it go on to its next bake in place of the evidence
  int scale = 1;            // what weights are multiplied by now, each pool's at most by its own scale
  Instant scaled;           // when that last changed
  Instant resumed;          // when it was last resumed: patience with the load balancers begins again
  std::string held;         // why nothing moves though nobody paused it; empty: not held
  Outcome outcome = Outcome::none;
  std::string reason;  // of the roll back, the abort, the pause or the end

  std::vector<HostState> hosts;                // as in plan.hosts
  std::vector<MemberState> members;            // as in plan.members
  std::map<std::string, std::string> lost;     // sources that cannot be told: name, why
  std::map<PoolIndex, std::string> closed;     // pools to which nothing may be written now: why
  std::vector<DepoolThreshold> thresholds;     // as in plan.pools: the strictest that their views last said
  Instant opened;                              // since no pool is closed, or no source silent, any more: patience begins again
  bool weights_due = false;                    // canary weights wait for their pool to be open, or for a lost canary to leave
  std::map<PoolIndex, std::string> share_off;  // pools whose served share is not what the weights give: the figures
  std::set<std::string> ignored;               // metrics that a person took out of the verdict
  Instant blind_since;                         // when the front end's counters were lost

  std::uint64_t records = 0;  // folded so far: the next record's number
  EffectId next_effect = 1;
  Instant created;
  Instant now;  // of the last record

  // Kept sums, so that one host's event costs the same in a fleet of ten and of ten thousand.
  std::array<std::uint32_t, host_phases> count{};  // hosts to upgrade, by phase
  std::uint32_t failed = 0;
  std::uint32_t already_serving = 0;
  std::uint32_t outside_serving = 0;   // hosts that serve and are not asked to be upgraded
  std::uint32_t without_traffic = 0;   // hosts to upgrade that were found out of their pools
  std::uint32_t unconfirmed = 0;       // hosts with unconfirmed members
  std::uint32_t settling = 0;          // of those, the ones with nothing else under way
  std::vector<PoolFlow> flows;         // as in plan.pools
  std::vector<std::uint32_t> writing;  // as in plan.pools: writes under way
  std::set<HostIndex> moving;          // hosts with something under way
  std::set<HostIndex> upgraded;        // hosts in serving_new
  std::set<HostIndex> lost_canaries;   // hosts that somebody took with the release on them, until they are out of their pools
  std::set<HostIndex> failing;         // of `upgraded`, the ones that have failed and could not leave yet
  std::set<HostIndex> had_it;          // hosts to upgrade that were found to have the release already: not swapped, nor compared with
  HostIndex next_prepare = 0;          // no host before it waits for its preparation
  HostIndex next_start = 0;            // no host before it waits for its turn

  [[nodiscard]] std::uint32_t in(HostPhase wanted_phase) const { return count[static_cast<std::size_t>(wanted_phase)]; }
  [[nodiscard]] bool active() const { return phase != Phase::queued && phase != Phase::ended && phase != Phase::quarantined; }
  [[nodiscard]] bool rolling() const { return phase == Phase::shifting || phase == Phase::baking || phase == Phase::gated; }
  // Hosts on the release that serve, those found there included.
  [[nodiscard]] std::uint32_t serving_new() const { return in(HostPhase::serving_new) + already_serving; }
  // Whether a host goes on only when the load balancers show what it waits for, and not by what is done on it.
  [[nodiscard]] bool waits_for_views() const;
  // Hosts taken out of traffic, or about to be, that will come back upgraded.
  [[nodiscard]] std::uint32_t in_flight() const;
  // Hosts that serve what they were found with: what a canary is compared with.
  [[nodiscard]] std::uint32_t baseline() const;
  // Whether a host that waits for its turn is among the next.
  [[nodiscard]] bool turn_is_near(HostIndex host) const { return host < next_start + plan.near_turn(); }
  [[nodiscard]] const PlannedStage& current_stage() const { return plan.stages.at(stage); }

  bool operator==(const Rollout&) const = default;
};

// What the member is at now, as far as we know: what a person made of it, or what we last decided.
Setting present(const MemberState& member);
// What it adds to the flow of its pool at that setting. In the sums is who is in traffic.
PoolFlow carried(const Rollout& rollout, MemberIndex member, Setting setting);

// Whether the host is in its pools as far as we decide: what it carries counts as capacity.
bool in_traffic(HostPhase phase);
// Whether something of ours is under way for the host.
bool is_moving(HostPhase phase);

}  // namespace shiftd
