// Pool stores and load balancers. As conftool in etcd: a store with compare-and-swap, followed by load balancers that
// take up each change a moment later. As HAProxy: the load balancer's own memory, without conditions, lost by a restart.

#include <algorithm>

#include "tests/simulator/world.hpp"

namespace shiftd::simulator {

std::size_t Pool::find(std::string_view member) const {
  auto before = [](const Member& one, std::string_view wanted) { return one.name < wanted; };
  auto found = std::lower_bound(members.begin(), members.end(), member, before);
  return found != members.end() && found->name == member ? static_cast<std::size_t>(found - members.begin()) : members.size();
}

std::string Pool::bytes_of(const Member& member, const Setting& setting) const {
  if (!conditional) return to_string(setting);
  return "{\"weight\": " + std::to_string(setting.weight) + ", \"pooled\": \"" + std::string(to_string(setting.pooled)) +
         "\", \"note\": " + std::to_string(member.note) + "}";
}

Observed Pool::observed(const Member& member) const {
  auto revision = epoch() + (conditional ? std::to_string(member.revision) : to_string(member.setting));
  return {member.setting, bytes_of(member, member.setting), std::move(revision)};
}

bool Pool::flows(const Balancer& balancer, std::size_t member) const {
  const auto& applied = balancer.members[member];
  return !balancer.dead && applied.setting.pooled == Pooled::yes && applied.setting.weight > 0 && (applied.up || applied.held);
}

void World::apply(std::size_t pool_index, std::size_t balancer_index, std::size_t member, bool weight_ignored) {
  auto& pool = pools[pool_index];
  auto& balancer = pool.balancers[balancer_index];
  auto& applied = balancer.members[member];
  bool flowed = pool.flows(balancer, member);
  // Any change of a pool makes PyBal look again at all of it, and drops whom it held.
  for (std::size_t index = 0; balancer.held > 0; ++index) {
    auto& each = balancer.members[index];
    if (!each.held) continue;
    Rerouting rerouting(*this, pool_index, balancer_index, index);
    each.held = false;
    --balancer.held;
    each.since = each.drains_at = clock.steady();
  }
  Rerouting rerouting(*this, pool_index, balancer_index, member);
  auto weight = applied.setting.weight;
  applied.setting = pool.members[member].setting;
  if (weight_ignored) applied.setting.weight = weight;
  bool flows = pool.flows(balancer, member);
  if (flowed == flows) return;
  applied.since = clock.steady();
  if (flowed) applied.drains_at = clock.steady() + hosts[pool.members[member].host].drain;
}

void World::change(std::size_t pool_index, std::size_t index, const Setting& setting, By by, bool late) {
  auto& pool = pools[pool_index];
  auto& member = pool.members[index];
  auto before = member.setting;
  member.before_last = pool.observed(member);
  member.changed_at = clock.steady();
  if (by != By::us) {
    member.others_at = clock.steady();
    member.weight_before_others = std::max(member.carries(), setting.pooled == Pooled::yes ? setting.weight : 0);
  }
  member.setting = setting;
  ++member.revision;
  ++pool.changes;
  if (by == By::restart) {
    member.theirs = false;
    // A runtime weight that was found there may be given back all the same; and whom we hold goes back as it was found.
    bool as_found = member.by_us && member.base.pooled == Pooled::yes;
    member.base = {as_found ? Pooled::yes : setting.pooled,
                   std::max({setting.weight, member.base.weight, member.before.value_or(setting).weight})};
    member.forgotten = member.by_us;
  }
  if (by == By::us) member.by_us = setting;
  if (late && !pool.conditional) {
    // Nobody can tell any more that it was somebody else's for a moment.
    member.theirs = false;
    member.base = member.before.value_or(member.base);
    member.before.reset();
  }
  if (tracing) {
    const char* const whose[] = {"shiftd", "a person", "its restart"};
    say(pool.name, member.name + " is " + to_string(setting) + ", by " + whose[static_cast<int>(by)] + (late ? ", late" : ""));
  }
  for (std::size_t balancer = 0; balancer < pool.balancers.size(); ++balancer) {
    auto pause = pool.conditional ? chance.between(20ms, 400ms) : Duration(0);
    bool weight_ignored = pool.conditional && before.weight != setting.weight && faults.strikes(Fault::weight_ignored);
    if (pool.conditional && faults.strikes(Fault::applied_late)) pause += faults.chance(Fault::applied_late).between(1s, 40s);
    if (pause == Duration(0)) {
      apply(pool_index, balancer, index, false);
    } else {
      after(pause, [=, this] { apply(pool_index, balancer, index, weight_ignored); });
      // Somebody notices in the end.
      if (weight_ignored) after(pause + 5min, [=, this] { apply(pool_index, balancer, index, false); });
    }
  }
  if (by == By::us && witness != nullptr) witness->wrote(pool_index, index, before, late);
  if (by == By::us) member.forgotten.reset();
  if (by != By::others) member.before_us = by == By::us ? std::optional(before) : std::nullopt;
}

// HAProxy forgets what was set; PyBal reads etcd again. Both find out anew who is well.
void World::restart_balancer(std::size_t pool_index, std::size_t balancer_index) {
  auto& pool = pools[pool_index];
  auto& balancer = pool.balancers[balancer_index];
  say(balancer.name, "restarts");
  balancer.restarted_at = clock.steady();
  if (pool.conditional && faults.on(Fault::view_closed)) close(pool_index, balancer_index, 10s);
  if (!pool.conditional) {
    ++pool.life;
    ++pool.changes;
    pool.frozen_until = Steady{};
    ++pool.counters_life;
    for (auto& member : pool.members) member.counted_requests = member.counted_failures = 0;
  }
  for (std::size_t member = 0; member < pool.members.size(); ++member) {
    if (!pool.conditional && pool.members[member].setting != pool.members[member].configured)
      change(pool_index, member, pool.members[member].configured, By::restart);
    apply(pool_index, balancer_index, member, false);
    balancer.members[member].drains_at = clock.steady();
  }
}

void World::close(std::size_t pool, std::size_t balancer_index, Duration a_while) {
  auto& balancer = pools[pool].balancers[balancer_index];
  if (balancer.closed_until <= clock.steady()) balancer.closed_since = clock.steady();
  balancer.closed_until = std::max(balancer.closed_until, clock.steady() + a_while);
}

namespace {

class SimulatedStore final : public PoolStore {
 public:
  SimulatedStore(World& world, std::size_t pool, int life) : world_(world), index_(pool), life_(life) {}

  const std::string& name() const override { return pool().name; }
  const Capabilities& capabilities() const override { return pool().capabilities; }

  Task<Result<PoolReading>> read() override {
    auto asked = co_await ask();
    if (!asked) co_return asked.error();
    co_return what_it_holds();
  }

  PoolReading what_it_holds() {
    PoolReading reading;
    reading.epoch = pool().epoch();
    reading.members.reserve(pool().members.size());
    bool stale = pool().conditional && world_.faults.strikes(Fault::store_stale);
    for (const auto& member : pool().members) {
      bool past = stale && member.before_last && world_.clock.steady() - member.changed_at < 3s;
      reading.members.push_back({member.name, past ? *member.before_last : pool().observed(member), {}, pool().as_configured(member)});
    }
    return reading;
  }

  Task<Result<PoolReading>> watch(PoolReading last, Duration at_most) override {
    if (world_.faults.strikes(Fault::store_forgets_watch)) {
      co_await world_.reach(life_, 10ms);
      co_return Failure{Errc::unexpected_reply, "the event history is gone: the requested index is outdated"};
    }
    auto until = world_.clock.steady() + at_most;
    std::optional<std::uint64_t> looked_at;
    while (true) {
      auto asked = co_await ask();
      if (!asked) co_return asked.error();
      // Most of the time nothing has changed since the last look.
      if (std::exchange(looked_at, pool().changes) != pool().changes || world_.clock.steady() >= until) {
        auto reading = what_it_holds();
        if (reading.epoch != last.epoch || reading.members != last.members || world_.clock.steady() >= until) co_return reading;
      }
      co_await world_.reach(life_, std::min(Duration(1'000), until - world_.clock.steady()));
    }
  }

  Task<Result<WriteOutcome>> write(MemberWrite wanted) override {
    auto asked = co_await ask();
    if (!asked) co_return asked.error();
    auto at = pool().find(wanted.member);
    if (at == pool().members.size()) co_return Failure{Errc::not_found, "no member " + wanted.member};
    auto& member = pool().members[at];
    auto now = pool().observed(member);
    auto to = wanted.setting;
    bool same = now.setting == to;
    if (same) {
      // Who has put it in asks for what we do anyway (decision 0005).
      if (to.pooled == Pooled::yes) member.theirs = false;
      co_return WriteOutcome(Written{now, wanted.based_on.starts_with(pool().epoch()) && now.revision != wanted.based_on});
    }
    bool other_life = !wanted.based_on.starts_with(pool().epoch());
    bool forgotten = other_life && pool().as_configured(member);
    bool same_value = other_life ? wanted.based_on.ends_with("|" + now.bytes) : now.revision == wanted.based_on;
    if (!forgotten && !same_value) co_return WriteOutcome(ForeignChange{now});
    if (std::find(member.asked.begin(), member.asked.end(), to) == member.asked.end()) member.asked.push_back(to);
    if (world_.faults.strikes(Fault::write_lands_late)) {
      land_later(at, to, member.revision);
      co_await world_.reach(life_, Duration(world_.chance.pick(10, 500)));
      co_return Failure{Errc::timed_out, "no answer"};
    }
    world_.change(index_, at, to, By::us);
    auto written = pool().observed(member);
    co_await world_.reach(life_, Duration(world_.chance.pick(0, 3)));
    if (world_.faults.strikes(Fault::write_unheard)) co_return Failure{Errc::timed_out, "no answer"};
    co_return WriteOutcome(Written{written});
  }

  std::string restore_command(std::string_view member, const Observed& original) const override {
    return "restore " + std::string(member) + " " + original.bytes;
  }

 private:
  [[nodiscard]] Pool& pool() const { return world_.pools[index_]; }

  // A frozen HAProxy answers nobody until it has done what it was sent; a compare-and-swap lands when its time comes.
  void land_later(std::size_t member, Setting to, int revision) {
    auto pause = world_.faults.chance(Fault::write_lands_late).between(100ms, pool().conditional ? Duration(30s) : Duration(3s));
    auto life = pool().life;
    auto index = index_;
    if (!pool().conditional) pool().frozen_until = world_.clock.steady() + pause;
    world_.after(pause, [&world = world_, member, to, revision, life, index] {
      auto& there = world.pools[index];
      if (there.life != life || (there.conditional && there.members[member].revision != revision)) return;
      world.change(index, member, to, By::us, true);
    });
  }

  Task<Result<void>> ask() {
    auto pause = Duration(world_.chance.pick(0, 5));
    if (world_.faults.strikes(Fault::store_slow)) pause += world_.faults.chance(Fault::store_slow).between(500ms, 4s);
    co_await world_.reach(life_, pause);
    while (world_.clock.steady() < pool().frozen_until) co_await world_.reach(life_, pool().frozen_until - world_.clock.steady());
    bool dead = !pool().conditional && pool().balancers[0].dead;
    if (dead || world_.clock.steady() < pool().down_until) co_return Failure{Errc::unreachable, "connection refused"};
    co_return Result<void>{};
  }

  World& world_;
  std::size_t index_;
  int life_;
};

// Of HAProxy 2.6 with 10,000 servers `show stat` takes 50 ms.
Duration time_of(std::size_t members) { return Duration(members / 200); }

class SimulatedView final : public TrafficView {
 public:
  SimulatedView(World& world, std::size_t pool, std::size_t balancer, int life)
      : world_(world), pool_(pool), balancer_(balancer), life_(life) {}

  const std::string& name() const override { return balancer().name; }

  Task<Result<ViewReading>> read() override {
    auto pause = Duration(world_.chance.pick(0, 3)) + time_of(balancer().members.size());
    if (world_.faults.strikes(Fault::view_slow)) pause += world_.faults.chance(Fault::view_slow).between(500ms, 4s);
    if (pause > world_.pace.call_limit) balancer().slow_until = world_.clock.steady() + pause;
    co_await world_.reach(life_, pause);
    const auto& pool = world_.pools[pool_];
    auto now = world_.clock.steady();
    while (!pool.conditional && world_.clock.steady() < pool.frozen_until) co_await world_.reach(life_, pool.frozen_until - now);
    now = world_.clock.steady();
    if (balancer().dead || now < balancer().silent_until) co_return Failure{Errc::unreachable, "connection refused"};
    if (now < balancer().not_found_until) co_return Failure{Errc::not_found, "404"};
    if (now < balancer().nonsense_until) co_return Failure{Errc::unexpected_reply, "'<html>' is no JSON"};
    ViewReading reading;
    reading.epoch = std::to_string(pool.life);
    reading.members.reserve(pool.members.size());
    if (now < balancer().closed_until) reading.closed.emplace_back("its monitors need a moment");
    for (std::size_t member = 0; member < pool.members.size(); ++member) {
      const auto& applied = balancer().members[member];
      MemberView view;
      bool wants = applied.setting.pooled == Pooled::yes && applied.setting.weight > 0;
      view.traffic = wants ? Traffic::flowing : now < applied.drains_at ? Traffic::draining : Traffic::none;
      view.health = applied.up ? Health::up : Health::down;
      view.weight = pool.flows(balancer(), member) ? applied.setting.weight : 0;
      if (applied.held) reading.closed.push_back(pool.members[member].name + " is down but pooled");
      view.connections = view.traffic == Traffic::draining ? 1 : 0;
      reading.members.emplace_back(pool.members[member].name, std::move(view));
    }
    co_return reading;
  }

 private:
  [[nodiscard]] Balancer& balancer() const { return world_.pools[pool_].balancers[balancer_]; }

  World& world_;
  std::size_t pool_;
  std::size_t balancer_;
  int life_;
};

}  // namespace

std::unique_ptr<PoolStore> World::make_store(std::size_t pool, int its_life) {
  return std::make_unique<SimulatedStore>(*this, pool, its_life);
}

std::unique_ptr<TrafficView> World::make_view(std::size_t pool, std::size_t balancer, int its_life) {
  return std::make_unique<SimulatedView>(*this, pool, balancer, its_life);
}

}  // namespace shiftd::simulator
