#pragma once

// How often the verdict would have cried wolf on a service's own hosts: stretches of their history are judged again, with
// some of the hosts called the canary though nobody upgraded them (A/A).

#include <string>

#include "daemon/analysis/trace.hpp"

namespace shiftd {

struct CalibrationWishes {
  std::size_t canaries = 0;                    // hosts; 0: a tenth of them, at least one
  Duration stretch{std::chrono::minutes(10)};  // how long each rollout is judged
  int splits = 20;                             // of each stretch: other hosts are the canary in each
  std::uint64_t seed = 1;
};

struct Calibration {
  Duration history{0};
  std::size_t hosts = 0;
  std::size_t canaries = 0;
  Duration stretch{0};
  int stretches = 0;       // they do not overlap
  int rollouts = 0;        // splits of stretches in which the canary had requests
  int false_alarms = 0;    // of the rollouts
  int alarmed = 0;         // stretches with one or more of them
  int proven = 0;          // rollouts in which the canary was proven good
  double at_most = 1;      // of stretches alarm, at 95% confidence
  std::string too_little;  // why nothing can be said; empty: something can

  bool operator==(const Calibration&) const = default;
};

// What comes before a stretch is learnt from, as a rollout would. Rows of one season only: history, not a rollout.
Calibration calibrate(const Trace& history, const AnalysisOptions& options, const CalibrationWishes& wishes);

std::string to_string(const Calibration& calibration);

// The greatest rate at which `some` or fewer of `of` would still be seen once in twenty times (Clopper and Pearson).
double upper_bound(int some, int of);

}  // namespace shiftd
