#pragma once

// The true state of the simulated world, and what happens in it by itself. The daemon under test sees it only through
// its own interfaces (balancers.cpp, hosts.cpp, traffic.cpp, journal.cpp); the checkers see all of it.
//
// Time is the clock's. What is due happens in the order of its time, ties in the order in which they were asked for.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/driver/service.hpp"
#include "daemon/engine/event.hpp"
#include "daemon/store/journal.hpp"
#include "tests/fakes/simulated_clock.hpp"
#include "tests/simulator/faults.hpp"
#include "tests/simulator/random.hpp"

namespace shiftd::simulator {

using namespace std::chrono_literals;
using shiftd::to_string;

inline constexpr Steady never = Steady::max();

enum class ReleaseKind : std::uint8_t { good, bad, slowly_bad, flapping, does_not_start, fails_checks, dies_later };
std::string_view to_string(ReleaseKind kind);

struct SomeRelease {
  std::string digest;
  ReleaseKind kind = ReleaseKind::good;
  double failure_rate = 0;  // at its worst
  double served = 0;        // requests that were sent to it
  double counted = 0;       // of them, when a front end was last asked
};

struct Host {
  struct Job {
    Steady ends;
    std::string digest;
    bool works = true;
    bool vanished = false;
  };

  std::string name;
  std::string current;  // the digest that `current` names
  std::string running;  // the digest that answers; empty: nothing does
  Steady running_since;
  bool powered = true;
  bool lost_power = false;  // ever
  Steady ssh_refuses_until{};
  Steady checks_fail_until{};
  std::map<std::string, Job> jobs;
  std::string job;           // the one that holds the lock; empty: none
  std::uint64_t starts = 0;  // counts what makes an earlier plan to start or die void
  Duration drain{0};
  Duration upgrade{0};
  std::vector<std::pair<std::size_t, std::size_t>> members;  // pool, member

  [[nodiscard]] bool serves() const { return powered && !running.empty(); }
};

// What one load balancer does with one member.
struct Applied {
  Setting setting;
  bool up = true;      // by its own check
  bool held = false;   // down, and kept in traffic all the same: too few others are up
  Steady since{};      // when traffic last began or ceased to flow
  Steady checked{};    // when what its check finds last changed
  Steady drains_at{};  // when the last request that was there at the end will have ended

  // Its part of the traffic (traffic.cpp).
  int routed = 0;                // of its load balancer's weight, now
  bool beside = false;           // and its host does not run the wanted release
  double had = 0;                // Balancer::sent when it was last given what it was sent
  double had_beside_others = 0;  // the same of Balancer::sent_beside_others
};

struct Balancer {
  std::string name;
  bool dead = false;
  Steady silent_until{};
  Steady slow_until{};  // an answer that nobody waits for any more
  Steady not_found_until{};
  Steady nonsense_until{};
  Steady closed_since{};
  Steady closed_until{};
  Steady restarted_at{};
  std::vector<Applied> members;
  std::size_t held = 0;  // of them

  // What is sent (traffic.cpp): changes cost nothing for those whom they do not concern.
  bool routes = false;            // the sums below are made
  std::int64_t weight = 0;        // of the members that traffic flows to
  std::size_t others = 0;         // of these, how many do not run the wanted release
  double sent = 0;                // requests for each unit of weight, so far
  double sent_beside_others = 0;  // of these, while one of the others could have had them
};

struct Member {
  std::string name;
  std::size_t host = 0;
  Setting setting;
  int revision = 1;
  int note = 0;                         // another field of its bytes, which tools change
  std::optional<Observed> before_last;  // what a stale read shows
  Steady changed_at{};
  Setting configured;                // what a restart brings back
  std::optional<Setting> by_us;      // as we last set it
  std::optional<Setting> before_us;  // what it was before our last write, while nothing restarted
  std::optional<Setting> forgotten;  // the same, undone by a restart, until we set it again

  // Whose it is, for the checkers.
  bool theirs = false;            // changed by somebody else, to what we never asked for, and not handed back
  Steady others_at{};             // when others last changed it, or lost it
  int weight_before_others = 0;   // what it carried before that
  std::vector<Setting> asked;     // by us, ever
  Setting base;                   // how it is when nobody of us meddles
  std::optional<Setting> before;  // base before a person's change, should it be taken back

  // Counters of the front end.
  double requests = 0;  // served, fractions kept
  double failures = 0;
  std::uint64_t counted_requests = 0;
  std::uint64_t counted_failures = 0;

  [[nodiscard]] int carries() const { return setting.pooled == Pooled::yes ? setting.weight : 0; }
};

struct Pool {
  std::string name;
  Capabilities capabilities;
  bool conditional = false;  // as conftool in etcd, followed by load balancers; else as HAProxy, which is its own store
  int life = 1;
  int counters_life = 1;
  std::uint64_t changes = 0;  // of what its store holds
  double rate = 0;            // requests a second
  Steady down_until{};
  Steady frozen_until{};
  Steady counters_stalled_at{};
  Steady counters_stall_until{};
  std::vector<Member> members;  // ordered by name
  std::vector<Balancer> balancers;

  [[nodiscard]] std::size_t find(std::string_view member) const;
  // Nobody has set anything of it since its HAProxy began.
  [[nodiscard]] bool as_configured(const Member& member) const { return !conditional && member.setting == member.configured; }
  [[nodiscard]] std::string epoch() const { return conditional ? "etcd" : "life" + std::to_string(life) + "|"; }
  [[nodiscard]] std::string bytes_of(const Member& member, const Setting& setting) const;
  [[nodiscard]] Observed observed(const Member& member) const;
  // Whether the load balancer sends it new requests.
  [[nodiscard]] bool flows(const Balancer& balancer, std::size_t member) const;
};

enum class By : std::uint8_t { us, others, restart };

// What the checkers are told. Every word is about the true world.
class Witness {
 public:
  virtual ~Witness() = default;
  // A write of ours has reached the store: `member` has changed already. `late`: after its caller had given it up.
  virtual void wrote(std::size_t pool, std::size_t member, const Setting& before, bool late) = 0;
  // A swap begins on the host.
  virtual void swaps(std::size_t host, const std::string& digest, const std::string& job) = 0;
  // The journal has taken these records.
  virtual void saved(const std::string& rollout, const std::vector<std::string>& records) = 0;
};

class World;

struct Limits {
  int hosts = 0;                         // at most; 0: as drawn
  std::vector<Fault> without;            // faults taken away
  std::function<void(World&)> set_up{};  // fleet, release and strategy, instead of what the seed draws; nothing goes wrong
};

class World {
 public:
  World(std::uint64_t seed, const Limits& limits, bool tracing);

  // options.cpp: what the seed draws.
  void draw_fleet(const Limits& limits);
  void draw_strategy();
  void draw_preparing();
  void draw_verdict();
  void draw_release();

  // The daemon's side of everything, for one life of it.
  std::unique_ptr<Service> service(int its_life);

  // The agenda.
  void at(Steady when, std::function<void()> what) { agenda_.emplace(when, std::move(what)); }
  void after(Duration pause, std::function<void()> what) { at(clock.steady() + pause, std::move(what)); }
  // Time passes until something is due, which then happens. False: nothing ever will be.
  bool pass_time();

  // Waits, then goes on only when that life of the daemon still is: what a dead process asked for is not answered.
  Task<> reach(int its_life, Duration pause);

  // balancers.cpp
  void change(std::size_t pool, std::size_t member, const Setting& setting, By by, bool late = false);
  void apply(std::size_t pool, std::size_t balancer, std::size_t member, bool weight_ignored);
  void restart_balancer(std::size_t pool, std::size_t balancer);
  void close(std::size_t pool, std::size_t balancer, Duration a_while);
  std::unique_ptr<PoolStore> make_store(std::size_t pool, int its_life);
  std::unique_ptr<TrafficView> make_view(std::size_t pool, std::size_t balancer, int its_life);

  // hosts.cpp
  [[nodiscard]] std::size_t find_host(const std::string& name) const;
  void starts_to_run(std::size_t host, const std::string& digest);
  void stops_running(std::size_t host);
  void note_health(std::size_t host);
  [[nodiscard]] bool holds(std::size_t pool, std::size_t balancer) const;
  void power_off(std::size_t host, Duration until_on);
  std::unique_ptr<Releaser> make_releaser(int its_life);
  std::shared_ptr<Check> make_check(int its_life);

  // traffic.cpp
  void serve_traffic();  // up to now, and everybody has what they were sent
  void pass_traffic();   // up to now
  [[nodiscard]] double failure_rate(const SomeRelease& release, Duration age) const;
  [[nodiscard]] double failure_rate(const Host& host) const;
  std::unique_ptr<FrontEnd> make_front_end(std::size_t pool, int its_life);

  // journal.cpp
  std::unique_ptr<Journal> make_journal(int its_life);

  // people.cpp
  void schedule_faults();
  void strike(Fault fault);
  void heal();

  // The first one counts.
  void violate(std::string_view promise, std::string what);
  void say(std::string_view subject, const std::string& text);

  std::uint64_t seed;
  Random draw;    // of the options
  Random chance;  // of ordinary life: latencies
  Faults faults;
  SimulatedClock clock;
  bool tracing;
  bool healed = false;

  std::vector<Host> hosts;
  std::vector<Pool> pools;
  std::map<std::string, SomeRelease> releases;
  std::string wanted;  // the digest of the rollout
  Strategy strategy;
  bool brings_back = false;   // hosts that missed a release
  bool irreversible = false;  // the wanted release
  AnalysisOptions verdict;
  Pace pace;
  bool verdict_ticks = true;     // whether front ends count at all
  double failed_requests = 0;    // users' errors, of any cause
  double failed_by_release = 0;  // of these, answered by the wanted release where another could have answered
  double failed_without_us = 0;  // users' errors, had every host taken the release at the first swap
  double failed_before_us = 0;   // answered by the wanted release before that
  Steady first_swap{};
  Steady served_until;

  std::unique_ptr<Journal> disk = make_memory_journal();  // outlives every life of the daemon
  Steady disk_full_since{};
  Steady disk_full_until{};
  int life = 0;
  std::function<void()> kill = [] {};  // the simulation's
  std::function<void(Verb, std::size_t host)> person_says = [](Verb, std::size_t) {};
  std::function<void()> person_starts = [] {};
  Witness* witness = nullptr;
  std::uint64_t steps = 0;

  std::string broken_promise;
  std::string broken_how;

  // What is seen of the world may be this old before one who looks as often as we do has to know better.
  [[nodiscard]] Duration view_age() const { return pace.idle_view + 2 * pace.call_limit + 3s; }

 private:
  friend class Rerouting;
  void give(Pool& pool, Balancer& balancer, std::size_t member);
  void route(Pool& pool, Balancer& balancer, std::size_t member);

  std::multimap<Steady, std::function<void()>> agenda_;
};

// Lives while something changes that decides what a member, or every member of a host, is sent and answers: it is given what it was sent
// so far, and what comes is sent anew.
class Rerouting {
 public:
  Rerouting(World& world, std::size_t pool, std::size_t balancer, std::size_t member);
  Rerouting(World& world, std::size_t host);
  ~Rerouting();
  Rerouting(const Rerouting&) = delete;
  Rerouting& operator=(const Rerouting&) = delete;

 private:
  void begin();
  template <class Do>
  void each(Do what);

  World& world_;
  std::vector<std::pair<std::size_t, std::size_t>> members_;  // pool, member
  std::optional<std::size_t> balancer_;                       // none: every one
};

}  // namespace shiftd::simulator
