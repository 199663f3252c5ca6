#pragma once

// What people elsewhere are told about a rollout: a pure fold of its records.
//
// A change of a member is told once every load balancer that was asked shows it, never when it is only wanted or written;
// and as what really changed, from what was told before. Beside that: how the rollout begins, goes and ends, hosts that
// failed, and what somebody else has changed.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/engine/codec.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {

// How conftool's users select the members of a pool, by the pool's name: "dc=eqiad,cluster=cache_text,service=cdn". A pool
// that is not in it is selected by its name.
using Selectors = std::map<std::string, std::string>;

struct MemberChange {
  std::string pool;
  std::string member;
  Setting from;
  Setting to;

  bool operator==(const MemberChange&) const = default;
};

struct Announcement {
  std::string rollout;
  std::string service;
  std::uint64_t record = 0;  // the number of the record that it was made of: with the rollout's id its name
  Instant at;
  std::string action;  // one line: "conftool action : set/pooled=no; selector: dc=..."
  std::optional<MemberChange> change;

  bool operator==(const Announcement&) const = default;
};

class Announcing {
 public:
  explicit Announcing(Selectors selectors = {}) : selectors_(std::move(selectors)) {}

  // Takes the rollout's next record, the first to begin with. Nothing: there is nothing to tell about it.
  // Fails with bad_input: no record of this rollout; nothing may be taken after that.
  Result<std::optional<Announcement>> take(std::string_view record);

  // How many were taken.
  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  std::string say(const Planned& fact);
  std::string say(const MemberConfirmed& fact);
  std::string say(const MemberTaken& fact);
  std::string say(const MemberReturned& fact) const;
  std::string say(const Held& fact);
  std::string say(const PoolClosed& fact) const;
  std::string say(const PoolOpened& fact) const;
  std::string say(const HostMoved& fact) const;
  std::string say(const StagePassed& fact) const;
  std::string say(const GateReached& fact) const;
  std::string say(const GatePassed& fact) const;
  std::string say(const Overridden& fact) const;
  std::string say(const Ended& fact) const;
  std::string of_rollout(const std::string& words) const;
  std::string stage(StageIndex index) const;
  std::string selector(MemberIndex member) const;

  Selectors selectors_;
  Codec codec_;
  Request request_;
  Plan plan_;
  Instant planned_;
  Instant now_;
  std::vector<Setting> known_;  // what the store holds, by member
  std::vector<Setting> told_;   // as people know it
  bool held_ = false;
  std::uint64_t records_ = 0;
  std::optional<MemberChange> change_;  // of the record that is being taken
};

}  // namespace shiftd
