#pragma once

// What a rollout will do, frozen when it starts: the hosts in the order in which they are upgraded, the exact original of
// every member, the stages with the shares that integer weights can really give, and the bounds that are kept meanwhile.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/basis_points.hpp"
#include "daemon/base/time.hpp"
#include "daemon/engine/member.hpp"
#include "daemon/engine/release.hpp"
#include "daemon/engine/strategy.hpp"

namespace shiftd {

using HostIndex = std::uint32_t;
using MemberIndex = std::uint32_t;
using PoolIndex = std::uint32_t;
using StageIndex = std::uint32_t;

// Who asked for what.
struct Request {
  std::string rollout;  // id
  std::string service;
  Release release;
  std::vector<std::string> limit;  // only these hosts; empty: the whole fleet
  std::string by;
  std::string reason;
  bool no_watch = false;  // the first host may leave although its service's history is short
  bool untested = false;  // although it has not succeeded where the service wants it to have

  bool operator==(const Request&) const = default;
};

enum class Role : std::uint8_t {
  upgrade,
  already_there,  // runs the release since before the rollout; never touched
  outside,        // not in the request's limit, or out of its pools and to be skipped; stays as it is
};

struct PlannedMember {
  PoolIndex pool = 0;
  HostIndex host = 0;
  std::string name;     // in its pool
  Observed original;    // written back verbatim at the end
  std::string restore;  // the shell command that writes back what was found, without us
  // What was found, where an earlier rollout took it out and still owes it its original: that is written back once the host
  // is on the release, and not before.
  std::optional<Observed> found = {};

  // Members found out of their pool are never put into it by us, but for those that we took out.
  [[nodiscard]] bool serving() const { return !found && original.setting.pooled == Pooled::yes && original.setting.weight > 0; }
  bool operator==(const PlannedMember&) const = default;
};

struct PlannedHost {
  std::string name;
  std::string address;
  std::string digest;  // of the release found on it, to which it returns; empty: none, or not `asked`
  Role role = Role::upgrade;
  MemberIndex first_member = 0;
  std::uint32_t members = 0;
  bool asked = true;       // false: it could not be when the plan was made, and is when it is prepared
  bool returning = false;  // an earlier rollout took it out, and it is put back when it is on the release

  bool operator==(const PlannedHost&) const = default;
};

struct PlannedPool {
  std::string name;
  Capabilities capabilities;
  std::int64_t weight = 0;      // sum of the original weights of its serving members: normal traffic
  std::int64_t floor = 0;       // the least of that which must stay in traffic
  std::int64_t least_flow = 0;  // the least sum of present weights: below it some host would carry more than max_load
  std::int64_t least_flow_rollback = 0;
  std::uint32_t serving = 0;        // serving members
  std::uint32_t least_serving = 0;  // of those, what the load balancers must keep to be able to depool a failing one
  // Every serving member's weight is multiplied by this while the rollout lasts, so that a small share can be expressed;
  // the sums above are of original weights.
  int scale = 1;
  // The strictest of its load balancers' thresholds, as it was found; what least_serving was made of.
  DepoolThreshold threshold = {};
  // How many members its monitors must still be able to take out. 0 where a margin would let nobody leave.
  std::uint32_t margin = 1;

  bool operator==(const PlannedPool&) const = default;
};

struct PlannedStage {
  BasisPoints asked;
  double achievable = 0;        // the greatest share over the pools, computed from the integer weights
  std::uint32_t hosts = 0;      // hosts on the release that serve when it is reached, already_there included
  std::vector<double> factors;  // by pool: canary weights are this much of the original, rounded down; 1: full
  Duration bake{0};
  Gate gate = Gate::open;
  bool judged = true;  // false: no baseline is left to compare with; only checks and the bake count

  [[nodiscard]] bool lowered() const;
  bool operator==(const PlannedStage&) const = default;
};

struct Plan {
  Request request;
  Strategy strategy;
  std::vector<PlannedPool> pools;
  std::vector<PlannedHost> hosts;      // in the order of upgrade; already_there and outside last
  std::vector<PlannedMember> members;  // grouped by host
  std::vector<PlannedStage> stages;
  std::uint32_t batch = 1;
  std::uint32_t max_failed = 0;
  Duration watch{0};               // so much of the hosts' history has to be known before the first of them leaves
  std::vector<std::string> notes;  // what people should know before they say yes

  [[nodiscard]] std::uint32_t hosts_to_upgrade() const;
  // How many of the hosts that wait are near their turn: ten, or two batches.
  [[nodiscard]] std::uint32_t near_turn() const;
  // The greatest over the pools.
  [[nodiscard]] int scale() const;
  bool operator==(const Plan&) const = default;
};

// The weight of a canary member at a stage, its pool's scale included: never 0, never more than its original times that.
int stage_weight(const Plan& plan, const PlannedStage& stage, const PlannedMember& member);

// How much of its usual share of new connections a member keeps at the least weight, where leaving has to wait for them to
// end: 1, when lowering its weight does nothing. 0 where leaving cuts no connections.
double kept_while_leaving(const Plan& plan, const PlannedMember& member);
// From here on a host can hardly be expected to become idle under steady traffic.
inline constexpr double drains_badly = 0.1;

// How many writes to the pool a rollout that meets no trouble makes, and how long its load balancers take for them.
std::uint64_t planned_writes(const Plan& plan, PoolIndex pool);
Duration planned_write_time(const Plan& plan, PoolIndex pool);

// What the planner is given: the fleet as it was found.
struct HostFound {
  std::string name;
  std::string address;
  std::string digest;
  bool asked = true;  // false: it did not answer
};
struct MemberFound {
  std::string host;
  std::string pool;
  std::string name;
  Observed observed;
  std::string restore;                // see PlannedMember
  std::optional<Observed> owed = {};  // its original, where an earlier rollout took it out
};
struct PoolFound {
  std::string name;
  Capabilities capabilities;
  std::uint32_t strangers = 0;     // members in traffic there that belong to no host of the service
  DepoolThreshold threshold = {};  // the strictest that its views say
};
struct Fleet {
  std::vector<HostFound> hosts;
  std::vector<PoolFound> pools;
  std::vector<MemberFound> members;
};

// Fails with bad_input: what was asked cannot be done within the bounds; says which sum was done.
Result<Plan> make_plan(Request request, Strategy strategy, const Fleet& fleet);

}  // namespace shiftd
