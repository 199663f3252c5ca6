#pragma once

// Errors that come in bursts: how wild counts are, what a burst is, and how much one host may add in one.

#include <algorithm>
#include <cmath>

namespace shiftd {

// A host-block with this many failures where `expected` were is a burst.
inline double burst_from(double expected) { return 3 * expected + 3 * std::sqrt(3 * expected) + 3; }

// How many times wilder than Poisson the counts of host-blocks are (phi), learnt; leaning on 1.
struct Dispersion {
  double squares = 0;
  double expected = 0;

  // A host-block with `failures` where `mean` were expected: this host's part of the block's total, by requests and by
  // `own`, its own history in expected failures.
  void learn(double failures, double mean, double part, double own) {
    squares += (failures - mean) * (failures - mean);
    expected += mean * (1 - part) * (1 + mean / (own + 2));
  }
  [[nodiscard]] double phi() const { return std::max(1.0, (lean + squares) / (lean + expected)); }

  bool operator==(const Dispersion&) const = default;

 private:
  static constexpr double lean = 10;
};

// How often a burst goes on into the next block.
struct Persistence {
  double bursts = 0;
  double stayed = 0;

  [[nodiscard]] double chance() const { return (stayed + 0.5) / (bursts + 1.5); }
  bool operator==(const Persistence&) const = default;
};

// The most that one canary host may add to the log of a bet in one block: what a burst is worth, by how rare they are.
struct GainLimit {
  double usual = 20;
  double after_burst = 20;
};
inline GainLimit gain_limit(double burst_chance, const Persistence& persistence) {
  GainLimit limit;
  limit.usual = std::clamp(std::log(0.3 / burst_chance), 1.5, 20.0);
  limit.after_burst = persistence.bursts >= 1 ? std::min(limit.usual, std::max(std::log(0.95 / persistence.chance()), 0.1)) : limit.usual;
  return limit;
}

}  // namespace shiftd
