#pragma once

// The canary verdict: is the new release answering more 5xx than the old one, beyond what is tolerated?
//
// Pure: counts in, verdict and evidence out. Looking often costs nothing: the test is valid at any time.
// Source of the method: Howard, Ramdas et al. style e-processes with a reverse information projection for the composite
// null; docs/verdict.md.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"

namespace shiftd {

enum class Call : std::uint8_t { keep_watching, promote, roll_back };

std::string_view to_string(Call call);

enum class Cohort : std::uint8_t { canary, baseline, neither };

struct AnalysisOptions {
  double tolerate = 1.1;          // canary 5xx rate may be this many times the baseline's
  double ignore_below = 1e-4;     // and this much above it, absolutely
  double confidence = 0.99;       // of a roll back: at most 1 - confidence of good releases are rolled back
  Duration warm_up{std::chrono::seconds(20)};
  double warm_up_tolerance = 0.2;  // extra 5xx rate tolerated of a fresh host, shrinking over the warm-up
  std::uint64_t min_requests = 50; // canary requests in a stage before it may pass

  bool operator==(const AnalysisOptions&) const = default;
};

// One tick of one host.
struct HostTick {
  std::string host;
  Cohort cohort = Cohort::neither;
  Duration age{0};  // of a canary host: since it joined
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
};

struct Evidence {
  std::uint64_t canary_requests = 0;  // in this rollout
  std::uint64_t canary_failures = 0;
  std::uint64_t baseline_requests = 0;
  std::uint64_t baseline_failures = 0;
  std::uint64_t stage_canary_requests = 0;  // since the stage's weights were last changed
  double e_value = 0;                       // rolls back at 1 / (1 - confidence)
  std::string text;                         // one line for people

  bool operator==(const Evidence&) const = default;
};

struct Verdict {
  Call call = Call::keep_watching;
  Evidence evidence;
};

class CanaryTest {
 public:
  explicit CanaryTest(AnalysisOptions options);

  // Takes in one tick of length `length` that ended at `now`.
  Verdict tick(Instant now, Duration length, const std::vector<HostTick>& hosts);

  // A stage began, or hosts joined: counts what follows apart, and gives the test a fresh start mass.
  void stage_changed(Instant now);

  // The whole state, versioned JSON; a restored test goes on as if nothing had happened.
  [[nodiscard]] std::string checkpoint() const;
  // Fails with bad_input: not a checkpoint of this version; the test is unchanged.
  Result<void> restore(const std::string& checkpoint);

 private:
  AnalysisOptions options_;
  std::vector<double> log_e_;
  double mass_left_ = 1;
  // ... the state of the process; see verdict.cpp
};

}  // namespace shiftd
