#pragma once

// Where the wanted state of a pool's members is written: one pool on one instance of its store (backend `app` of one
// HAProxy; one conftool service in etcd). A member is named by the name that the store has for it.
//
// Calls are absolute and may be repeated. Calls for different members may overlap; two writes to one member never do
// (the driver sees to it). Every call bounds its own attempts in time; the caller adds a deadline for the whole.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/engine/member.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct PoolReading {
  struct Member {
    std::string name;
    Observed observed;
    std::string malformed;  // not empty: the stored value cannot be understood; it is reported, never overwritten
    // Nobody has set anything of it since the epoch began: it is as the store's own configuration has it.
    bool as_configured = false;

    bool operator==(const Member&) const = default;
  };
  std::vector<Member> members;  // ordered by name
  // Names one life of the store's memory (HAProxy: Pid and start time). A new one means that what was set may be
  // forgotten, which is not a person's doing.
  std::string epoch;
  std::string cursor;  // where watch() continues; opaque

  [[nodiscard]] const Member* find(std::string_view name) const;
};

// What to make of a member: the two fields of `setting`, with everything else in the stored value kept; where that is as it stands in
// `bytes` (the exact original, which says `setting` too; or empty), these bytes.
struct MemberWrite {
  std::string member;
  Setting setting;
  std::string bytes;
  std::string based_on;  // the revision we last knew; a store that finds another one does not write
};

// Written and read back: `observed` is what the store holds now. `was_so`: it was so since `based_on`, by an attempt of ours of which
// nothing was heard or by another hand, and nothing was written.
struct Written {
  Observed observed;
  bool was_so = false;
};
// Not written, because somebody else has changed the member since `based_on`.
struct ForeignChange {
  Observed observed;
};
using WriteOutcome = std::variant<Written, ForeignChange>;

class PoolStore {
 public:
  virtual ~PoolStore() = default;

  // The pool as people know it: "haproxy-a/app", "eqiad/cache_text/cdn". Unique within a service.
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual const Capabilities& capabilities() const = 0;

  // The whole pool, never from a stale replica.
  // Fails with: unreachable, timed_out, unexpected_reply; not_found: there is no such pool.
  virtual Task<Result<PoolReading>> read() = 0;

  // Fails with: unreachable, refused, not_found: nothing was written.
  //             timed_out: it may have been written, or still be; only a later successful write settles it.
  // Cancelled: as timed_out.
  virtual Task<Result<WriteOutcome>> write(MemberWrite wanted) = 0;

  // Returns the pool when it differs from `last`, or after about `at_most` with what it is then.
  // Fails as read(). Cancelled: leaves nothing behind.
  virtual Task<Result<PoolReading>> watch(PoolReading last, Duration at_most) = 0;

  // The command that makes a person's shell set `member` to `setting` in this store, ready to be pasted: what `shiftctl
  // rescue` and alerts print. Pure.
  [[nodiscard]] virtual std::string restore_command(std::string_view member, const Observed& original) const = 0;
};

}  // namespace shiftd
