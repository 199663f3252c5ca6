#pragma once

// Looks at a service's fleet for the planner: what the pools hold and which release each host has. Changes nothing.

#include <functional>
#include <string>
#include <vector>

#include "daemon/driver/control.hpp"
#include "daemon/driver/service.hpp"
#include "daemon/driver/stragglers.hpp"
#include "daemon/engine/plan.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

using AskHost = std::function<Task<Result<std::string>>(const HostPlace&)>;
// Asks each of the hosts, a few at a time, each within `limit`; the answers in the order of the hosts.
Task<std::vector<Result<std::string>>> ask_hosts(Clock& clock, Duration limit, std::vector<HostPlace> places, const AskHost& ask);

struct FleetSeen {
  Fleet fleet;
  std::vector<std::string> notes;  // hosts that could not be asked
};

// Fails with: unreachable ... when a pool cannot be read or no host can be asked; not_found: a pool lacks a host;
// bad_input: the service has no hosts, or a pool holds a value that cannot be understood.
// `stragglers`: what a rollout of `release` owes to members that are out of their pools.
Task<Result<FleetSeen>> look_at_fleet(Clock& clock, Service& service, const Stragglers& stragglers, const Release& release);

// What the releaser's dry runs say of the hosts that the plan would upgrade: one for all hosts of which the same is said. A
// dry run that fails is told as well. At most a megabyte in all: what is beyond is counted.
Task<std::vector<DryRun>> dry_runs(Clock& clock, Service& service, const Plan& plan);

}  // namespace shiftd
