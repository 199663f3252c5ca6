#pragma once

// The facts of which a rollout consists. The journal of records is the one truth: recovery, audit trail, live feed and
// time line are all this list. A record's JSON form is stable and versioned; see codec.hpp.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "daemon/engine/rollout.hpp"

namespace shiftd {

struct Requested {
  Request request;
  bool operator==(const Requested&) const = default;
};
struct Planned {
  Plan plan;
  bool operator==(const Planned&) const = default;
};
struct HostMoved {
  HostIndex host = 0;
  HostPhase phase = HostPhase::pooled_old;
  EffectId effect = 0;  // the step that the phase asks for; 0: none
  bool failed = false;  // this move is the host's failure: counts against max_failed
  std::string why;
  bool empty = false;  // its last requests have finished: it is kept so for the grace
  // Of the step that ended well, and so led here:
  std::string key = {};       // the fingerprint of the key that shiftd logged in with; empty: the one last said, or none
  std::string rendered = {};  // the digest of the configuration's files as they were rendered for this host; empty: none
  bool operator==(const HostMoved&) const = default;
};
// A load balancer's own check of a host in traffic fails, or passes again.
struct HostHealth {
  HostIndex host = 0;
  bool down = false;
  std::string why;
  bool operator==(const HostHealth&) const = default;
};
// A result that came too late to be of use; what it said is kept.
struct LateResult {
  HostIndex host = 0;
  EffectId effect = 0;
  std::string what;
  bool operator==(const LateResult&) const = default;
};
struct MemberWanted {
  MemberIndex member = 0;
  Setting setting;
  bool verbatim = false;
  EffectId effect = 0;
  bool operator==(const MemberWanted&) const = default;
};
// The store holds this: we wrote it (`effect`), or it is so without anybody having changed it (0): a late write of ours, a
// restart.
struct MemberSet {
  MemberIndex member = 0;
  EffectId effect = 0;
  Observed observed;
  bool operator==(const MemberSet&) const = default;
};
// Every required view shows the wanted setting. `blind`: one of them cannot tell, and is not waited for any more.
struct MemberConfirmed {
  MemberIndex member = 0;
  bool blind = false;
  bool operator==(const MemberConfirmed&) const = default;
};
struct MemberTaken {
  MemberIndex member = 0;
  Observed observed;
  bool operator==(const MemberTaken&) const = default;
};
struct MemberReturned {
  MemberIndex member = 0;
  bool adopted = false;  // what the person left is its original from now on
  std::string by;
  std::string reason;
  bool operator==(const MemberReturned&) const = default;
};
struct SourceLost {
  std::string source;
  std::string why;
  bool operator==(const SourceLost&) const = default;
};
struct SourceBack {
  std::string source;
  bool operator==(const SourceBack&) const = default;
};
// Nothing is written to the pool, but the traffic movement of a roll back, until it is opened.
struct PoolClosed {
  PoolIndex pool = 0;
  std::string why;
  bool operator==(const PoolClosed&) const = default;
};
struct PoolOpened {
  PoolIndex pool = 0;
  bool operator==(const PoolOpened&) const = default;
};
// Canary weights were to change while their pool was closed: they follow when it is open. Or they have followed.
struct WeightsDue {
  bool on = false;
  bool operator==(const WeightsDue&) const = default;
};
struct StageBegun {
  StageIndex stage = 0;
  bool operator==(const StageBegun&) const = default;
};
struct StageBaking {
  StageIndex stage = 0;
  Instant until;
  bool operator==(const StageBaking&) const = default;
};
struct StagePassed {
  StageIndex stage = 0;
  std::string evidence;
  bool operator==(const StagePassed&) const = default;
};
struct GateReached {
  StageIndex stage = 0;
  bool operator==(const GateReached&) const = default;
};
struct GatePassed {
  StageIndex stage = 0;
  std::string by;
  std::string reason;
  bool operator==(const GatePassed&) const = default;
};
// Nothing moves though nobody paused it: why. Empty: it moves again.
struct Held {
  std::string why;
  bool operator==(const Held&) const = default;
};
// The canary was brought to its least weight for lack of counters, or back.
struct Shrunk {
  bool on = false;
  bool operator==(const Shrunk&) const = default;
};
// A person lets the stage pass, or go on without counters, in place of the evidence.
struct Overridden {
  StageIndex stage = 0;
  std::string by;
  std::string reason;

  bool operator==(const Overridden&) const = default;
};

// A load balancer's own check of the member fails, or passes again. (`host_health` said it of a whole host.)
struct MemberHealth {
  MemberIndex member = 0;
  bool down = false;
  std::string why;

  bool operator==(const MemberHealth&) const = default;
};

// The pool's front end counts a share for the release that its weights do not give; empty: it does again.
struct ShareOff {
  PoolIndex pool = 0;
  std::string why;

  bool operator==(const ShareOff&) const = default;
};

// The host answers mostly with failures: it counts as no capacity while it is in traffic so. Or it does so no more.
struct HostErring {
  HostIndex host = 0;
  bool on = false;
  std::string why;

  bool operator==(const HostErring&) const = default;
};

// What runs on a host that could not be asked when the plan was made, or has something else than it had then.
struct ReleaseFound {
  HostIndex host = 0;
  std::string digest;  // empty: none

  bool operator==(const ReleaseFound&) const = default;
};

// The pool's load balancers keep another threshold than was known.
struct ThresholdChanged {
  PoolIndex pool = 0;
  DepoolThreshold threshold;

  bool operator==(const ThresholdChanged&) const = default;
};

// From now on the weights of the pools that the plan scales are this many times their originals, each at most by its own
// scale. 1: as they were found.
struct Scaled {
  int by = 1;

  bool operator==(const Scaled&) const = default;
};

// The hosts' history is long enough for the plan: the first of them may leave.
struct Watched {
  Duration history{0};

  bool operator==(const Watched&) const = default;
};

// A person takes one metric out of the verdict, until the rollout ends.
struct MetricIgnored {
  std::string metric;
  std::string by;
  std::string reason;

  bool operator==(const MetricIgnored&) const = default;
};

// Every stage has passed; what is left is to tidy up.
struct Finishing {
  bool operator==(const Finishing&) const = default;
};
struct Paused {
  std::string by;
  std::string reason;
  bool operator==(const Paused&) const = default;
};
struct Resumed {
  std::string by;
  bool operator==(const Resumed&) const = default;
};
struct RollingBack {
  std::string by;
  std::string reason;
  bool condemned = false;
  bool operator==(const RollingBack&) const = default;
};
// While rolling back, a person has hosts reverted though a load balancer cannot tell whether they are out of traffic.
struct Forced {
  std::string by;
  std::string reason;
  bool operator==(const Forced&) const = default;
};
struct Aborting {
  std::string by;
  std::string reason;
  bool operator==(const Aborting&) const = default;
};
struct ClockJumped {
  Duration by{0};
  bool operator==(const ClockJumped&) const = default;
};
struct Quarantined {
  std::string why;
  bool operator==(const Quarantined&) const = default;
};
struct Ended {
  Outcome outcome = Outcome::none;
  std::string reason;
  bool operator==(const Ended&) const = default;
};

using Fact =
    std::variant<Requested, Planned, HostMoved, HostHealth, LateResult, MemberWanted, MemberSet, MemberConfirmed, MemberTaken,
                 MemberReturned, SourceLost, SourceBack, StageBegun, StageBaking, StagePassed, GateReached, GatePassed, Held, Shrunk,
                 Finishing, Paused, Resumed, RollingBack, Aborting, ClockJumped, Quarantined, Ended, PoolClosed, PoolOpened, WeightsDue,
                 Scaled, Overridden, MemberHealth, ShareOff, HostErring, Forced, ThresholdChanged, Watched, MetricIgnored, ReleaseFound>;

struct Record {
  Instant at;
  Fact fact;

  bool operator==(const Record&) const = default;
};

// Bookkeeping without judgement: what the fact changes. Records of one rollout are applied in their order.
void apply(Rollout& rollout, const Record& record);

}  // namespace shiftd
