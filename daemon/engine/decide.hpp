#pragma once

// All judgement of the engine, as pure functions.
//
//   decide(rollout, event, now)   what has happened: records
//   take_in(scratch, event, now)  decides and applies: what is known first
//   follow(scratch, now)          then what follows from it, until nothing further does: records and effects
//   outstanding(rollout)          the effects to repeat after a restart
//
// Effects are read off the state that the records lead to (effects_of), by the same function that recovery uses: what is
// performed at first and what is performed again cannot differ.

#include <string>
#include <variant>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/engine/event.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {

enum class Step : std::uint8_t { prepare, await_idle, prove_idle, upgrade, verify_new, revert, verify_old };
std::string_view to_string(Step step);

// Absolute, and may be repeated: the performer looks before it repeats.
struct HostStep {
  HostIndex host = 0;
  Step step = Step::prepare;
  bool operator==(const HostStep&) const = default;
};
struct WriteMember {
  MemberIndex member = 0;
  bool operator==(const WriteMember&) const = default;
};
struct Effect {
  EffectId id = 0;
  std::variant<HostStep, WriteMember> what;
  bool operator==(const Effect&) const = default;
};

struct Decision {
  std::vector<Record> records;
  std::vector<Effect> effects;
};

// What `event` means. Empty: nothing worth remembering.
std::vector<Record> decide(const Rollout& rollout, const Event& event, Instant now);

// What follows from the state itself: the next host may start, the stage is reached, the rollout has ended. Empty: nothing.
std::vector<Record> proceed(const Rollout& rollout, Instant now);

// Decides `event`, and applies what was decided to `scratch`. Events that wait together are taken in one after the other before
// anything follows from the first: what one store tells may forbid what another's word alone would lead to.
void take_in(Rollout& scratch, const Event& event, Instant now, Decision& decision);

// Proceeds until nothing further follows. The effects are those of all that was taken in.
void follow(Rollout& scratch, Instant now, Decision& decision);

// Whether the event is about the rollout as a whole: it finds it as what follows from the events before it has left it.
bool judges(const Event& event);

// Both, for an event that comes alone.
Decision take_in(Rollout& scratch, const Event& event, Instant now);

// Whether the command makes sense now. Fails with conflict (not in this phase: says what would), not_found.
Result<void> permits(const Rollout& rollout, const Command& command);

// The last look before the member's write is sent, which may be long after it was decided: what forbids it, when it takes load or
// capacity away that others have to carry; empty, nothing. `sent`: by member, the write that was sent last, or empty: none was; who waits
// to be written is still as its store holds it.
std::string why_not_write(const Rollout& rollout, MemberIndex member, const std::vector<EffectId>& sent);

std::vector<Effect> effects_of(const Rollout& after, const Record& record);
std::vector<Effect> outstanding(const Rollout& rollout);

}  // namespace shiftd
