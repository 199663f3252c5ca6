#pragma once

// A service's pools as they are now: what the stores hold, what each load balancer shows, and whose hands they are in.

#include <string>
#include <vector>

#include "daemon/driver/service.hpp"
#include "daemon/engine/release_on.hpp"
#include "daemon/engine/rollout.hpp"

namespace shiftd {

struct PoolMemberStatus {
  std::string host;  // empty: no host of this service
  std::string member;
  Observed observed;
  std::string malformed;           // not empty: the store holds something that cannot be understood
  bool missing = false;            // the store has no such member
  std::vector<MemberView> views;   // as PoolStatus::views
  std::vector<std::string> drift;  // what a load balancer does otherwise than the store says
  // Of the rollout under way: who has it ("untouched", "ours", "theirs"), and what it goes back to.
  std::string holder;  // empty: no rollout is under way
  Observed original;
  std::string restore;  // the command that writes the original back; empty when it is there
};

struct PoolStatus {
  std::string pool;
  std::string trouble;  // not empty: its store does not answer, and says this
  struct View {
    std::string name;
    std::string trouble;              // not empty: it does not answer
    std::vector<std::string> closed;  // why nothing may be written now
  };
  std::vector<View> views;
  std::string rollout;                    // that holds it now; empty: none
  std::vector<PoolMemberStatus> members;  // as the store orders them
};

// In what this view differs from what its store holds; empty: in nothing, or it cannot tell. Pure.
std::string drift_of(const Setting& holds, const std::string& view_name, const MemberView& view);

// Asks every store and every view once, all at the same time. `rollout`: the service's own that is under way, or none.
Task<std::vector<PoolStatus>> look_at_pools(Clock& clock, Service& service, const Rollout* rollout);

}  // namespace shiftd
