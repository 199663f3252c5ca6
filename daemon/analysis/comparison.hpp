#pragma once

// One group of canary hosts, all of them or a single one, compared with the baseline tick by tick.

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "daemon/analysis/bursts.hpp"
#include "daemon/analysis/e_process.hpp"
#include "daemon/analysis/start_schedule.hpp"
#include "daemon/analysis/warm_up.hpp"

namespace shiftd {

// One canary host in a tick.
struct CanaryTick {
  double requests = 0;
  double failures = 0;
  double warm = 0;           // what is left of its warm-up: 1 to 0
  bool after_burst = false;  // its last block was a burst, or near its limit
};

class Comparison {
 public:
  using Gains = std::array<double, alternatives.size()>;

  struct Member {
    double requests = 0;  // waiting for the other cohort
    double failures = 0;
    Gains gained{};  // in the present block, by alternative: no host may add more than its limit
    [[nodiscard]] double most_gained() const { return *std::max_element(gained.begin(), gained.end()); }
    bool operator==(const Member&) const = default;
  };
  // Front ends may report the cohorts at different instants: counts wait until both have some.
  struct Waiting {
    double baseline_requests = 0;
    double baseline_failures = 0;
    double warm_requests = 0;  // sum of requests * what is left of the warm-up
    Duration age{0};
    bool operator==(const Waiting&) const = default;
  };
  // What a tick is judged by: `null.floor` is what is ignored, without any warm-up.
  struct Terms {
    NullHypothesis null;
    GainLimit limit;
    double warm_up_most = 0;
  };
  // The floor that was used, times the requests that it was used for: none if the tick has to wait.
  struct Used {
    double floor = 0;
    double requests = 0;
    bool operator==(const Used&) const = default;
  };

  // Takes in a tick. `members` as `this->members`, one for each host.
  Used take(std::span<const CanaryTick> hosts, double baseline_requests, double baseline_failures, Duration length, const Terms& terms);
  void end_block();

  EProcess process;
  StartSchedule schedule;
  WarmUp warm_up;
  Waiting waiting;
  std::vector<Member> members;

  bool operator==(const Comparison&) const = default;

 private:
  void weigh(const CohortCounts& counts, std::span<const CanaryTick> hosts, const NullHypothesis& null, const GainLimit& limit);
  void stop_waiting();
};

}  // namespace shiftd
