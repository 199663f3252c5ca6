#pragma once

// What one load balancer instance really does with the members of one pool.
//
// A view that does not answer is no answer: the driver turns every failure into "cannot tell" for all of its members.
// Calls on one view never overlap.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/engine/member.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct ViewReading {
  std::vector<std::pair<std::string, MemberView>> members;  // ordered by name
  std::string epoch;                                        // one life of this load balancer

  // Cannot tell, when the load balancer does not know the member.
  [[nodiscard]] MemberView of(std::string_view member) const;
};

class TrafficView {
 public:
  virtual ~TrafficView() = default;

  // "haproxy-a/app", "lvs1013/cdn_443". Unique within a service.
  [[nodiscard]] virtual const std::string& name() const = 0;

  // All members, read at one instant.
  // Fails with: unreachable, timed_out, unexpected_reply, not_found. Cancelled: leaves nothing behind.
  virtual Task<Result<ViewReading>> read() = 0;
};

}  // namespace shiftd
