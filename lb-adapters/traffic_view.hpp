#pragma once

// What one load balancer instance really does with the members of one pool.
//
// A view that does not answer is no answer: the driver turns every failure into "cannot tell" for all of its members.
// Calls on one view may overlap.

#include <cstdint>
#include <functional>
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

  // Why nothing may be written to this pool now, each in words for people: "PyBal has been up for 6s, its monitors need
  // 30s", "be3 is down but pooled", "it cannot depool any member". Empty: the pool is open. While a pool is closed,
  // nothing is written to it but the traffic movement of a roll back. What can be said from one reading stands here;
  // whether the load balancer still listens to its store is found by disagreements(), from `taken_up`.
  std::vector<std::string> closed;

  // The load balancer's own floor, as it is configured now: it takes a failing member out only while at least
  // `depool_threshold` of the `counted` members are up and in. Members held at `no` are counted, `inactive` ones are not.
  // counted = 0: it does not say, or has none.
  double depool_threshold = 0;
  std::uint32_t counted = 0;

  // nullptr: the load balancer does not know the member.
  [[nodiscard]] const MemberView* find(std::string_view member) const;
  // Cannot tell, when the load balancer does not know the member.
  [[nodiscard]] MemberView of(std::string_view member) const;
};

// What the view says of its threshold; `ours` tells which members are the service's. Says nothing (no view named) where
// the reading does.
DepoolThreshold threshold_of(const std::string& view, const ViewReading& reading, const std::function<bool(std::string_view)>& ours);

struct PoolReading;

// The members of which the load balancer shows another setting than its store holds: "be2: its store holds yes, weight
// 10, it has yes, weight 7". `touched` tells which members we have written or are about to: they are left out, their
// changes are confirmed one by one. A load balancer applies changes a moment after they are written, so the caller (the
// driver, which has both readings) takes a disagreement seriously only when it lasts; lasting, it shows a watcher that has died.
// Views that do not fill `taken_up` never disagree. A member that the store holds as inactive may be unknown to the view.
std::vector<std::string> disagreements(const PoolReading& store, const ViewReading& view,
                                       const std::function<bool(std::string_view)>& touched);

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
