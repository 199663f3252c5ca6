#include "tests/simulator/simulation.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "daemon/driver/supervisor.hpp"
#include "daemon/io/task_group.hpp"

namespace shiftd::simulator {
namespace {

namespace asio = boost::asio;

// Faults go on for about this long; then everything must come to an end within the patience, and a large fleet has more of it.
constexpr Duration faults_least = 1min;
constexpr Duration faults_most = 15min;
constexpr Duration patience = std::chrono::hours(6);
constexpr Duration patience_for_a_host = std::chrono::minutes(3);
// A host that missed a release, and failed when it was first brought back, is tried again within this.
constexpr Duration patience_for_stragglers = std::chrono::hours(1);
constexpr std::size_t kept_rollouts = 100;

class Simulation {
 public:
  Simulation(std::uint64_t seed, const Limits& limits, bool tracing) : world_(seed, limits, tracing), checkers_(world_) {
    world_.witness = &checkers_;
    world_.kill = [this] { killing_ = true; };
    world_.person_says = [this](Verb verb, std::size_t host) { say(verb, host); };
    world_.person_starts = [this] { start("three"); };
  }
  ~Simulation() { halt(); }

  RunResult run() {
    describe();
    boot();
    world_.after(1s, [this] { start(world_.wanted); });
    world_.schedule_faults();
    auto heals_in = world_.chance.between(faults_least, faults_most);
    world_.after(heals_in, [this] { world_.heal(); });
    auto until = world_.clock.steady() + heals_in + patience + patience_for_a_host * world_.hosts.size();
    help_after(30s);
    while (!over()) {
      settle();
      if (killing_) {
        die();
        continue;
      }
      if (over()) break;
      check_live();
      if (world_.clock.steady() > until) {
        world_.violate("every_rollout_ends", where_it_hangs());
        break;
      }
      if (!world_.pass_time()) {
        world_.violate("every_rollout_ends", "nobody waits for anything any more: " + where_it_hangs());
        break;
      }
    }
    halt();
    return result();
  }

 private:
  [[nodiscard]] bool over() {
    if (!world_.broken_promise.empty()) return true;
    bool ended = started_ > 0 && asking_ == 0 && checkers_.all_ended() && (gave_up_ || !checkers_.rollouts.empty());
    return ended && !waits_for_stragglers();
  }

  // Whether hosts that missed a release are still to be brought back.
  bool waits_for_stragglers() {
    if (!world_.brings_back || !checkers_.leaves_stragglers()) return false;
    if (!world_.healed) return true;
    if (healed_since_ == Steady{}) healed_since_ = world_.clock.steady();
    if (world_.clock.steady() - healed_since_ < patience_for_stragglers) return true;
    checkers_.stragglers_come_back();
    return false;
  }

  void describe() {
    if (!world_.tracing) return;
    std::string text = std::to_string(world_.hosts.size()) + " hosts, " + std::to_string(world_.pools.size()) +
                       (world_.pools[0].conditional ? " conftool pools" : " HAProxy pools") + " with " +
                       std::to_string(world_.pools[0].balancers.size()) + " load balancers; the release is " +
                       std::string(to_string(world_.releases[world_.wanted].kind));
    world_.say("seed", std::to_string(world_.seed) + ": " + text);
    for (std::size_t fault = 0; fault < faults_count; ++fault) {
      if (world_.faults.on(static_cast<Fault>(fault))) world_.say("may happen", std::string(fault_table()[fault].name));
    }
  }

  // The life and death of the daemon. What it asked for dies with it, at once: nothing of an earlier life is answered.
  void boot() {
    world_.say("shiftd", "starts");
    ended_ = false;
    auto life = world_.life;
    journal_ = world_.make_journal(life);
    std::vector<std::unique_ptr<Service>> services;
    services.push_back(world_.service(life));
    supervisor_ = std::make_unique<Supervisor>(loop_.get_executor(), world_.clock, *journal_, std::move(services), kept_rollouts);
    group_ = std::make_unique<TaskGroup>(loop_.get_executor());
    auto all = [](TaskGroup& group, Supervisor& supervisor) -> Task<> {
      group.start("supervisor", supervisor.run());
      co_await group.join();
    };
    auto on_end = [this](std::exception_ptr error) {
      ended_ = true;
      failure_ = std::move(error);
    };
    asio::co_spawn(loop_, all(*group_, *supervisor_), asio::bind_cancellation_slot(stop_.slot(), on_end));
    live_ = true;
  }

  void halt() {
    if (!live_) return;
    live_ = false;
    ++world_.life;
    stop_.emit(asio::cancellation_type::terminal);
    loop_.restart();
    while (!ended_ && loop_.poll_one() > 0) {
    }
    if (!ended_) world_.violate("a_stop_unwinds", "the daemon did not end when it was stopped");
    if (!ended_) std::terminate();
    group_.reset();
    supervisor_.reset();
    journal_.reset();
    asking_ = 0;
    loop_.restart();
    while (loop_.poll_one() > 0) {
    }
  }

  void die() {
    killing_ = false;
    world_.say("shiftd", "is killed");
    halt();
    if (checkers_.rollouts.empty()) started_ = 0;
    world_.after(world_.chance.between(0ms, world_.chance.chance(0.2) ? 120s : 5s), [this] {
      if (!live_) boot();
      if (started_ == 0) start(world_.wanted);
    });
  }

  // Runs everything that can be run now. A kill may come between any two steps.
  void settle() {
    if (!live_) return;
    loop_.restart();
    while (!killing_ && loop_.poll_one() > 0) ++world_.steps;
    if (!ended_ || killing_) return;
    live_ = false;
    try {
      if (failure_) std::rethrow_exception(failure_);
      world_.violate("the_daemon_lives", "it ended by itself");
    } catch (const std::exception& error) {
      world_.violate("the_daemon_lives", error.what());
    }
    group_.reset();
    supervisor_.reset();
    journal_.reset();
  }

  void check_live() {
    if (!live_ || checkers_.records == checked_records_) return;
    bool each = world_.hosts.size() <= 8;
    if (!each && checkers_.records < checked_records_ + world_.hosts.size()) return;
    checked_records_ = checkers_.records;
    checkers_.at_most_one_rollout_acts();
    for (const auto& status : supervisor_->running()) checkers_.the_fold_equals_the_live_state(status.rollout);
  }

  void start(const std::string& digest) {
    if (!live_) {
      world_.after(5s, [this, digest] { start(digest); });
      return;
    }
    ++started_;
    ++asking_;
    group_->start("start", ask_start(digest));
  }

  Task<> ask_start(std::string digest) {
    co_await supervisor_->recovered();
    StartRequest request{"web", {"v-" + digest, digest, "/nowhere"}, {}, "ada", ""};
    request.release.irreversible = world_.irreversible && digest == world_.wanted;
    auto answer = co_await supervisor_->start(request);
    --asking_;
    if (world_.tracing) world_.say("ada", "start " + digest + ": " + (answer ? *answer : answer.error().what));
    if (answer || digest != world_.wanted || !checkers_.rollouts.empty()) co_return;
    // Refused for what is wrong just now is tried again; for good, it is the end.
    if (++refused_ < 20 && answer.error().code != Errc::bad_input) {
      world_.after(20s, [this, digest] { start(digest); });
      --started_;
    } else {
      gave_up_ = true;
    }
  }

  void say(Verb verb, std::size_t host) {
    if (!live_) return;
    for (const auto& [id, kept] : checkers_.rollouts) {
      if (kept.rollout.phase == Phase::ended) continue;
      ++asking_;
      group_->start("command", ask_command(id, verb, world_.hosts[host].name));
    }
  }

  Task<> ask_command(std::string id, Verb verb, std::string host) {
    co_await supervisor_->recovered();
    CommandRequest request{verb, host, "ada", "because"};
    auto answer = co_await supervisor_->command(id, request);
    --asking_;
    if (verb == Verb::roll_back) checkers_.a_roll_back_is_always_accepted(id, answer);
    if (world_.tracing) {
      auto text = std::string(to_string(verb)) + " " + id + (verb == Verb::take || verb == Verb::release_hold ? " " + host : "");
      world_.say("ada", text + ": " + (answer ? "done" : answer.error().what));
    }
  }

  // People do what the rollout asks of them, once nothing more goes wrong.
  void help_after(Duration pause) {
    world_.after(pause, [this] {
      help();
      help_after(20s);
    });
  }

  void help() {
    for (const auto& [id, kept] : checkers_.rollouts) {
      const auto& rollout = kept.rollout;
      if (rollout.phase == Phase::gated && !rollout.paused) say(Verb::promote, 0);
      if (!world_.healed) continue;
      if (rollout.paused) say(Verb::resume, 0);
      if (rollout.phase == Phase::quarantined) world_.violate("no_rollout_is_quarantined", rollout.reason);
      if (!rollout.active()) continue;  // one at most is: its hold is the one that people lose their patience with
      bool nothing_moves = !rollout.held.empty() || rollout.paused;
      if (!nothing_moves) held_since_ = Steady{};
      if (!nothing_moves) continue;
      if (rollout.in(HostPhase::left) > 0) {
        for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
          if (rollout.hosts[host].phase != HostPhase::left || repaired_.contains(kept.hosts[host])) continue;
          say(Verb::take, kept.hosts[host]);
        }
      }
      if (rollout.in(HostPhase::out) > 0) repair(kept);
      // What cannot go on forward is taken back; what can neither go nor come back is ended, and named.
      if (held_since_ == Steady{}) held_since_ = world_.clock.steady();
      auto held_for = world_.clock.steady() - held_since_;
      if (rollout.rolling() && held_for > 30min) say(Verb::roll_back, 0);
      if (rollout.phase == Phase::rolling_back && held_for > 2h) say(Verb::abort, 0);
      if (held_for > 30min) depool_the_dead();
      if (held_for > 30min && rollout.held.find("would tower over the others") != std::string::npos) lower_what_towers(kept);
    }
  }

  // A dead host that a load balancer keeps in traffic closes its pool until somebody takes it out.
  void depool_the_dead() {
    for (std::size_t pool = 0; pool < world_.pools.size(); ++pool) {
      for (const auto& balancer : world_.pools[pool].balancers) {
        for (std::size_t member = 0; member < balancer.members.size(); ++member) {
          if (!balancer.members[member].held) continue;
          auto& its = world_.pools[pool].members[member];
          if (!its.before) its.before = its.base;
          its.base = {Pooled::no, its.setting.weight};
          its.theirs = true;
          world_.change(pool, member, its.base, By::others);
        }
      }
    }
  }

  // As the hold says: what somebody has set weighs again what it was found with.
  void lower_what_towers(const Checkers::Kept& kept) {
    const auto& rollout = kept.rollout;
    for (MemberIndex index = 0; index < rollout.members.size(); ++index) {
      if (rollout.members[index].holder != Holder::theirs) continue;
      auto [pool, member] = kept.places[index];
      auto& its = world_.pools[pool].members[member];
      auto found = rollout.plan.members[index].original.setting.weight;
      if (its.carries() <= found) continue;
      its.theirs = true;
      its.base = {Pooled::yes, found};
      world_.change(pool, member, its.base, By::others);
    }
  }

  // A host that needs a person gets one: its former release is put on it by hand, and it is pooled as it was.
  void repair(const Checkers::Kept& kept) {
    const auto& rollout = kept.rollout;
    for (HostIndex index = 0; index < rollout.hosts.size(); ++index) {
      if (rollout.hosts[index].phase != HostPhase::out) continue;
      auto& host = world_.hosts[kept.hosts[index]];
      if (!host.powered || !host.job.empty()) continue;
      host.current = "one";
      repaired_.insert(kept.hosts[index]);
      world_.starts_to_run(kept.hosts[index], host.current);
      for (auto [pool, member] : host.members) {
        auto& its = world_.pools[pool].members[member];
        // In HAProxy what is so already cannot be set again.
        if (its.setting == its.base && !world_.pools[pool].conditional) continue;
        its.theirs = true;
        world_.change(pool, member, its.base, By::others);
      }
    }
  }

  std::string where_it_hangs() const {
    for (const auto& [id, kept] : checkers_.rollouts) {
      const auto& rollout = kept.rollout;
      if (rollout.phase == Phase::ended) continue;
      std::string text =
          id + " is " + std::string(to_string(rollout.phase)) + (rollout.paused ? ", paused" : "") + ", held: '" + rollout.held + "'";
      for (auto host : rollout.moving)
        text += "; " + rollout.plan.hosts[host].name + " " + std::string(to_string(rollout.hosts[host].phase));
      return text;
    }
    return checkers_.rollouts.empty() ? "no rollout was ever started" : "every rollout has ended";
  }

  RunResult result() const {
    RunResult result;
    result.promise = world_.broken_promise;
    result.how = world_.broken_how;
    result.hosts = static_cast<int>(world_.hosts.size());
    result.rollouts = checkers_.rollouts.size();
    result.steps = world_.steps;
    result.lasted = world_.clock.steady() - began_;
    result.records = checkers_.records;
    result.record_bytes = checkers_.record_bytes;
    result.faults = world_.faults.hits;
    result.transitions = checkers_.transitions;
    bool counters_meddled = world_.faults.ever_hit(Fault::counters_jump) || world_.faults.ever_hit(Fault::counters_dip) ||
                            world_.faults.ever_hit(Fault::counters_reset) || world_.faults.ever_hit(Fault::host_reboots) ||
                            world_.faults.ever_hit(Fault::host_vanishes) || world_.faults.ever_hit(Fault::host_returns_old);
    for (const auto& [id, kept] : checkers_.rollouts) {
      ++result.ended[static_cast<std::size_t>(kept.rollout.outcome)];
      if (world_.releases.at(kept.rollout.request.release.digest).kind != ReleaseKind::good || counters_meddled) continue;
      ++result.good_judged;
      if (kept.rollout.condemned) ++result.good_condemned;
    }
    return result;
  }

  World world_;
  Checkers checkers_;
  asio::io_context loop_{1};
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<TaskGroup> group_;
  asio::cancellation_signal stop_;
  std::exception_ptr failure_;
  bool live_ = false;
  bool ended_ = false;
  bool killing_ = false;
  bool gave_up_ = false;
  int started_ = 0;
  int asking_ = 0;
  int refused_ = 0;
  Steady held_since_{};
  std::set<std::size_t> repaired_;  // hosts that a person has seen to, and means to keep as they are
  Steady healed_since_{};
  Steady began_ = world_.clock.steady();
  std::uint64_t checked_records_ = 0;
};

}  // namespace

RunResult simulate(std::uint64_t seed, const Limits& limits, bool tracing) { return Simulation(seed, limits, tracing).run(); }

}  // namespace shiftd::simulator
