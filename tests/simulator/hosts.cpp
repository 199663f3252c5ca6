// Hosts: their releases, SSH, jobs, checks, and what a load balancer's own check finds.

#include <algorithm>

#include "tests/simulator/world.hpp"

namespace shiftd::simulator {

// They are ordered by name.
std::size_t World::find_host(const std::string& name) const {
  auto before = [](const Host& host, const std::string& its_name) { return host.name < its_name; };
  return static_cast<std::size_t>(std::lower_bound(hosts.begin(), hosts.end(), name, before) - hosts.begin());
}

void World::starts_to_run(std::size_t index, const std::string& digest) {
  Rerouting rerouting(*this, index);
  auto& host = hosts[index];
  host.running = digest;
  host.running_since = clock.steady();
  auto start = ++host.starts;
  note_health(index);
  const auto& release = releases[digest];
  if (release.kind != ReleaseKind::dies_later) return;
  after(chance.between(5s, 40s), [this, index, start] {
    if (hosts[index].starts != start) return;
    say(hosts[index].name, "dies");
    stops_running(index);
  });
}

void World::stops_running(std::size_t index) {
  Rerouting rerouting(*this, index);
  auto& host = hosts[index];
  host.running.clear();
  ++host.starts;
  for (auto [pool, member] : host.members) {
    for (auto& balancer : pools[pool].balancers) balancer.members[member].drains_at = clock.steady();
  }
  note_health(index);
}

// As PyBal: a failing server leaves only while enough of the others are up and enabled.
bool World::holds(std::size_t pool_index, std::size_t balancer) const {
  const auto& pool = pools[pool_index];
  const auto& all = pool.balancers[balancer].members;
  auto counts = [](const Applied& member) { return member.setting.pooled != Pooled::inactive; };
  auto well = [](const Applied& member) { return member.setting.pooled == Pooled::yes && member.up; };
  auto counted = static_cast<double>(std::count_if(all.begin(), all.end(), counts));
  return static_cast<double>(std::count_if(all.begin(), all.end(), well)) < counted * pool.capabilities.depool_threshold;
}

// Every load balancer finds out by itself, a moment later.
void World::note_health(std::size_t index) {
  for (auto [pool, member] : hosts[index].members) {
    for (std::size_t balancer = 0; balancer < pools[pool].balancers.size(); ++balancer) {
      after(chance.between(200ms, 2500ms), [this, index, pool = pool, member = member, balancer] {
        auto& there = pools[pool].balancers[balancer].members[member];
        auto up = hosts[index].serves();
        if (there.up == up) return;
        Rerouting rerouting(*this, pool, balancer, member);
        bool flowed = pools[pool].flows(pools[pool].balancers[balancer], member);
        there.up = up;
        there.checked = clock.steady();
        pools[pool].balancers[balancer].held -= there.held ? 1 : 0;
        there.held = !up && flowed && holds(pool, balancer) && faults.strikes(Fault::threshold_holds);
        pools[pool].balancers[balancer].held += there.held ? 1 : 0;
        if (flowed != pools[pool].flows(pools[pool].balancers[balancer], member)) there.since = clock.steady();
      });
    }
  }
}

void World::power_off(std::size_t index, Duration until_on) {
  auto& host = hosts[index];
  if (!host.powered) return;
  for (auto [pool, member] : host.members) {
    auto& its = pools[pool].members[member];
    its.others_at = clock.steady();
    its.weight_before_others = its.carries();
  }
  Rerouting rerouting(*this, index);
  host.powered = false;
  host.lost_power = true;
  stops_running(index);
  if (!host.job.empty()) host.jobs[host.job].vanished = true;
  host.job.clear();
  after(until_on, [this, index] {
    auto& back = hosts[index];
    if (back.powered) return;
    back.powered = true;
    say(back.name, "is back, on " + back.current);
    if (releases[back.current].kind != ReleaseKind::does_not_start) starts_to_run(index, back.current);
  });
}

namespace {

class SimulatedReleaser final : public Releaser {
 public:
  SimulatedReleaser(World& world, int life) : world_(world), life_(life) {}

  Task<Result<std::string>> inspect(HostPlace place) override {
    auto index = find(place);
    auto reached = co_await connect(index);
    if (!reached) co_return reached.error();
    co_return world_.hosts[index].current;
  }

  Task<Result<Prepared>> prepare(HostPlace place, Release) override {
    auto index = find(place);
    auto reached = co_await connect(index);
    if (!reached) co_return reached.error();
    co_await world_.reach(life_, Duration(world_.chance.pick(50, 3'000)));
    if (world_.faults.strikes(Fault::ssh_drops_during)) co_return Failure{Errc::timed_out, "connection lost during the upload"};
    co_return Prepared{world_.hosts[index].current, {}};
  }

  Task<Result<void>> upgrade(HostPlace place, Release release, std::string job) override {
    return swap(std::move(place), std::move(release.digest), std::move(job));
  }
  Task<Result<void>> revert(HostPlace place, std::string digest, std::string job) override {
    return swap(std::move(place), std::move(digest), std::move(job));
  }

  Task<Result<void>> prove_running(HostPlace place, std::string digest) override {
    auto index = find(place);
    auto& host = world_.hosts[index];
    for (int attempt = 0; attempt < 10; ++attempt) {
      co_await world_.reach(life_, Duration(attempt == 0 ? 5 : 500));
      if (host.powered && host.running == digest) co_return Result<void>{};
    }
    if (!host.powered) co_return Failure{Errc::unreachable, "no route to host"};
    if (host.running.empty()) co_return Failure{Errc::unreachable, "connection refused"};
    co_return Failure{Errc::refused, "answers as " + host.running};
  }

 private:
  std::size_t find(const HostPlace& place) const { return world_.find_host(place.name); }

  Task<Result<void>> connect(std::size_t index) {
    co_await world_.reach(life_, Duration(world_.chance.pick(2, 20)));
    auto& host = world_.hosts[index];
    if (!host.powered || world_.clock.steady() < host.ssh_refuses_until) co_return Failure{Errc::unreachable, "connection refused"};
    if (world_.faults.strikes(Fault::ssh_hangs)) {
      co_await world_.reach(life_, 30s);
      co_return Failure{Errc::unreachable, "no session within 30s"};
    }
    if (world_.faults.strikes(Fault::ssh_drops_before)) co_return Failure{Errc::unreachable, "connection lost before the command"};
    co_return Result<void>{};
  }

  // As a detached job does: it goes on when nobody waits for it, and asking again never runs it twice.
  Task<Result<void>> swap(HostPlace place, std::string digest, std::string job) {
    auto index = find(place);
    auto reached = co_await connect(index);
    if (!reached) co_return reached;
    auto& host = world_.hosts[index];
    if (!host.jobs.contains(job)) {
      if (!host.job.empty()) co_return Failure{Errc::unavailable, "the lock is held by job " + host.job};
      begin(index, digest, job);
    }
    auto ends = host.jobs[job].ends;
    if (world_.faults.strikes(Fault::ssh_drops_during)) {
      co_await world_.reach(life_, Duration(world_.chance.pick(1, 2'000)));
      co_return Failure{Errc::timed_out, "connection lost during the job"};
    }
    if (auto left = ends - world_.clock.steady(); left >= Duration(0)) co_await world_.reach(life_, left + Duration(5));
    auto& result = host.jobs[job];
    if (!host.powered) co_return Failure{Errc::unreachable, "no route to host"};
    if (world_.faults.strikes(Fault::answer_lost)) co_return Failure{Errc::timed_out, "connection lost, the job may have ended"};
    if (result.vanished) co_return Failure{Errc::timed_out, "the job was started and is gone without a result"};
    if (!result.works) co_return Failure{Errc::refused, "restart ended with 1: it did not start"};
    co_return Result<void>{};
  }

  void begin(std::size_t index, const std::string& digest, const std::string& job) {
    auto& host = world_.hosts[index];
    if (world_.tracing) world_.say(host.name, "job " + job + " swaps it to " + digest);
    if (world_.witness != nullptr) world_.witness->swaps(index, digest, job);
    auto& begun = host.jobs[job];
    begun.digest = digest;
    begun.ends = world_.clock.steady() + host.upgrade;
    begun.works = world_.releases[digest].kind != ReleaseKind::does_not_start && !world_.faults.strikes(Fault::restart_fails);
    bool vanishes = world_.faults.strikes(Fault::job_vanishes);
    host.job = job;
    world_.stops_running(index);
    host.current = digest;
    world_.at(begun.ends, [&world = world_, index, job, vanishes] {
      auto& there = world.hosts[index];
      auto& ended = there.jobs[job];
      if (there.job == job) there.job.clear();
      if (ended.vanished || !there.powered) return;
      ended.vanished = vanishes;
      if (ended.works) world.starts_to_run(index, ended.digest);
    });
  }

  World& world_;
  int life_;
};

class SimulatedCheck final : public Check {
 public:
  SimulatedCheck(World& world, int life) : world_(world), life_(life) {}
  const std::string& name() const override { return name_; }

  Task<CheckResult> ask(CheckTarget target) override {
    auto pause = Duration(world_.chance.pick(1, 20));
    if (world_.faults.strikes(Fault::check_hangs)) pause = 10s;
    co_await world_.reach(life_, pause);
    const auto& host = world_.hosts[world_.find_host(target.host)];
    bool good = host.serves() && world_.releases[host.running].kind != ReleaseKind::fails_checks &&
                world_.clock.steady() >= host.checks_fail_until && pause < 10s;
    if (world_.faults.strikes(Fault::check_lies)) good = !good;
    CheckResult result;
    result.status = good ? CheckStatus::ok : CheckStatus::critical;
    result.text = good ? "answers" : "does not answer";
    co_return result;
  }

 private:
  World& world_;
  int life_;
  std::string name_ = "answers";
};

// Asked for nothing but who is connected (`ss`).
class SimulatedExecutor final : public Executor {
 public:
  SimulatedExecutor(World& world, std::size_t host, int life) : world_(world), host_(host), life_(life) {}

  Task<Result<CommandResult>> run(std::string, std::string) override {
    co_await world_.reach(life_, Duration(world_.chance.pick(2, 20)));
    const auto& host = world_.hosts[host_];
    if (!host.powered || world_.clock.steady() < host.ssh_refuses_until) co_return Failure{Errc::unreachable, "connection refused"};
    CommandResult result;
    if (busy()) result.out = "0 0 10.0.0.1:80 10.9.9.9:40000\n";
    co_return result;
  }
  Task<Result<void>> open() override { co_return Result<void>{}; }
  Task<Result<CommandResult>> send(std::string, std::string, Duration) override { co_return nothing_else(); }
  Task<Result<CommandResult>> job(RemoteJob) override { co_return nothing_else(); }
  Task<Result<std::optional<CommandResult>>> job_result(std::string, std::string) override { co_return nothing_else(); }
  void close() override {}

 private:
  static Failure nothing_else() { return {Errc::bad_input, "nothing else is simulated"}; }

  // At the least weight few come, and between two of them nobody is there.
  bool busy() {
    auto now = world_.clock.steady();
    for (auto [pool_index, index] : world_.hosts[host_].members) {
      const auto& pool = world_.pools[pool_index];
      for (const auto& balancer : pool.balancers) {
        const auto& applied = balancer.members[index];
        bool lately = applied.setting.weight > 1 || now - pool.members[index].changed_at < world_.hosts[host_].drain;
        if (now < applied.drains_at || (pool.flows(balancer, index) && (lately || world_.chance.chance(0.2)))) return true;
      }
    }
    return false;
  }

  World& world_;
  std::size_t host_;
  int life_;
};

}  // namespace

std::unique_ptr<Releaser> World::make_releaser(int its_life) { return std::make_unique<SimulatedReleaser>(*this, its_life); }
std::shared_ptr<Check> World::make_check(int its_life) { return std::make_shared<SimulatedCheck>(*this, its_life); }

std::unique_ptr<Service> World::service(int its_life) {
  auto made = std::make_unique<Service>();
  made->stragglers.bring_back = brings_back;
  made->name = "web";
  made->strategy = strategy;
  made->pace = pace;
  made->verdict = verdict;
  made->check_policy = {2, 1s, 15s, true};
  auto executors = std::make_shared<std::vector<std::unique_ptr<SimulatedExecutor>>>();
  made->owned = executors;
  for (const auto& host : hosts) {
    ServiceHost place;
    executors->push_back(std::make_unique<SimulatedExecutor>(*this, made->hosts.size(), its_life));
    place.executor = executors->back().get();
    place.place = {host.name, host.name + ":80"};
    for (auto [pool, member] : host.members) place.members.emplace_back(pool, host.name);
    made->hosts.push_back(std::move(place));
  }
  for (std::size_t pool = 0; pool < pools.size(); ++pool) {
    ServicePool its;
    its.store = make_store(pool, its_life);
    for (std::size_t balancer = 0; balancer < pools[pool].balancers.size(); ++balancer)
      its.views.push_back(make_view(pool, balancer, its_life));
    if (verdict_ticks) its.front_end = make_front_end(pool, its_life);
    made->claims.push_back("pool " + pools[pool].name);
    made->pools.push_back(std::move(its));
  }
  made->releaser = make_releaser(its_life);
  made->checks.push_back(make_check(its_life));
  return made;
}

}  // namespace shiftd::simulator
