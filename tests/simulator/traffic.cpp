// Users, and the front end's counters of what they were answered.

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include "tests/simulator/world.hpp"

namespace shiftd::simulator {

double World::failure_rate(const Host& host) const {
  return host.serves() ? failure_rate(releases.at(host.running), clock.steady() - host.running_since) : 1;
}

double World::failure_rate(const SomeRelease& release, Duration age) const {
  switch (release.kind) {
    case ReleaseKind::slowly_bad: return release.failure_rate * std::min(1.0, static_cast<double>(age.count()) / 60'000);
    case ReleaseKind::flapping: return (age.count() / 10'000) % 2 == 0 ? release.failure_rate : 0;
    default: return release.failure_rate;
  }
}

void World::pass_traffic() {
  auto now = clock.steady();
  auto seconds = static_cast<double>((now - served_until).count()) / 1000;
  if (seconds <= 0) return;
  served_until = now;
  for (auto& pool : pools) {
    if (first_swap != Steady{}) failed_without_us += pool.rate * seconds * failure_rate(releases.at(wanted), now - first_swap);
    double alive = 0;
    for (const auto& balancer : pool.balancers) alive += balancer.dead ? 0 : 1;
    for (auto& balancer : pool.balancers) {
      if (!std::exchange(balancer.routes, true)) {
        for (std::size_t member = 0; member < balancer.members.size(); ++member) route(pool, balancer, member);
      }
      if (balancer.dead) continue;
      auto requests = pool.rate * seconds / alive;
      if (balancer.weight == 0) failed_requests += requests;
      if (balancer.weight == 0) continue;
      auto sent = requests / static_cast<double>(balancer.weight);
      balancer.sent += sent;
      if (balancer.others > 0) balancer.sent_beside_others += sent;
    }
  }
  // How much of it fails is taken as it is now, for all that came since somebody last asked.
  auto changes = [](const auto& release) {
    return release.second.kind == ReleaseKind::slowly_bad || release.second.kind == ReleaseKind::flapping;
  };
  if (std::any_of(releases.begin(), releases.end(), changes)) serve_traffic();
}

void World::serve_traffic() {
  pass_traffic();
  for (auto& pool : pools) {
    for (auto& balancer : pool.balancers) {
      for (std::size_t member = 0; member < balancer.members.size(); ++member) give(pool, balancer, member);
    }
  }
}

void World::give(Pool& pool, Balancer& balancer, std::size_t index) {
  auto& its = balancer.members[index];
  auto served = its.routed * (balancer.sent - std::exchange(its.had, balancer.sent));
  auto beside_others = its.routed * (balancer.sent_beside_others - std::exchange(its.had_beside_others, balancer.sent_beside_others));
  if (served <= 0) return;
  auto& member = pool.members[index];
  const auto& host = hosts[member.host];
  auto fails = failure_rate(host);
  member.requests += served;
  member.failures += served * fails;
  failed_requests += served * fails;
  // What nobody answers was sent to what the host would run.
  auto release = releases.find(host.serves() ? host.running : host.current);
  if (release != releases.end()) release->second.served += served;
  if (host.running == wanted) failed_by_release += beside_others * fails;
}

// Its part of the sums, as it is now.
void World::route(Pool& pool, Balancer& balancer, std::size_t index) {
  auto& its = balancer.members[index];
  auto weight = pool.flows(balancer, index) ? its.setting.weight : 0;
  balancer.weight += weight - std::exchange(its.routed, weight);
  bool beside = weight > 0 && hosts[pool.members[index].host].running != wanted;
  balancer.others += beside ? 1 : 0;
  balancer.others -= std::exchange(its.beside, beside) ? 1 : 0;
}

template <class Do>
void Rerouting::each(Do what) {
  for (auto [pool, member] : members_) {
    auto& its = world_.pools[pool];
    for (std::size_t balancer = 0; balancer < its.balancers.size(); ++balancer) {
      if (!balancer_ || *balancer_ == balancer) what(its, its.balancers[balancer], member);
    }
  }
}

Rerouting::Rerouting(World& world, std::size_t pool, std::size_t balancer, std::size_t member)
    : world_(world), members_{{pool, member}}, balancer_(balancer) {
  begin();
}

Rerouting::Rerouting(World& world, std::size_t host) : world_(world), members_(world.hosts[host].members) { begin(); }

void Rerouting::begin() {
  world_.pass_traffic();
  each([this](Pool& pool, Balancer& balancer, std::size_t member) { world_.give(pool, balancer, member); });
}

Rerouting::~Rerouting() {
  each([this](Pool& pool, Balancer& balancer, std::size_t member) { world_.route(pool, balancer, member); });
}

namespace {

class SimulatedFrontEnd final : public FrontEnd {
 public:
  SimulatedFrontEnd(World& world, std::size_t pool, int life) : world_(world), index_(pool), life_(life) {}

  const std::string& name() const override { return world_.pools[index_].name; }

  Task<Result<CountsReading>> poll() override {
    co_await world_.reach(life_, Duration(world_.chance.pick(0, 3)));
    auto& pool = world_.pools[index_];
    bool dead = !pool.conditional && pool.balancers[0].dead;
    if (dead || world_.clock.steady() < pool.counters_stall_until) co_return Failure{Errc::unreachable, "connection refused"};
    world_.serve_traffic();
    for (auto& [digest, release] : world_.releases) release.counted = release.served;
    CountsReading reading;
    reading.first = last_.empty();
    reading.reset = !reading.first && last_life_ != pool.counters_life;
    last_life_ = pool.counters_life;
    last_.resize(pool.members.size());
    for (std::size_t index = 0; index < pool.members.size(); ++index) {
      auto& member = pool.members[index];
      auto requests = std::floor(member.requests);
      auto failures = std::min(requests, static_cast<double>(world_.chance.poisson(member.failures)));
      member.requests -= requests;
      member.failures = 0;
      member.counted_requests += static_cast<std::uint64_t>(requests);
      member.counted_failures += static_cast<std::uint64_t>(failures);
      auto& last = last_[index];
      if (reading.reset) last = {0, 0};
      // A counter that dips gives what it has: as after a reset.
      if (member.counted_requests < last.first || member.counted_failures < last.second) last = {0, 0};
      HostCounts counts{member.name, member.counted_requests - last.first, member.counted_failures - last.second};
      last = {member.counted_requests, member.counted_failures};
      if (reading.first) counts.requests = counts.failures = 0;
      reading.hosts.push_back(std::move(counts));
    }
    co_return reading;
  }

  std::string checkpoint() const override {
    std::string text = std::to_string(last_life_);
    for (auto [requests, failures] : last_) text += " " + std::to_string(requests) + " " + std::to_string(failures);
    return text;
  }

  Result<void> restore(const std::string& checkpoint) override {
    std::istringstream text(checkpoint);
    std::vector<std::pair<std::uint64_t, std::uint64_t>> last;
    int life = 0;
    text >> life;
    for (std::uint64_t requests = 0, failures = 0; text >> requests >> failures;) last.emplace_back(requests, failures);
    if (last.size() != world_.pools[index_].members.size()) return Failure{Errc::bad_input, "of another pool"};
    last_ = std::move(last);
    last_life_ = life;
    return {};
  }

 private:
  World& world_;
  std::size_t index_;
  int life_;
  int last_life_ = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> last_;
};

}  // namespace

std::unique_ptr<FrontEnd> World::make_front_end(std::size_t pool, int its_life) {
  return std::make_unique<SimulatedFrontEnd>(*this, pool, its_life);
}

}  // namespace shiftd::simulator
