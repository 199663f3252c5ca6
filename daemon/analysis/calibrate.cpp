#include "daemon/analysis/calibrate.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "daemon/base/basis_points.hpp"

namespace shiftd {
namespace {

// With less before it a stretch would be judged as no rollout is.
constexpr Duration learn_least = std::chrono::minutes(20);

std::vector<HostTick> as_canary(const std::vector<HostTick>& hosts, const std::vector<bool>& canary) {
  auto ticks = hosts;
  for (std::size_t host = 0; host < ticks.size(); ++host) {
    if (!canary[host] || ticks[host].cohort != Cohort::baseline) continue;
    ticks[host].cohort = Cohort::canary;
    ticks[host].seasoned = true;  // it is warm
  }
  return ticks;
}

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
struct Shuffling {
  std::uint64_t state = 0;
  std::uint64_t operator()() {
    auto z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111eb;
    return z ^ (z >> 31U);
  }
};

struct Seen {
  bool served = false;
  bool alarmed = false;
  bool proven = false;
};

Seen judge(CanaryTest test, const Trace& history, std::size_t from, std::size_t to, const std::vector<bool>& canary) {
  Seen seen;
  for (auto row = from; row < to; ++row) {
    auto frame = history.rows[row].frame;
    frame.season = Season::live;
    auto verdict = test.tick(frame, as_canary(history.rows[row].hosts, canary));
    seen.proven = seen.proven || verdict.call == Call::promote;
    seen.served = seen.served || verdict.log_e > never_started;
    seen.alarmed = verdict.call == Call::roll_back;
    if (seen.alarmed) break;
  }
  return seen;
}

}  // namespace

double upper_bound(int some, int of) {
  if (of <= 0 || some >= of) return 1;
  auto chance = [&](double rate) {  // of seeing `some` or fewer
    double sum = 0;
    for (int k = 0; k <= some; ++k) {
      auto choose = std::lgamma(of + 1.0) - std::lgamma(k + 1.0) - std::lgamma(of - k + 1.0);
      sum += std::exp(choose + k * std::log(rate) + (of - k) * std::log1p(-rate));
    }
    return sum;
  };
  double low = 0;
  double high = 1;
  for (int step = 0; step < 60; ++step) {
    auto middle = (low + high) / 2;
    (chance(middle) > 0.05 ? low : high) = middle;
  }
  return high;
}

Calibration calibrate(const Trace& history, const AnalysisOptions& options, const CalibrationWishes& wishes) {
  Calibration found;
  found.stretch = wishes.stretch;
  found.hosts = history.rows.empty() ? 0 : history.rows.front().hosts.size();
  for (const auto& row : history.rows) found.history += row.frame.length;
  found.canaries = wishes.canaries > 0 ? wishes.canaries : std::max<std::size_t>(1, found.hosts / 10);
  if (found.hosts < 2 || found.canaries >= found.hosts) {
    found.too_little = "there are " + std::to_string(found.hosts) + " hosts: a canary and something to compare it with are needed";
    return found;
  }
  Shuffling random{wishes.seed};
  std::vector<std::size_t> order(found.hosts);
  CanaryTest learnt(options);
  Duration known{0};
  std::size_t row = 0;
  while (row < history.rows.size()) {
    auto end = row;
    Duration length{0};
    while (end < history.rows.size() && length < wishes.stretch) length += history.rows[end++].frame.length;
    if (known >= learn_least && length >= wishes.stretch) {
      ++found.stretches;
      bool alarmed = false;
      for (int split = 0; split < wishes.splits; ++split) {
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::vector<bool> canary(found.hosts, false);
        for (std::size_t k = 0; k < found.canaries; ++k) {
          std::swap(order[k], order[k + random() % (found.hosts - k)]);
          canary[order[k]] = true;
        }
        auto seen = judge(learnt, history, row, end, canary);
        if (!seen.served) continue;
        ++found.rollouts;
        found.false_alarms += seen.alarmed ? 1 : 0;
        found.proven += seen.proven ? 1 : 0;
        alarmed = alarmed || seen.alarmed;
      }
      found.alarmed += alarmed ? 1 : 0;
    }
    for (; row < end; ++row) learnt.tick(history.rows[row].frame, history.rows[row].hosts);
    known += length;
  }
  if (found.stretches == 0) {
    found.too_little = to_string(found.history) + " of history are too little: " + to_string(learn_least) + " to learn from and " +
                       to_string(wishes.stretch) + " to judge are the least";
  } else if (found.rollouts == 0) {
    found.too_little = "in " + to_string(found.history) + " of history no host that would be the canary had a request";
  }
  found.at_most = upper_bound(found.alarmed, found.stretches);
  return found;
}

std::string to_string(const Calibration& found) {
  if (!found.too_little.empty()) return "nothing can be said: " + found.too_little + "\n";
  auto of = [](int some, int all) { return std::to_string(some) + " of " + std::to_string(all); };
  auto text = to_string(found.history) + " of history of " + std::to_string(found.hosts) + " hosts: " + std::to_string(found.rollouts) +
              " rollouts of nothing, " + std::to_string(found.canaries) + (found.canaries == 1 ? " host" : " hosts") + " as canary, in " +
              std::to_string(found.stretches) + " stretches of " + to_string(found.stretch) + "\n";
  text += "false alarms: " + of(found.false_alarms, found.rollouts) + " rollouts (" +
          percent(static_cast<double>(found.false_alarms) / found.rollouts) + "), in " + of(found.alarmed, found.stretches) +
          " stretches; with 95% confidence at most " + percent(found.at_most) + " of stretches raise one\n";
  text += "proven good: " + of(found.proven, found.rollouts) + "\n";
  constexpr int few_stretches = 30;
  if (found.stretches < few_stretches) {
    text += "so few stretches cannot show that alarms are rare: with none at all in " + std::to_string(few_stretches) +
            " of them the bound would be " + percent(upper_bound(0, few_stretches)) + "\n";
  }
  return text + "a burst that this history has not seen is not in these figures\n";
}

}  // namespace shiftd
