#pragma once

// The canary verdict: is the new release answering more 5xx than the old one, beyond what is tolerated?
//
// Pure: counts in, verdict and evidence out. Looking often costs nothing: the test is valid at any time. The method is an
// e-process with a reverse information projection for the composite null; docs/verdict.md.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/analysis/e_process.hpp"
#include "daemon/analysis/start_schedule.hpp"
#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"

namespace shiftd {

enum class Call : std::uint8_t { keep_watching, promote, roll_back };

std::string_view to_string(Call call);

enum class Cohort : std::uint8_t { canary, baseline, neither };

struct AnalysisOptions {
  double tolerate = 1.1;       // canary 5xx rate may be this many times the baseline's; at least 1
  double ignore_below = 1e-4;  // and this much above it, absolutely
  double confidence = 0.99;    // of a roll back: at most 1 - confidence of good releases are rolled back
  Duration warm_up{std::chrono::seconds(20)};
  double warm_up_tolerance = 0.2;   // extra 5xx rate tolerated of a fresh host, shrinking over the warm-up
  std::uint64_t min_requests = 50;  // canary requests in a stage before it may pass
  // Late faults are found fast for 64 times this; a rollout that may take longer than 32 minutes wants it longer.
  Duration restart_every{std::chrono::seconds(30)};

  bool operator==(const AnalysisOptions&) const = default;
};

// One tick of one host.
struct HostTick {
  std::string host;
  Cohort cohort = Cohort::neither;
  Duration age{0};  // of a canary host: since it joined, at the end of the tick
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;  // what exceeds `requests` is not counted
};

struct Evidence {
  std::uint64_t canary_requests = 0;  // in this rollout
  std::uint64_t canary_failures = 0;
  std::uint64_t baseline_requests = 0;  // since the canary's first request
  std::uint64_t baseline_failures = 0;
  std::uint64_t stage_canary_requests = 0;  // since the stage's weights were last changed
  double e_value = 0;                       // rolls back at 1 / (1 - confidence)
  std::string text;                         // one line for people

  bool operator==(const Evidence&) const = default;
};

struct Verdict {
  Call call = Call::keep_watching;
  Evidence evidence;

  bool operator==(const Verdict&) const = default;
};

// Copyable. Called by one thread.
class CanaryTest {
 public:
  explicit CanaryTest(AnalysisOptions options);

  // Takes in one tick of length `length` that ended at `now`. Once it says roll_back it never says anything else.
  Verdict tick(Instant now, Duration length, const std::vector<HostTick>& hosts);

  // A stage began, or hosts joined: counts what follows apart, and gives the test a fresh start mass.
  void stage_changed(Instant now);

  // The whole state without the options, versioned JSON; a restored test goes on as if nothing had happened.
  [[nodiscard]] std::string checkpoint() const;
  // Fails with bad_input: not a checkpoint of this version; the test is unchanged.
  Result<void> restore(const std::string& checkpoint);

 private:
  // Counts wait here until both cohorts have some: front ends may report them at different instants.
  struct Waiting {
    CohortCounts counts;
    double extra_failures = 0;  // tolerated of warming hosts: the sum of requests * extra rate
    Duration age{0};
  };
  // The baseline's counts, older ones counting less.
  struct Remembered {
    double failures = 0;
    double requests = 0;
    void add(Duration length, Duration half_life, double more_requests, double more_failures);
  };
  struct State {
    EProcess process;
    StartSchedule schedule;
    Waiting waiting;
    Remembered recent;
    Remembered lasting;
    Evidence counted;  // its counts only
    double highest_e = 0;
  };

  [[nodiscard]] double extra_tolerance(const HostTick& host, Duration length) const;
  [[nodiscard]] double predicted_baseline_rate() const;
  void weigh(Instant began, Duration length, const Waiting& tick);
  [[nodiscard]] Verdict judge() const;
  [[nodiscard]] double roll_back_at() const { return 1 / (1 - options_.confidence); }

  AnalysisOptions options_;
  State state_;
};

}  // namespace shiftd
