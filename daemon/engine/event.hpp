#pragma once

// What the world can say to a rollout.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "daemon/engine/rollout.hpp"

namespace shiftd {

// What the required load balancers show of one member, taken together: traffic and weights by those that can tell.
struct Shown {
  Traffic traffic = Traffic::cannot_tell;  // the worst for somebody who wants it out: flowing anywhere is flowing; nobody can tell
  bool flows_everywhere = false;
  Health health = Health::unknown;  // the worst
  int weight = 0;                   // the greatest
  std::string why;                  // why one cannot tell; empty: all can
  int weight_least = 0;             // the least

  // Somebody cannot tell: the above is not the whole truth.
  [[nodiscard]] bool blind() const { return traffic == Traffic::cannot_tell || !why.empty(); }

  bool operator==(const Shown&) const = default;
};
Shown shown_by(const std::vector<MemberView>& views);

// The fleet was found and a plan made, or the reason why not.
struct PlanMade {
  Plan plan;
};
struct PlanRefused {
  std::string why;
};
// Time has passed. Sent about once a second.
struct Tick {};
// The wall clock jumped; rollout time did not follow.
struct TimeJumped {
  Duration by{0};
};

// A step of a host (prepare, await_idle, prove_idle, upgrade, verify, revert) has ended well. `members` is what their load balancers show
// at that moment, when the driver knows: one for each of the host's members.
struct StepDone {
  HostIndex host = 0;
  EffectId effect = 0;
  std::vector<Shown> members;
  std::string note = {};      // what people should know of how it ended well; prepared: the release that was found
  std::string key = {};       // the fingerprint of the key that shiftd logged in with; empty: unknown, or it did not
  std::string rendered = {};  // prepared: the digest of the configuration's files as they were rendered for this host
};
struct StepFailed {
  HostIndex host = 0;
  EffectId effect = 0;
  std::string why;
  std::string found = {};  // not prepared: the release on the host, where that is why
};
// A check of a host that serves the release fails, though every attempt was made.
struct CheckFailed {
  HostIndex host = 0;
  std::string why;
};

// What the required views show of the host's members now, one for each.
struct HostSeen {
  HostIndex host = 0;
  std::vector<Shown> members;
};
// `by_another`: it was found so already, and no attempt of ours can have made it so.
struct MemberWritten {
  MemberIndex member = 0;
  EffectId effect = 0;
  Observed observed;
  bool by_another = false;
};
// The member is not as we last knew it. `effect`: the write that found it so and did not write; 0: the watch found it.
struct MemberChanged {
  MemberIndex member = 0;
  EffectId effect = 0;
  Observed observed;
};
// A pool store lost its memory (a restart, a reload); what it holds now.
struct StoreForgot {
  PoolIndex pool = 0;
  std::vector<std::pair<MemberIndex, Observed>> members;
};

// A pool store, a view or the front end ("front end") does not answer, or answers again.
struct SourceSilent {
  std::string source;
  std::string why;
};
struct SourceAnswers {
  std::string source;
};

// The load balancers say that nothing may be written to the pool now, and why; or that it may again.
struct PoolCloses {
  PoolIndex pool = 0;
  std::string why;
};
struct PoolOpens {
  PoolIndex pool = 0;
};

// The strictest threshold that the pool's views say now.
struct ThresholdSeen {
  PoolIndex pool = 0;
  DepoolThreshold threshold;
};

// What a pool's front end has counted since the weights there last changed, older counts weighing less; and since it
// last counted a request for a host on the release.
struct Served {
  PoolIndex pool = 0;
  double canary = 0;  // requests to hosts on the release
  double all = 0;
  Duration without{0};
  double all_without = 0;
};

// What the front end has counted of late for one host that is in traffic on one release, older counts weighing less.
struct Answered {
  HostIndex host = 0;
  double requests = 0;
  double failures = 0;  // of those, answered with 5xx or not at all
};
// Whether such a host answers mostly with failures; `known`: whether it did when that was last decided. It begins with more
// than half, ends with less than a quarter, and with too few requests nothing changes.
bool errs(double requests, double failures, bool known);

// The canary analysis spoke. Its call counts only for the stage that it watched. With keep_watching, `evidence` says what is
// missing once the bake is over.
enum class Judgement : std::uint8_t { keep_watching, promote, roll_back };
struct Judged {
  StageIndex stage = 0;
  Judgement call = Judgement::keep_watching;
  std::string evidence;
};

// So much of the hosts' history is known by now.
struct HistoryGrew {
  Duration known{0};
};

enum class Verb : std::uint8_t { pause, resume, promote, roll_back, abort, release_hold, take, ignore_metric };
std::string_view to_string(Verb verb);

// A person's word. `host` is for release_hold and take; `instead_of_verdict` for promote; `instead_of_views` for roll_back:
// hosts are reverted though a load balancer cannot tell whether they are out of traffic; `metric` for ignore_metric. The
// last three need a reason.
struct Command {
  Verb verb = Verb::pause;
  HostIndex host = 0;
  std::string by;
  std::string reason;
  bool instead_of_verdict = false;
  bool instead_of_views = false;
  std::string metric = {};
};

using Event = std::variant<PlanMade, PlanRefused, Tick, TimeJumped, StepDone, StepFailed, CheckFailed, HostSeen, MemberWritten,
                           MemberChanged, StoreForgot, SourceSilent, SourceAnswers, PoolCloses, PoolOpens, ThresholdSeen, Served, Answered,
                           Judged, HistoryGrew, Command>;

}  // namespace shiftd
