#pragma once

// What is learnt of every host while it serves the old release: how its rate differs from the others', its bursts, and how
// wild the fleet's counts are. Everything is learnt after the tick's judgement, in blocks.

#include <cstdint>
#include <vector>

#include "daemon/analysis/baseline.hpp"
#include "daemon/analysis/bursts.hpp"

namespace shiftd {

// So that nothing is divided by nothing.
inline constexpr double least_divisor = 1e-9;

// One host in a block under way.
struct HostBlock {
  double requests = 0;
  double failures = 0;
  bool operator==(const HostBlock&) const = default;
};
using Block = std::vector<HostBlock>;

struct HostHistory {
  // Outside of bursts: failures (V), and what the pooled baseline rate would have given with its requests (U).
  double failures = 0;
  double expected = 0;
  // Bursts included.
  double failures_all = 0;
  double expected_all = 0;
  std::uint32_t bursts = 0;  // of its blocks with requests
  std::uint32_t blocks = 0;
  std::uint32_t broken_for = 0;  // successive blocks in which it was far worse than the others
  bool in_burst = false;         // its last block
  bool broken = false;           // taken out of the baseline

  // Its rate relative to the pooled one, leaning on 1.
  [[nodiscard]] double relative() const { return (failures + 2) / (expected + 2); }
  [[nodiscard]] double relative_capped() const { return std::min(relative(), most_relative); }
  // A host that fails in bursts as a habit is known by all of its blocks.
  [[nodiscard]] bool bursts_often() const { return bursts > 0.3 * std::max(blocks, 1U); }
  [[nodiscard]] double known_failures() const { return bursts_often() ? failures_all : failures; }
  [[nodiscard]] double known_expected() const { return bursts_often() ? expected_all : expected; }

  static constexpr double most_relative = 5;
  bool operator==(const HostHistory&) const = default;
};

// Who is who in the present tick, in ascending order.
struct Parts {
  std::vector<std::uint32_t> baseline;  // serve the old release and are compared with
  std::vector<std::uint32_t> learning;  // of whom is learnt: those, and the canary's hosts before their upgrade
  std::size_t old_hosts = 0;            // on the old release, the broken ones included (B)

  [[nodiscard]] bool compared(std::uint32_t host) const { return std::binary_search(baseline.begin(), baseline.end(), host); }
};

struct History {
  std::vector<HostHistory> hosts;
  Dispersion blocks;       // phi: whole blocks,
  Dispersion long_blocks;  // and four of them together
  Dispersion calm;         // phic: without bursts
  Dispersion winsorised;   // with bursts cut
  Persistence persistence;
  double baseline_failures = 0;  // Y0: before the upgrade
  Prediction winsorised_rate;

  [[nodiscard]] double dispersion() const { return std::max(blocks.phi(), long_blocks.phi()); }
  // How often a host-block is a burst.
  [[nodiscard]] double burst_chance() const;
  // The squared spread of the hosts' own rates, relative to the pooled one (tau2).
  [[nodiscard]] double heterogeneity(const Parts& parts) const;

  // A block has ended. `trimmed`: its trimmed baseline rate; `floor`: the rate that is ignored.
  void learn(const Block& block, const Parts& parts, double trimmed, double floor, Duration length);
  void learn_long(const Block& block, const Parts& parts);
  // Takes baseline hosts that are broken out of it, and forgets all that was learnt with them: true if there was one.
  bool drop_broken(const Block& block, const Parts& parts);

  bool operator==(const History&) const = default;
};

// The pooled rate of the best baseline hosts that carry half of the baseline's requests in the block: a few ill hosts
// cannot move it.
double trimmed_rate(const Block& block, const std::vector<std::uint32_t>& baseline);

// The block's failures, those beyond a burst's threshold cut off, where the host is expected to fail at `rate`.
inline double cut_failures(const HostBlock& block, double rate) { return std::min(block.failures, burst_from(block.requests * rate)); }

HostBlock sum_over(const Block& block, const std::vector<std::uint32_t>& hosts);

}  // namespace shiftd
