#include "tests/fakes/verdict_world.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr Instant start(Duration(1'700'000'000'000));

struct SimulatedHost {
  double own = 1;          // its rate relative to the fleet's
  double burst_left = 0;   // seconds
  double joined = -1;      // seconds since the first canary request; -1: on the old release
  std::int64_t truth = 0;  // cumulative failures, what was last reported of them, and its highest
  std::int64_t highest = 0;
};

class Simulation {
 public:
  Simulation(const GoodRelease& release, const AnalysisOptions& options, std::uint64_t seed)
      : release_(release), options_(options), random_(seed * 7919 + 17), test_(options), hosts_(static_cast<std::size_t>(release.hosts)) {
    std::normal_distribution<double> normal;
    for (auto& host : hosts_) host.own = std::exp(release.spread * normal(random_) - release.spread * release.spread / 2);
    phase_ = uniform() * 6.28;
    for (std::size_t host = 0; host < hosts_.size(); ++host)
      ticks_.push_back({"web" + std::to_string(host), Cohort::baseline, false, 0, 0});
  }

  bool rolls_back() {
    auto step = release_.tick_s;
    for (int second = -release_.history_s; second < release_.serving_s; second += step) {
      if (second >= 0) join(second);
      for (std::size_t host = 0; host < hosts_.size(); ++host) serve(host, second + step / 2.0);
      auto season = second < 0 ? Season::before : Season::live;
      auto verdict = test_.tick({start + std::chrono::seconds(second + step), std::chrono::seconds(step), season, stage_, 0.5}, ticks_);
      if (verdict.call == Call::roll_back) return true;
      if (release_.restart_every_s > 0 && second >= 0 && second % release_.restart_every_s == 0) restart();
    }
    return false;
  }

 private:
  double uniform() { return std::uniform_real_distribution<double>()(random_); }
  std::uint64_t drawn(double mean) { return mean > 0 ? std::poisson_distribution<std::uint64_t>(mean)(random_) : 0; }

  void join(int second) {
    auto wanted = release_.canaries + (release_.join_every_s > 0 ? second / release_.join_every_s : 0);
    wanted = std::min(wanted, release_.hosts - release_.keep_old);
    bool changed = false;
    for (int host = 0; host < wanted; ++host) {
      auto& joining = hosts_[static_cast<std::size_t>(host)];
      if (joining.joined >= 0) continue;
      joining.joined = second;
      ticks_[static_cast<std::size_t>(host)].cohort = Cohort::canary;
      changed = true;
    }
    if (!changed || second == 0) return;
    ++stage_;
    test_.stage_changed(start + std::chrono::seconds(second));
  }

  void serve(std::size_t index, double at) {
    auto& host = hosts_[index];
    double step = release_.tick_s;
    auto rate = release_.rate * host.own * (1 + release_.drift * std::sin(at / 60 + phase_));
    if (host.burst_left <= 0 && uniform() < release_.bursts_per_hour / 3600 * step) {
      host.burst_left = release_.burst_s * (0.5 + uniform());
    }
    if (host.burst_left > 0) {
      rate += release_.burst_rate * std::min(1.0, host.burst_left / step);
      host.burst_left -= step;
    }
    if (host.joined >= 0) rate += release_.warm_up_rate * std::exp(-(at - host.joined) / release_.warm_up_s);
    if (host.joined >= 0 && release_.broken) rate *= 5;
    auto& tick = ticks_[index];
    tick.requests = drawn(release_.requests_per_s * step);
    auto failures = std::min(drawn(static_cast<double>(tick.requests) * std::min(rate, 1.0)), tick.requests);
    if (release_.dips) {
      host.truth += static_cast<std::int64_t>(failures);
      auto reported = std::max(host.highest, host.truth - static_cast<std::int64_t>(drawn(1.5)));
      failures = std::min(static_cast<std::uint64_t>(reported - host.highest), tick.requests);
      host.highest = reported;
    }
    tick.failures = failures;
  }

  void restart() {
    CanaryTest again(options_);
    if (again.restore(test_.checkpoint())) test_ = again;
  }

  const GoodRelease& release_;
  const AnalysisOptions& options_;
  std::mt19937_64 random_;
  CanaryTest test_;
  std::vector<SimulatedHost> hosts_;
  std::vector<HostTick> ticks_;
  double phase_ = 0;
  std::uint32_t stage_ = 0;
};

}  // namespace

int rolled_back(const GoodRelease& release, int rollouts, const AnalysisOptions& options) {
  int count = 0;
  for (int seed = 0; seed < rollouts; ++seed) count += Simulation(release, options, static_cast<std::uint64_t>(seed)).rolls_back() ? 1 : 0;
  return count;
}

}  // namespace shiftd
