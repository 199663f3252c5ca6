#pragma once

// What an operator may say about the verdict, in an operator's words. docs/verdict.md explains each.

#include <cstdint>

#include "daemon/base/time.hpp"

namespace shiftd {

// What happens when a stage has waited long enough, nothing speaks against it, and the proof is still missing.
enum class AtMaxBake : std::uint8_t { promote, hold };

struct AnalysisOptions {
  double tolerate = 1.1;       // canary 5xx rate may be this many times the baseline's; at least 1
  double ignore_below = 1e-4;  // and this much above it, absolutely
  double confidence = 0.99;    // of a roll back: at most 1 - confidence of good releases are rolled back
  Duration warm_up{std::chrono::seconds(20)};
  double warm_up_tolerance = 0.2;  // the most extra 5xx rate that a fresh host is forgiven; learnt below that

  // A stage passes when these are met.
  double promote_tolerate = 1.5;    // proven: not this many times worse than the baseline
  double promote_confidence = 0.9;  // of that proof
  double site_margin = 2e-4;        // nor worse by more than this share of all requests at the next stage
  std::uint64_t min_requests = 50;  // canary requests in the stage
  Duration min_bake{std::chrono::seconds(30)};

  Duration block{std::chrono::seconds(10)};  // bursts are looked for in pieces of this length
  // Late faults are found fast for 64 times this; a rollout that may take longer than 32 minutes wants it longer.
  Duration restart_every{std::chrono::seconds(30)};

  // What a rollout makes of the verdict; see StageJudge.
  Duration watch_first{std::chrono::hours(1)};  // of the hosts' history, before the first of them leaves its pools
  Duration max_bake{0};                         // a stage waits so long for the proof; less than its bake: for that
  AtMaxBake at_max_bake = AtMaxBake::promote;
  std::uint64_t harm_limit = 1000;  // canary requests that failed beyond what is tolerated, or that no host answered; 0: none
  double ceiling = 0.5;             // a rate of 5xx that needs no comparison

  bool operator==(const AnalysisOptions&) const = default;
};

}  // namespace shiftd
