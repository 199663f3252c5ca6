#pragma once

// Counts a service's requests while no rollout of it does, so that its hosts' history is known when the next one begins.

#include <functional>

#include "daemon/driver/service.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

// Polls the service's front ends once a checkpoint's time for as long as `rollout_counts` says no, and keeps what it
// counted as the rollouts do. Runs until it is cancelled; ends at once where nothing is counted. What fails is logged when
// it begins to fail: lost is only history.
Task<> count_between_rollouts(Clock& clock, Journal& journal, Service& service, std::function<bool()> rollout_counts);

}  // namespace shiftd
