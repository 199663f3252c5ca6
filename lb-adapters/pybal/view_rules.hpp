#pragma once

// What PyBal's words mean for a member's traffic, and for whether its pool may be written to. Pure.

#include <optional>
#include <string>
#include <vector>

#include "lb-adapters/pybal/pybal.hpp"
#include "lb-adapters/pybal/replies.hpp"

namespace shiftd::pybal {

// Everything that was asked in one reading.
struct Answers {
  std::vector<Server> servers;
  // What is said of one pool; or why it could not be learned.
  Result<std::string> alert = std::string();
  Result<Metrics> metrics = Metrics{};
  Instant now;  // by PyBal's own clock
};

// `spoken`: the monitors that have said anything of the server; nullptr: none is known.
//
// PyBal takes a new server for up and pools it before any check (an `up` that no monitor stands behind), and keeps a
// server pooled that is down when too many are: both take traffic. A server that is enabled and not pooled comes back by
// itself with its next passed check: it is `flowing` with health `down`, too, as only `enabled: false` keeps it out.
MemberView view_of(const Server& server, bool all_monitors_spoke);

ViewReading reading_of(const Answers& answers, const PybalOptions& options);

}  // namespace shiftd::pybal
