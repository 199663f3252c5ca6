#include "tests/fakes/small_world.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>

#include <nlohmann/json.hpp>

#include "daemon/release/restart.hpp"

namespace shiftd {
namespace {

std::string bytes_of(const Setting& setting) { return to_string(setting); }

constexpr Setting configured{Pooled::yes, 100};

std::string epoch_of(const SmallWorld& world) { return "epoch" + std::to_string(world.epoch); }

Observed observed(const SmallWorld& world, const Setting& setting) {
  return {setting, bytes_of(setting), epoch_of(world) + ":" + bytes_of(setting)};
}

Failure silent() { return {Errc::unreachable, "nobody answers"}; }

class Store final : public PoolStore {
 public:
  explicit Store(SmallWorld& world) : world_(world) {}
  const std::string& name() const override { return name_; }
  const Capabilities& capabilities() const override { return world_.capabilities; }

  Task<Result<PoolReading>> read() override {
    if (world_.read_time > Duration(0)) co_await world_.clock.sleep_for(world_.read_time);
    if (!world_.store_answers) co_return silent();
    PoolReading reading;
    reading.epoch = epoch_of(world_);
    for (const auto& [host, state] : world_.hosts)
      reading.members.push_back({host, observed(world_, state.past.value_or(state.setting)), state.malformed, state.setting == configured});
    co_return reading;
  }

  Task<Result<WriteOutcome>> write(MemberWrite wanted) override {
    auto place = 1 + std::distance(world_.hosts.begin(), world_.hosts.find(wanted.member));
    if (world_.write_time > Duration(0)) co_await world_.clock.sleep_for(world_.write_time * place);
    if (!world_.store_answers) co_return silent();
    world_.pass_time();
    auto& host = world_.hosts.at(wanted.member);
    if (!host.malformed.empty()) co_return Failure{Errc::refused, host.malformed};
    auto now = observed(world_, host.setting);
    bool same_life = wanted.based_on.starts_with(epoch_of(world_));
    if (now.setting == wanted.setting) co_return WriteOutcome(Written{now, same_life && now.revision != wanted.based_on});
    bool forgotten = !same_life && host.setting == configured;
    if (!forgotten && now.revision != wanted.based_on) co_return WriteOutcome(ForeignChange{now});
    if (host.setting.pooled == Pooled::yes && wanted.setting.pooled != Pooled::yes)
      host.drains_at = world_.clock.steady() + world_.drain_time;
    if (wanted.setting.pooled == Pooled::yes && wanted.setting.weight == 1) host.idle_at = world_.clock.steady() + world_.connection_time;
    if (host.setting.pooled == Pooled::yes && wanted.setting.pooled != Pooled::yes && world_.connections(host) > 0) {
      if (world_.capabilities.cuts_connections) ++world_.cut_connections;
    }
    host.setting = wanted.setting;
    ++world_.writes;
    world_.written_at.emplace_back(host.setting, world_.clock.steady());
    co_return WriteOutcome(Written{observed(world_, host.setting)});
  }

  Task<Result<PoolReading>> watch(PoolReading last, Duration at_most) override {
    auto until = world_.clock.steady() + at_most;
    while (true) {
      auto reading = co_await read();
      if (!reading || reading->members != last.members || reading->epoch != last.epoch || world_.clock.steady() >= until) co_return reading;
      co_await world_.clock.sleep_for(Duration(200));
    }
  }

  std::string restore_command(std::string_view member, const Observed& original) const override {
    return "restore " + std::string(member) + " " + original.bytes;
  }

 private:
  SmallWorld& world_;
  std::string name_ = "lb1/app";
};

class View final : public TrafficView {
 public:
  explicit View(SmallWorld& world) : world_(world) {}
  const std::string& name() const override { return name_; }

  Task<Result<ViewReading>> read() override {
    ++world_.looks;
    if (!world_.view_answers) co_return silent();
    ViewReading reading;
    reading.epoch = epoch_of(world_);
    reading.closed = world_.view_closed;
    reading.depool_threshold = world_.view_threshold;
    if (world_.view_threshold > 0) reading.counted = static_cast<std::uint32_t>(world_.hosts.size());
    for (auto& [name, host] : world_.hosts) {
      if (world_.view_listens) host.taken_up = host.setting;
      if (host.setting.pooled == Pooled::inactive) continue;  // as PyBal does not know such a server
      MemberView view;
      view.taken_up = host.taken_up;
      view.traffic = host.setting.pooled == Pooled::yes       ? Traffic::flowing
                     : world_.clock.steady() < host.drains_at ? Traffic::draining
                                                              : Traffic::none;
      view.health = host.health_up && !host.running.empty() ? Health::up : Health::down;
      view.weight = host.setting.pooled == Pooled::yes ? host.setting.weight : 0;
      reading.members.emplace_back(name, view);
    }
    if (world_.look_time > Duration(0)) co_await world_.clock.sleep_for(world_.look_time);
    co_return reading;
  }

 private:
  SmallWorld& world_;
  std::string name_ = "lb1/app";
};

class Counts final : public FrontEnd {
 public:
  explicit Counts(SmallWorld& world) : world_(world) {}
  const std::string& name() const override { return name_; }

  Task<Result<CountsReading>> poll() override {
    if (!world_.front_end_answers) co_return silent();
    world_.pass_time();
    CountsReading reading;
    reading.first = counted_.empty();
    for (auto& [name, host] : world_.hosts) {
      auto& counted = counted_[name];
      Counted now{static_cast<std::uint64_t>(host.requests), static_cast<std::uint64_t>(host.failures)};
      HostCounts counts;
      counts.member = name;
      if (!reading.first) counts.requests = now.first - counted.first;
      if (!reading.first) counts.failures = now.second - counted.second;
      counted = now;
      reading.hosts.push_back(std::move(counts));
    }
    co_return reading;
  }
  std::string checkpoint() const override { return nlohmann::json(counted_).dump(); }
  Result<void> restore(const std::string& checkpoint) override {
    counted_ = nlohmann::json::parse(checkpoint).get<std::map<std::string, Counted>>();
    return {};
  }

 private:
  using Counted = std::pair<std::uint64_t, std::uint64_t>;  // requests, failures

  SmallWorld& world_;
  std::string name_ = "lb1/app";
  std::map<std::string, Counted> counted_;
};

// Two counters for each host, "slow" and "all", and its "weight".
class Metrics final : public MetricSource {
 public:
  explicit Metrics(SmallWorld& world) : world_(world) {}

  Task<Result<std::map<std::string, double>>> ask(std::string query) override {
    if (!world_.metrics_trouble.empty()) co_return Failure{Errc::unreachable, world_.metrics_trouble};
    world_.pass_time();
    std::map<std::string, double> values;
    for (auto& [name, host] : world_.hosts) {
      auto value = query == "weight" ? static_cast<double>(host.setting.weight) : std::floor(query == "slow" ? host.slow : host.requests);
      values.emplace(name + ":9100", value);
    }
    co_return values;
  }

 private:
  SmallWorld& world_;
};

class Upgrades final : public Releaser {
 public:
  explicit Upgrades(SmallWorld& world) : world_(world) {}

  Task<Result<std::string>> inspect(HostPlace place) override {
    auto& host = world_.hosts.at(place.name);
    if (!host.reachable) co_return silent();
    co_return host.current;
  }
  // A configuration is named "/latest", and frozen as what that is now.
  Task<Result<Release>> check_source(Release release) override {
    if (release.config == "/latest") release.config = world_.configuration;
    co_return release;
  }
  Task<Result<Release>> complete(Release release, std::vector<std::string> found) override {
    if (release.config.empty()) co_return release;
    if (release.digest.empty()) release.digest = found.front().substr(0, found.front().find('-'));
    release.digest += "-" + release.config;
    co_return release;
  }
  Task<Result<std::string>> dry_run(HostPlace place, Release release) override {
    auto& host = world_.hosts.at(place.name);
    if (!host.reachable) co_return silent();
    co_return host.dry_run.empty() ? host.dry_run : release.version + ": " + host.dry_run;
  }
  Task<Result<Prepared>> prepare(HostPlace place, Release) override {
    co_await world_.clock.sleep_for(world_.prepare_time);
    auto& host = world_.hosts.at(place.name);
    if (!host.reachable) co_return silent();
    co_return Prepared{host.current, {}};
  }
  Task<> stand_by(HostPlace place) override {
    world_.hosts.at(place.name).stands_by = true;
    co_return;
  }
  Task<Result<void>> upgrade(HostPlace place, Release release, std::string job) override {
    return swap(std::move(place), std::move(release.digest), std::move(job));
  }
  Task<Result<void>> revert(HostPlace place, std::string digest, std::string job) override {
    return swap(std::move(place), std::move(digest), std::move(job));
  }

  Task<Result<void>> reboot(HostPlace place, std::string job) {
    auto& host = world_.hosts.at(place.name);
    if (host.reachable && !host.jobs.contains(job)) ++host.boots;
    return swap(std::move(place), host.current, std::move(job));
  }

  Task<Result<void>> prove_running(HostPlace place, std::string digest) override {
    auto& host = world_.hosts.at(place.name);
    if (host.running == digest) co_return Result<void>{};
    co_return Failure{Errc::refused, "answers as " + (host.running.empty() ? "nobody" : host.running)};
  }

 private:
  // As a detached job does: what runs goes on when nobody waits for it, and asking again never runs it twice.
  Task<Result<void>> swap(HostPlace place, std::string digest, std::string job) {
    auto& host = world_.hosts.at(place.name);
    if (!host.reachable) co_return silent();
    auto [started, is_new] = host.jobs.try_emplace(job);
    auto& running_job = started->second;
    if (is_new) {
      world_.pass_time();
      ++host.swaps[digest];
      host.current = digest;
      host.running.clear();
      running_job = {world_.clock.steady() + world_.upgrade_time, !world_.fails_to_start.contains(digest)};
    }
    co_await world_.clock.sleep_until(running_job.ends);
    if (!host.reachable) co_return silent();
    world_.pass_time();
    if (!running_job.works) co_return Failure{Errc::refused, "the restart failed: exit status 1"};
    host.running = digest;
    co_return Result<void>{};
  }

  SmallWorld& world_;
};

class Answers final : public Check {
 public:
  explicit Answers(SmallWorld& world) : world_(world) {}
  const std::string& name() const override { return name_; }
  Task<CheckResult> ask(CheckTarget target) override {
    auto& host = world_.hosts.at(target.host);
    world_.at_check(host);
    CheckResult result;
    bool good = host.checks_pass && !host.running.empty() && !world_.fails_checks.contains(host.running);
    result.status = good ? CheckStatus::ok : CheckStatus::critical;
    result.text = good ? "answers" : "does not answer";
    co_return result;
  }

 private:
  SmallWorld& world_;
  std::string name_ = "answers";
};

}  // namespace

SmallWorld::SmallWorld(Clock& its_clock, int count, int weight) : clock(its_clock), passed_until(its_clock.steady()) {
  verdict.warm_up = Duration(2000);
  verdict.watch_first = Duration(0);
  for (int number = 1; number <= count; ++number) {
    std::array<char, 32> name{};
    std::snprintf(name.data(), name.size(), "web%02d", number);
    add_host(name.data(), weight);
  }
}

SmallWorld::Host& SmallWorld::add_host(const std::string& name, int weight) {
  auto& host = hosts[name];
  host.current = host.running = "one";
  host.setting.weight = weight;
  host.executor = std::make_shared<FakeExecutor>(clock);
  host.executor->on("ss -Htn", [this, &host](const std::string&, const std::string&) -> Result<CommandResult> {
    if (!host.reachable) return silent();
    CommandResult listed;
    for (int left = connections(host); left > 0; --left) listed.out += "0 0 10.0.0.1:80 192.0.2.1:4000" + std::to_string(left) + "\n";
    return listed;
  });
  return host;
}

int SmallWorld::connections(const Host& host) const {
  bool comes = host.setting.pooled == Pooled::yes && host.setting.weight > 1;
  return comes || clock.steady() < host.idle_at ? 3 : 0;
}

std::unique_ptr<Service> SmallWorld::service(Strategy strategy) {
  auto made = std::make_unique<Service>();
  made->name = "web";
  made->strategy = std::move(strategy);
  made->verdict = verdict;
  made->metrics = metrics;
  if (!metrics.empty()) made->metric_source = std::make_unique<Metrics>(*this);
  made->check_policy = {2, Duration(100), Duration(5000), true};
  auto make = [this](const std::string& name) -> Result<ServiceHost> {
    ServiceHost place;
    place.place = {name, name + ":80"};
    place.members.emplace_back(0, name);
    place.executor = hosts.at(name).executor.get();
    return place;
  };
  if (hosts_are_found) {
    auto host_of = [](std::string_view member) { return member.starts_with("web") ? std::optional(std::string(member)) : std::nullopt; };
    made->found = FoundHosts{0, host_of, make};
  } else {
    for (const auto& [name, host] : hosts) made->hosts.push_back(*make(name));
  }
  ServicePool pool;
  pool.store = std::make_unique<Store>(*this);
  pool.views.push_back(std::make_unique<View>(*this));
  pool.front_end = std::make_unique<Counts>(*this);
  made->pools.push_back(std::move(pool));
  auto upgrades = std::make_unique<Upgrades>(*this);
  Reboot reboot;
  if (hosts_reboot)
    reboot = [its = upgrades.get()](HostPlace host, std::string job) { return its->reboot(std::move(host), std::move(job)); };
  made->releaser = with_restarts(std::move(upgrades), std::move(reboot));
  made->reboot_limit = Duration(600'000);
  made->checks.push_back(std::make_shared<Answers>(*this));
  made->claims = {"pool lb1/app"};
  return made;
}

void SmallWorld::pass_time() {
  auto now = clock.steady();
  auto seconds = static_cast<double>((now - passed_until).count()) / 1000;
  passed_until = now;
  if (seconds <= 0) return;
  double weights = 0;
  for (const auto& [name, host] : hosts) {
    if (host.setting.pooled == Pooled::yes) weights += host.setting.weight;
  }
  all_requests += rate * seconds;
  if (weights == 0) failed_requests += rate * seconds;
  for (auto& [name, host] : hosts) {
    if (host.setting.pooled != Pooled::yes || weights == 0) continue;
    auto requests = rate * seconds * host.setting.weight / weights;
    auto failing = host.running.empty() ? 1.0 : std::min(1.0, failure_rate[host.running] + host.ill_rate);
    host.requests += requests;
    host.slow += requests * slow_share[host.running];
    host.failures += requests * failing;
    failed_requests += requests * failing;
  }
}

void SmallWorld::restart_balancer() {
  pass_time();
  ++epoch;
  for (auto& [name, host] : hosts) host.setting = configured;
}

}  // namespace shiftd
