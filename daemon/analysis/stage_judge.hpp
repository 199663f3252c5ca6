#pragma once

// What a rollout makes of the verdict: when a stage passes, waits or ends, and what is nobody's fault.

#include <optional>
#include <string>
#include <vector>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {

// Where the stage stands.
struct Moment {
  Instant now;
  Duration length{0};   // of the tick
  bool baking = false;  // all of its hosts serve
  Instant bake_until;   // while it bakes
  Duration bake{0};
  std::uint64_t unanswered = 0;  // failures in this tick that no host answered for
};

struct Ruling {
  Call call = Call::keep_watching;
  std::optional<std::uint32_t> leave_out;  // this canary host alone is bad: to be taken out
  std::string text;                        // why; of keep_watching: what is missing, in words that change seldom
};

class StageJudge {
 public:
  struct State {
    double harm = 0;        // failed canary requests beyond what is tolerated
    double unanswered = 0;  // failures that no host answered for, since the canary's first request
    int left_out = 0;       // hosts
    Prediction::Sums canary;
    Prediction baseline;
    Duration without_baseline{0};  // since a host on the old release was last in traffic
    bool operator==(const State&) const = default;
  };

  explicit StageJudge(const AnalysisOptions& options) : options_(options) {}

  Ruling rule(const Moment& moment, const Verdict& verdict, const Evidence& evidence, const std::vector<HostTick>& hosts);

  [[nodiscard]] const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  void count(const Moment& moment, const Evidence& evidence, const std::vector<HostTick>& hosts);
  [[nodiscard]] std::string too_much_harm() const;
  [[nodiscard]] std::string fails_by_itself(const Evidence& evidence) const;
  [[nodiscard]] std::string incident() const;
  [[nodiscard]] Ruling pass(const Moment& moment, const Verdict& verdict, const Evidence& evidence) const;
  [[nodiscard]] bool in_doubt(const Evidence& evidence) const;
  [[nodiscard]] std::string missing(const Evidence& evidence) const;

  AnalysisOptions options_;
  State state_;
};

}  // namespace shiftd
