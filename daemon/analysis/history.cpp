#include "daemon/analysis/history.hpp"

#include <algorithm>
#include <utility>

namespace shiftd {
namespace {

// A baseline host that fails this many times as often as the others, in bursts, for so many blocks, is broken.
constexpr double broken_times = 5;
constexpr std::uint32_t broken_blocks = 8;

// The host-blocks of those of whom is learnt: their failures, and their parts in what is expected.
struct Learning {
  const std::vector<std::uint32_t>& hosts;
  std::vector<double> failures;
  std::vector<double> weight;
  double failures_sum = 0;
  double weight_sum = 0;

  Learning(const std::vector<std::uint32_t>& of, const Block& block, const std::vector<HostHistory>& history) : hosts(of) {
    failures.reserve(hosts.size());
    weight.reserve(hosts.size());
    for (auto host : hosts) add(block[host].failures, block[host].requests * history[host].relative());
  }
  void add(double more_failures, double more_weight) {
    failures.push_back(more_failures);
    weight.push_back(more_weight);
    failures_sum += more_failures;
    weight_sum += more_weight;
  }
  [[nodiscard]] double part(std::size_t i) const { return weight[i] / std::max(weight_sum, least_divisor); }
  // Compared with all the others.
  [[nodiscard]] bool is_burst(std::size_t i) const {
    auto others = std::max(failures_sum - failures[i], 0.0) * weight[i] / std::max(weight_sum - weight[i], least_divisor);
    return failures[i] >= burst_from(others);
  }
  void teach(Dispersion& dispersion, const std::vector<HostHistory>& history) const {
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      dispersion.learn(failures[i], failures_sum * part(i), part(i), history[hosts[i]].expected);
    }
  }
};

}  // namespace

double History::burst_chance() const {
  double bursts = 0;
  double all = 0;
  for (const auto& host : hosts) {
    if (host.broken) continue;
    bursts += host.bursts;
    all += host.blocks;
  }
  return (bursts + 0.5) / (all + 20);
}

double History::heterogeneity(const Parts& parts) const {
  double expected = 0;
  double expected_squares = 0;
  double squares = 0;
  for (auto host : parts.baseline) {
    const auto& known = hosts[host];
    expected += known.expected;
    expected_squares += known.expected * known.expected;
    squares += (known.failures - known.expected) * (known.failures - known.expected);
  }
  auto noise = calm.phi() * expected * (1 - 1 / static_cast<double>(std::max<std::size_t>(parts.old_hosts, 2)));
  auto spread = std::max(0.0, squares - noise) / std::max(expected_squares + 2 * noise, least_divisor);
  return std::min(spread + 0.05 * 0.05, 1.0);
}

void History::learn(const Block& block, const Parts& parts, double trimmed, double floor, Duration length) {
  Learning all(parts.learning, block, hosts);
  all.teach(blocks, hosts);

  std::vector<std::uint32_t> calm_hosts;
  std::vector<bool> burst(parts.learning.size());
  HostBlock pooled;  // the baseline's, without bursts
  for (std::size_t i = 0; i < burst.size(); ++i) {
    auto host = parts.learning[i];
    burst[i] = all.is_burst(i);
    if (burst[i]) continue;
    calm_hosts.push_back(host);
    if (!parts.compared(host)) continue;
    pooled.failures += block[host].failures;
    pooled.requests += block[host].requests;
  }
  Learning(calm_hosts, block, hosts).teach(calm, hosts);

  auto cut = all;
  HostBlock cut_baseline;
  cut.failures_sum = 0;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    auto host = parts.learning[i];
    cut.failures[i] = cut_failures(block[host], trimmed * hosts[host].relative_capped() + floor);
    cut.failures_sum += cut.failures[i];
    if (!parts.compared(host)) continue;
    cut_baseline.failures += cut.failures[i];
    cut_baseline.requests += block[host].requests;
  }
  cut.teach(winsorised, hosts);
  winsorised_rate.learn(length, cut_baseline.requests, cut_baseline.failures);

  auto rate = pooled.failures / std::max(pooled.requests, least_divisor);
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const auto& counted = block[parts.learning[i]];
    auto& host = hosts[parts.learning[i]];
    host.bursts += burst[i] ? 1 : 0;
    host.blocks += counted.requests > 0 ? 1 : 0;
    host.failures_all += counted.failures;
    host.expected_all += counted.requests * rate;
    if (host.in_burst) {
      persistence.bursts += 1;
      persistence.stayed += burst[i] ? 1 : 0;
    }
    host.in_burst = burst[i];
    if (burst[i]) continue;
    host.failures += counted.failures;
    host.expected += counted.requests * rate;
  }
}

void History::learn_long(const Block& block, const Parts& parts) { Learning(parts.learning, block, hosts).teach(long_blocks, hosts); }

bool History::drop_broken(const Block& block, const Parts& parts) {
  if (parts.old_hosts < 4) return false;
  auto all = sum_over(block, parts.baseline);
  auto broken = static_cast<std::size_t>(std::count_if(hosts.begin(), hosts.end(), [](const auto& host) { return host.broken; }));
  bool room = broken < std::max<std::size_t>(1, parts.old_hosts / 4);
  bool found = false;
  std::size_t next = 0;
  for (std::uint32_t index = 0; index < hosts.size(); ++index) {
    auto& host = hosts[index];
    if (next >= parts.baseline.size() || parts.baseline[next] != index) {
      host.broken_for = 0;
      continue;
    }
    ++next;
    const auto& counted = block[index];
    auto others = std::max(all.failures - counted.failures, 0.0) / std::max(all.requests - counted.requests, 1.0);
    auto expected = counted.requests * others;
    bool far_worse = counted.failures >= burst_from(expected) && counted.failures > broken_times * expected;
    host.broken_for = far_worse ? host.broken_for + 1 : 0;
    if (host.broken_for < broken_blocks || !room) continue;
    host.broken = found = true;
  }
  if (!found) return false;
  History fresh;
  for (const auto& host : hosts) {
    HostHistory kept;
    kept.broken = host.broken;
    kept.broken_for = host.broken_for;
    kept.in_burst = host.in_burst;
    fresh.hosts.push_back(kept);
  }
  *this = std::move(fresh);
  return true;
}

double trimmed_rate(const Block& block, const std::vector<std::uint32_t>& baseline) {
  std::vector<std::pair<double, std::uint32_t>> by_rate;
  by_rate.reserve(baseline.size());
  double all = 0;
  for (auto host : baseline) {
    if (block[host].requests <= 0) continue;
    by_rate.emplace_back(block[host].failures / block[host].requests, host);
    all += block[host].requests;
  }
  std::sort(by_rate.begin(), by_rate.end());
  HostBlock best;
  for (const auto& [rate, host] : by_rate) {
    best.failures += block[host].failures;
    best.requests += block[host].requests;
    if (best.requests >= 0.5 * all) break;
  }
  return best.requests > 0 ? best.failures / best.requests : 0;
}

HostBlock sum_over(const Block& block, const std::vector<std::uint32_t>& hosts) {
  HostBlock sum;
  for (auto host : hosts) {
    sum.requests += block[host].requests;
    sum.failures += block[host].failures;
  }
  return sum;
}

}  // namespace shiftd
