// What an effect is, in the world. Every performer looks before it repeats: a write reads first, a job is asked for by
// its id, a check changes nothing.

#include <algorithm>
#include <optional>

#include "daemon/driver/connections.hpp"
#include "daemon/driver/driver.hpp"
#include "daemon/driver/step_lane.hpp"
#include "daemon/io/backoff.hpp"
#include "daemon/io/log.hpp"
#include "daemon/io/within.hpp"
#include "daemon/release/restart.hpp"

namespace shiftd {
namespace {

// Steps that change nothing on the host, or nothing that matters: they end as soon as nobody wants their result.
bool may_be_dropped(Step step) { return step != Step::upgrade && step != Step::revert; }

// For company in the journal: that of other hosts' preparations, and what the views show of a write.
constexpr Duration prepared_patience{25};
constexpr Duration written_patience{100};

// How long nobody may be connected to a host that a load balancer cannot tell about.
constexpr Duration proof_grace{3'000};

// How many untouched hosts are asked whether a check fails there, too.
constexpr int compared_most = 3;

std::string what_is_left(const Result<int>& count, Duration idle, Duration grace) {
  if (!count) return "its connections could not be counted: " + count.error().what;
  if (*count == 0) return "idle for only " + to_string(idle) + " of the " + to_string(grace) + " that it has to be";
  return std::to_string(*count) + (*count == 1 ? " connection is" : " connections are") + " still established";
}

// Clears a flag when a lane ends, however it ends.
template <class F>
struct OnExit {
  F do_it;
  ~OnExit() { do_it(); }
};

}  // namespace

void Driver::perform(const Effect& effect) {
  ++effects_performed_;
  if (const auto* write = std::get_if<WriteMember>(&effect.what)) {
    auto& running = write_lanes_[write->member];
    if (running) return;  // it takes up the newest intent when it is done with the present one
    running = true;
    return tasks_->start("write", guarded("write", write_lane(write->member)));
  }
  const auto& step = std::get<HostStep>(effect.what);
  auto& lane = step_lanes_[step.host];
  if (!lane) lane = std::make_unique<StepLane>();
  lane->next = effect.id;
  lane->next_step = step.step;
  if (lane->running) {
    if (lane->doing != nullptr && may_be_dropped(lane->current_step)) lane->doing->stop();
    return;
  }
  lane->running = true;
  tasks_->start("step", guarded("step", step_lane(step.host)));
}

void Driver::drop_superseded(const Record& record) {
  const auto* moved = std::get_if<HostMoved>(&record.fact);
  if (moved == nullptr) return;
  auto found = step_lanes_.find(moved->host);
  if (found == step_lanes_.end() || found->second->doing == nullptr) return;
  auto& lane = *found->second;
  if (lane.current != committed_.hosts[moved->host].effect && may_be_dropped(lane.current_step)) lane.doing->stop();
}

Task<> Driver::step_lane(HostIndex host) {
  auto& lane = *step_lanes_.at(host);
  auto ended = [&lane] {
    lane.running = false;
    lane.doing = nullptr;
  };
  OnExit<decltype(ended)> on_exit{ended};
  while (lane.next != 0) {
    lane.current = std::exchange(lane.next, 0);
    lane.current_step = lane.next_step;
    TaskGroup doing(executor_);
    lane.doing = &doing;
    doing.start("step", perform_step(host, lane.current, lane.current_step));
    co_await doing.join();
    lane.doing = nullptr;
  }
}

// Returns when no load balancer sends new requests to the host any more, as far as they can tell, and what it had was answered, within a
// drain's time; or it is nothing of ours. What takes it out again where one has forgotten may wait for its pool to open.
Task<> Driver::out_of_traffic(HostIndex host, EffectId effect) {
  while (committed_.hosts[host].effect == effect && flows(host)) {
    co_await clock_.sleep_for(service_.pace.view);
    co_await look_again(host);
    if (!flows(host)) co_await heard_of(host, true);
  }
}

Task<> Driver::perform_step(HostIndex host, EffectId effect, Step step) {
  const auto& strategy = committed_.plan.strategy;
  bool swaps = step == Step::upgrade || step == Step::revert;
  auto known = decided_;
  auto hears = [&] { return heard_of(host, clock_.steady() - std::exchange(known, clock_.steady()) > service_.pace.view); };
  bool still_serves = swaps && !co_await hears();
  if (committed_.hosts[host].effect != effect) co_return;  // it is nothing of ours any more
  if (still_serves && step == Step::upgrade && strategy.on_drain_limit == DrainDeadline::give_back) {
    StepFailed failed{host, effect, "its load balancer put it back, and it still serves after " + to_string(strategy.drain_limit)};
    co_return post(std::move(failed));
  }
  if (swaps) co_await out_of_traffic(host, effect);
  bool verifies = step == Step::verify_new || step == Step::verify_old;
  auto began = clock_.steady();
  auto limit = verifies ? strategy.verify_limit : strategy.upgrade_limit;
  if (step == Step::prepare) limit = strategy.prepare_limit.value_or(limit);
  // Those that have a limit of their own tell what is left when that has passed.
  if (step == Step::upgrade && is_reboot(committed_.request.release)) limit += service_.reboot_limit;
  if (step == Step::await_idle || step == Step::prove_idle)
    limit = std::max(strategy.drain_limit, strategy.drain_grace) + proof_grace + service_.pace.call_limit;
  Backoff backoff(Duration(100), std::chrono::seconds(5), effect);
  while (true) {
    auto left = limit - (clock_.steady() - began);
    StepDone done{host, effect, {}};
    auto result = co_await within(clock_, left, try_step(host, effect, step, done));
    if (result) {
      done.members = shown(host);
      if (const auto* executor = place_of(host).executor) done.key = executor->key();
      // Prepared before its turn, it need not have a commit of its own.
      bool early = step == Step::prepare && host >= committed_.next_start + committed_.plan.batch;
      co_return post(std::move(done), early ? prepared_patience : Duration(0));
    }
    auto pause = backoff.next();
    auto spent = clock_.steady() - began + pause;
    bool gone = step == Step::prepare && result.error().code == Errc::unreachable && spent >= service_.pace.reach_limit;
    if (!retryable(result.error().code) || spent >= limit || gone) {
      StepFailed failed{host, effect, std::string(to_string(step)) + ": " + result.error().what};
      if (step == Step::prepare) failed.found = std::move(done.note);
      co_return post(std::move(failed));
    }
    co_await clock_.sleep_for(pause);
    if (swaps) {
      co_await hears();
      co_await out_of_traffic(host, effect);
    }
    if (committed_.hosts[host].effect != effect) co_return;  // somebody has taken the host meanwhile
  }
}

// `done`: what is to be told of it when it ends well.
Task<Result<void>> Driver::try_step(HostIndex host, EffectId effect, Step step, StepDone& done) {
  const auto& place = place_of(host).place;
  const auto& release = committed_.request.release;
  const auto& former = committed_.plan.hosts[host].digest;
  switch (step) {
    case Step::prepare: {
      auto prepared = co_await service_.releaser->prepare(place, release);
      if (!prepared) co_return prepared.error();
      done.rendered = std::move(prepared->rendered);
      done.note = std::move(prepared->current);
      const auto& found = done.note;
      bool asked = committed_.plan.hosts[host].asked;
      // The plan did not count it among those that have the release: it would be too many.
      if (committed_.had_it.contains(host) || (!asked && found == release.digest))
        co_return Failure{Errc::conflict, "the host could not be asked when the plan was made, and has the release already: plan anew"};
      if (asked && found != former) {
        co_return Failure{Errc::conflict, "the release on the host changed since the plan: " + (former.empty() ? "none" : former) +
                                              " then, " + found + " now"};
      }
      // A host that is prepared long before its turn keeps nothing waiting until then.
      if (committed_.turn_is_near(host)) co_await service_.releaser->stand_by(place);
      co_return Result<void>{};
    }
    case Step::await_idle:
      if (!service_.idle.counts) {
        co_await clock_.sleep_for(committed_.plan.strategy.drain_grace);
        co_return Result<void>{};
      }
      // One look is enough: at the least weight connections still come, and none that is to come is less likely for the wait.
      co_return co_await await_idle(host, Duration(0));
    // In place of what a load balancer shows, and so counted for a while in any case.
    case Step::prove_idle:
      if (!service_.idle.counts) co_return Failure{Errc::bad_input, "its connections are not to be counted (idle.by is grace)"};
      co_return co_await await_idle(host, std::max(committed_.plan.strategy.drain_grace, proof_grace));
    case Step::upgrade: co_return co_await service_.releaser->upgrade(place, release, job_id(effect));
    case Step::revert:
      if (former.empty()) co_return Failure{Errc::bad_input, "there was no release on the host before, to go back to"};
      co_return co_await service_.releaser->revert(place, former, job_id(effect));
    case Step::verify_new: co_return co_await verify(host, release.digest, nullptr);
    case Step::verify_old: co_return co_await verify(host, former, &done.note);
  }
  co_return Failure{Errc::bad_input, "no such step"};
}

// `note`, when the release is the former one: checks that fail on hosts that nobody touched as well (a database is down) say
// nothing against the revert, and are told there instead of keeping the host out.
Task<Result<void>> Driver::verify(HostIndex host, std::string digest, std::string* note) {
  const auto& place = place_of(host);
  if (auto proven = co_await service_.releaser->prove_running(place.place, std::move(digest)); !proven) co_return proven;
  CheckTarget target{place.place.name, place.place.address, place.executor};
  auto checked = co_await run_checks(clock_, service_.checks, std::move(target), service_.check_policy);
  if (!checked && checked.error().code == Errc::refused && note != nullptr) {
    auto others = co_await fail_elsewhere(host);
    if (!others.empty()) *note = "its checks fail as they do on " + others + ", which nobody touched: " + checked.error().what;
    if (!others.empty()) checked = Result<void>{};
  }
  // What the views last showed may be older than the restart: a host that joins on that may enter its pools unhealthy.
  if (checked) co_await look_again(host);
  co_return checked;
}

// By check: whether it fails on the host, all its attempts made.
Task<std::vector<bool>> Driver::failing_checks(HostIndex host) {
  const auto& place = place_of(host);
  CheckTarget target{place.place.name, place.place.address, place.executor};
  auto results = co_await ask_checks(clock_, service_.checks, std::move(target), service_.check_policy);
  std::vector<bool> fails(service_.checks.size(), true);
  for (std::size_t check = 0; results && check < results->size(); ++check) fails[check] = !good((*results)[check], service_.check_policy);
  co_return fails;
}

// The untouched hosts on which every check fails that fails on this one, a few at most; empty: one of them does better, or
// there is none.
Task<std::string> Driver::fail_elsewhere(HostIndex host) {
  auto here = co_await failing_checks(host);
  std::string names;
  int asked = 0;
  for (HostIndex other = 0; other < committed_.hosts.size() && asked < compared_most; ++other) {
    auto phase = committed_.hosts[other].phase;
    bool untouched = phase == HostPhase::pooled_old || phase == HostPhase::preparing || phase == HostPhase::ready;
    if (!untouched || committed_.plan.hosts[other].role == Role::already_there) continue;
    auto there = co_await failing_checks(other);
    for (std::size_t check = 0; check < here.size(); ++check) {
      if (here[check] && !there[check]) co_return std::string();
    }
    names += (asked++ == 0 ? "" : ", ") + committed_.plan.hosts[other].name;
  }
  co_return names;
}

// No connection for the grace. The host is asked again and again, as long as it can be.
Task<Result<void>> Driver::await_idle(HostIndex host, Duration grace) {
  const auto& place = place_of(host);
  if (place.executor == nullptr) co_return Failure{Errc::bad_input, "nothing runs commands on the host to count its connections"};
  auto limit = std::max(committed_.plan.strategy.drain_limit, grace);
  auto until = clock_.steady() + limit;
  std::optional<Steady> idle_since;
  while (true) {
    auto count = co_await within(clock_, service_.pace.call_limit, count_connections(*place.executor, place.place, service_.idle));
    if (!count && !retryable(count.error().code)) co_return count.error();
    auto now = clock_.steady();
    if (!count || *count > 0) idle_since.reset();
    if (count && *count == 0 && !idle_since) idle_since = now;
    if (idle_since && now - *idle_since >= grace) co_return Result<void>{};
    if (now >= until) {
      co_return Failure{Errc::conflict,
                        what_is_left(count, idle_since ? now - *idle_since : Duration(0), grace) + " after " + to_string(limit)};
    }
    auto pause = std::min(service_.idle.pause, std::max(grace, Duration(100)));
    co_await clock_.sleep_for(pause);
  }
}

MemberWrite Driver::wanted_write(MemberIndex index) const {
  const auto& member = committed_.members[index];
  return {committed_.plan.members[index].name, member.wanted, member.verbatim ? member.original.bytes : std::string(),
          member.known.revision};
}

// A roll back's traffic movement: once it is known what came to pass while nobody looked, it waits for nothing.
bool Driver::takes_traffic_off(MemberIndex index) const {
  const auto& member = committed_.members[index];
  bool lowers = member.known.setting.pooled == Pooled::yes && member.wanted.weight < member.known.setting.weight;
  return committed_.phase == Phase::rolling_back && (member.wanted.pooled != Pooled::yes || lowers);
}

// The last look before a write: empty, it may be sent. The engine asks for none to a closed pool, but a load balancer may have begun
// anew since; and others may have been lost since it was decided, or before we began (recover).
std::string Driver::why_not_sent(MemberIndex index) const {
  if (!informed_) return "what its pools hold is not known yet";
  // What others did while the store did not answer is heard of before anything is taken on top of it.
  const auto& store = pools_[committed_.plan.members[index].pool]->store->name();
  if (!takes_traffic_off(index) && committed_.lost.contains(store)) return "what " + store + " holds is not known since it fell silent";
  const auto& closed = closed_[committed_.plan.members[index].pool];
  // Where all that wait may have been written, they would wait for one another: each is sent again as if it were the only one.
  bool may_be_written = sent_[index] == committed_.members[index].effect;
  if (takes_traffic_off(index) || (closed && closed->empty()))
    return why_not_write(committed_, index, may_be_written ? std::vector<EffectId>() : sent_);
  return closed ? *closed : "its load balancers have not been asked yet";
}

// Writes until what is wanted is written, or somebody else's change was found. Each attempt writes the newest intent.
Task<> Driver::write_lane(MemberIndex index) {
  auto ended = [this, index] { write_lanes_[index] = false; };
  OnExit<decltype(ended)> on_exit{ended};
  auto pool = committed_.plan.members[index].pool;
  auto& store = *pools_[pool]->store;
  auto source = "writes to " + store.name();
  Backoff backoff(Duration(100), std::chrono::seconds(5), index);
  EffectId told = 0;  // whose result is waiting to be decided on
  // What may have been written: also what an earlier life has asked for.
  EffectId unheard = sent_[index] == committed_.members[index].effect ? sent_[index] : 0;
  std::string waits;
  while (true) {
    auto effect = committed_.members[index].effect;
    // What was thought lost was found done: then the store answers.
    if (effect == 0 && unheard != 0) source_answer(source, {});
    if (effect == 0 || effect == told) co_return;
    if (auto why = why_not_sent(index); !why.empty()) {
      if (waits != why)
        log::info("rollout {}: a write to {}/{} waits: {}", committed_.request.rollout, store.name(), committed_.plan.members[index].name,
                  why);
      waits = std::move(why);
      co_await looked_[pool]->wait_for(clock_, service_.pace.idle_view);
      co_await caught_up();
      continue;
    }
    co_await paces_[pool]->turn(index);
    effect = committed_.members[index].effect;
    if (effect == 0 || effect == told || !why_not_sent(index).empty()) {
      paces_[pool]->unused();
      continue;
    }
    auto wanted = wanted_write(index);
    sent_[index] = effect;
    auto written = co_await within(clock_, service_.pace.call_limit, store.write(wanted));
    written_[index] = ++look_serial_;
    if (!written) {
      // What may have landed counts as gone for all others, and is sent again.
      if (written.error().code == Errc::timed_out) unheard = effect;
      if (unheard != effect) sent_[index] = 0;
      source_answer(source, written.error().what);
      co_await clock_.sleep_for(backoff.next());
      continue;
    }
    source_answer(source, {});
    backoff.reset();
    told = effect;
    if (auto* done = std::get_if<Written>(&*written)) {
      // What the views show of it comes a moment later; both share a commit.
      bool by_another = done->was_so && unheard == 0;
      post(MemberWritten{index, effect, std::move(done->observed), by_another}, written_patience);
    } else {
      post(MemberChanged{index, effect, std::move(std::get<ForeignChange>(*written).observed)});
    }
    look_now_[pool]->notify();
    co_await committed_signal_->wait_for(clock_, service_.pace.call_limit);
  }
}

}  // namespace shiftd
