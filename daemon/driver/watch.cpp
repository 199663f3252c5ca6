// What the world shows without being asked to change: pool stores, load balancers, hosts that serve the release.

#include <algorithm>
#include <utility>

#include "daemon/driver/driver.hpp"
#include "daemon/io/backoff.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

// How many served hosts are checked at once.
constexpr std::size_t checks_at_once = 32;

// What is waited for is noticed late by at most this part of the time that it took.
constexpr int late_by_at_most = 8;
// Looking takes at most this part of a load balancer's time, but nobody is left waiting for longer than one who waits for nothing.
constexpr int looking_at_most = 10;

std::string without_digits(std::string text) {
  std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
  return text;
}

}  // namespace

// Tells the engine only what it does not know yet.
void Driver::source_answer(const std::string& source, const std::string& trouble) {
  bool lost = committed_.lost.contains(source);
  if (trouble.empty() && lost) post(SourceAnswers{source});
  if (!trouble.empty() && !lost) post(SourceSilent{source, trouble});
}

Task<> Driver::watch_store(PoolIndex pool) {
  auto& store = *pools_[pool]->store;
  Backoff backoff(Duration(100), std::chrono::seconds(2), pool);
  while (true) {
    auto limit = service_.pace.idle_view + service_.pace.call_limit;
    auto reading = co_await within(clock_, limit, store.watch(stores_[pool], service_.pace.idle_view));
    if (!read_[pool]) looked_[pool]->notify();  // who waits goes on in a later turn, after what it says has been told
    read_[pool] = true;
    if (!reading) {
      source_answer(store.name(), reading.error().what);
      // A load balancer that comes back may have forgotten who is out, and sends them users until it is told again.
      auto pause = backoff.next();
      co_await clock_.sleep_for(committed_.moving.empty() ? pause : std::min(pause, service_.pace.view));
      continue;
    }
    backoff.reset();
    // What it says first: that it answers again lets hosts start, and must not do so on what was known before.
    tell_changes(pool, *reading);
    source_answer(store.name(), {});
    stores_[pool] = std::move(*reading);
  }
}

void Driver::tell_changes(PoolIndex pool, const PoolReading& reading) {
  StoreForgot forgot{pool, {}};
  for (const auto& read : reading.members) {
    auto found = member_of_[pool].find(read.name);
    if (found == member_of_[pool].end()) continue;
    auto index = found->second;
    const auto& member = committed_.members[index];
    // What cannot be understood is nobody's decision yet: the rollout holds and names it until it is mended.
    if (!read.malformed.empty() || !committed_.lost.empty()) {
      bool holds = !read.malformed.empty() && member.holder != Holder::theirs;
      source_answer(pools_[pool]->store->name() + "/" + read.name,
                    holds ? "its value cannot be understood: " + read.malformed : std::string());
    }
    if (!read.malformed.empty()) continue;
    if (read.observed == member.known || member.effect != 0) continue;
    // What we have overwritten is the past, however late it is told: nobody has made it so again.
    const auto& revision = read.observed.revision;
    bool past = revision == member.past || (member.holder == Holder::ours && revision == member.original.revision);
    if (past && pools_[pool]->store->capabilities().conditional_writes) continue;
    // A restart is nobody's wish. What somebody has set since is, and is told from it where the store can tell.
    bool restarted = !member.known.revision.starts_with(reading.epoch);
    bool as_before = read.observed.setting == member.known.setting || read.observed.setting == member.wanted;
    if (!restarted || (!read.as_configured && !as_before)) {
      post(MemberChanged{index, 0, read.observed});
    } else if (member.holder != Holder::untouched || read.observed.setting != member.known.setting) {
      forgot.members.emplace_back(index, read.observed);
    }
  }
  if (!forgot.members.empty()) post(std::move(forgot));
}

Task<> Driver::watch_views(PoolIndex pool) {
  const auto& pace = service_.pace;
  auto records = committed_.records;
  auto moved = clock_.steady();  // when anything was last decided
  while (true) {
    auto serial = look_serial_;
    co_await look(pool);
    tell_views(pool);
    looked_[pool]->notify();
    if (look_serial_ != serial) continue;  // something was written meanwhile: what was seen is the past
    auto now = clock_.steady();
    if (std::exchange(records, committed_.records) != committed_.records) moved = now;
    // What one that does not answer lets us wait is no time of its own: the others are looked at as often as before.
    Duration took{};
    for (const auto& view : views_[pool]) took = std::max(took, view.trouble.empty() ? view.took : Duration(0));
    auto pause =
        std::max(std::clamp((now - moved) / late_by_at_most, pace.view_first, pace.view), std::min(looking_at_most * took, pace.idle_view));
    co_await look_now_[pool]->wait_for(clock_, committed_.waits_for_views() ? pause : pace.idle_view);
  }
}

void Driver::tell_views(PoolIndex pool) {
  bool opens = tell_closed(pool);
  tell_threshold(pool);
  // What they show first, then that they answer again or that the pool opens, as in watch_store.
  tell_seen(pool);
  if (opens) post(PoolOpens{pool});
  for (std::size_t view = 0; view < views_[pool].size(); ++view)
    source_answer("view " + pools_[pool]->views[view]->name(), views_[pool][view].trouble);
}

// Returns when every view of the host's pools has been asked once more, whatever it answered.
Task<> Driver::look_again(HostIndex host) {
  auto since = ++look_serial_;
  const auto& planned = committed_.plan.hosts[host];
  for (auto index = planned.first_member; index < planned.first_member + planned.members; ++index) {
    auto pool = committed_.plan.members[index].pool;
    auto asked = [&] {
      return std::all_of(views_[pool].begin(), views_[pool].end(), [&](const ViewState& view) { return view.asked >= since; });
    };
    while (!asked()) {
      look_now_[pool]->notify();
      co_await looked_[pool]->wait();
    }
  }
}

// Returns when what the host's stores hold was read at least once since we began, and has been taken note of: a person may have put
// the host back while nobody looked. So it is asked `again` when what is known of it is old, or when it is seen in traffic. Where a
// load balancer has put it back, which forgot, what it gave to the host is waited for as well; false: it has not ended within a
// drain's time.
Task<bool> Driver::heard_of(HostIndex host, bool again) {
  const auto& planned = committed_.plan.hosts[host];
  auto unread = [&] {
    for (auto index = planned.first_member; index < planned.first_member + planned.members; ++index) {
      auto pool = committed_.plan.members[index].pool;
      if (stores_[pool].members.empty()) return looked_[pool].get();
    }
    return static_cast<Signal*>(nullptr);
  };
  if (unread() == nullptr && !again && !flows(host)) co_return true;
  while (auto* signal = unread()) co_await signal->wait();
  co_await caught_up();
  auto serves = [&](const Shown& view) {
    bool may = view.traffic == Traffic::cannot_tell && committed_.hosts[host].put_back;
    return may || view.traffic == Traffic::flowing || view.traffic == Traffic::draining;
  };
  for (auto until = clock_.steady() + committed_.plan.strategy.drain_limit; clock_.steady() < until;) {
    co_await look_again(host);
    auto all = shown(host);
    if (!written_since_asked(host) && std::none_of(all.begin(), all.end(), serves)) co_return true;
    co_await clock_.sleep_for(service_.pace.view);
  }
  co_return false;
}

// Returns when all that is known now has been decided on.
Task<> Driver::caught_up() {
  constexpr Tick now;
  while (!co_await decided(now)) co_await clock_.sleep_for(service_.pace.tick);
}

Task<> Driver::look(PoolIndex pool) {
  if (pools_[pool]->views.size() == 1) co_return co_await look_at(pool, 0);
  TaskGroup looks(executor_);
  for (std::size_t view = 0; view < pools_[pool]->views.size(); ++view) looks.start("look", look_at(pool, view));
  co_await looks.join();
}

Task<> Driver::look_at(PoolIndex pool, std::size_t view) {
  auto& asked = *pools_[pool]->views[view];
  auto serial = look_serial_;
  auto began = clock_.steady();
  auto reading = co_await within(clock_, service_.pace.call_limit, asked.read());
  auto& state = views_[pool][view];
  state.took = clock_.steady() - began;
  state.asked = serial;
  state.trouble = reading ? std::string() : reading.error().what;
  if (!reading) co_return;
  state.answered = true;
  state.reading = std::move(*reading);
}

// Whether the load balancer still listens to its store. It may take a moment to; the first time it has to agree at once.
void Driver::compare(PoolIndex pool, std::size_t view) {
  auto& state = views_[pool][view];
  auto now = clock_.steady();
  if (stores_[pool].members.empty() || (state.agreed && now - state.compared < service_.pace.idle_view)) return;
  state.compared = now;
  auto touched = [&](std::string_view name) {
    auto found = member_of_[pool].find(name);
    return found != member_of_[pool].end() && committed_.members[found->second].holder == Holder::ours;
  };
  auto differ = disagreements(stores_[pool], state.reading, touched);
  if (differ.empty()) state.agreed = now;
  bool lasts = !differ.empty() && (!state.agreed || now - *state.agreed >= committed_.plan.strategy.confirm_limit);
  state.disagreement = lasts ? "it may have stopped listening to its store: " + differ.front() : std::string();
}

// Tells the engine when a pool closes; again when it is closed for another reason, but not at every count of the same.
// True: it opens.
bool Driver::tell_closed(PoolIndex pool) {
  if (!committed_.active()) return false;
  std::string why;
  for (std::size_t view = 0; view < views_[pool].size(); ++view) {
    const auto& state = views_[pool][view];
    // One that does not answer is told as a lost source; a pool that it closed before does not open by that.
    if (state.trouble.empty()) compare(pool, view);
    auto reasons = state.reading.closed;
    if (!state.disagreement.empty()) reasons.push_back(state.disagreement);
    for (const auto& reason : reasons) why += (why.empty() ? "" : "; ") + pools_[pool]->views[view]->name() + ": " + reason;
  }
  auto known = committed_.closed.find(pool);
  bool closed = known != committed_.closed.end();
  // One that has not answered since we began says what it said before.
  bool unheard = std::any_of(views_[pool].begin(), views_[pool].end(), [](const ViewState& view) { return !view.answered; });
  if (why.empty() && closed && unheard) why = known->second;
  closed_[pool] = why;
  if (!why.empty() && (!closed || without_digits(why) != without_digits(known->second))) post(PoolCloses{pool, why});
  return why.empty() && closed;
}

// Tells the engine the strictest threshold that any of the views keeps; what nobody says now stays as it was.
void Driver::tell_threshold(PoolIndex pool) {
  if (!committed_.active()) return;
  auto ours = [&](std::string_view name) { return member_of_[pool].contains(name); };
  DepoolThreshold strictest;
  for (std::size_t view = 0; view < views_[pool].size(); ++view) {
    if (!views_[pool][view].trouble.empty()) continue;
    auto threshold = threshold_of(pools_[pool]->views[view]->name(), views_[pool][view].reading, ours);
    if (strictest.view.empty() || threshold.needs(1) > strictest.needs(1)) strictest = std::move(threshold);
  }
  const auto& known = committed_.thresholds[pool];
  bool differs = strictest.share != known.share || strictest.needs(1) != known.needs(1);
  if (!strictest.view.empty() && differs) post(ThresholdSeen{pool, std::move(strictest)});
}

std::vector<Shown> Driver::shown(HostIndex host) const {
  std::vector<Shown> all;
  const auto& planned = committed_.plan.hosts[host];
  for (auto index = planned.first_member; index < planned.first_member + planned.members; ++index) {
    const auto& member = committed_.plan.members[index];
    std::vector<MemberView> views;
    for (const auto& state : views_[member.pool]) {
      MemberView view;
      if (!state.trouble.empty()) {
        view.why = state.trouble;
      } else if (state.asked < written_[index]) {
        view.why = "not asked since the last write";
      } else if (committed_.members[index].known.setting.pooled == Pooled::inactive && state.reading.find(member.name) == nullptr) {
        // What its store holds as inactive a load balancer need not know, and where it does not, nothing goes there.
        view.traffic = Traffic::none;
        view.health = Health::unchecked;
      } else {
        view = state.reading.of(member.name);
      }
      views.push_back(std::move(view));
    }
    all.push_back(shown_by(views));
  }
  return all;
}

// Whether a load balancer shows that it sends new requests there.
bool Driver::flows(HostIndex host) const {
  auto all = shown(host);
  return std::any_of(all.begin(), all.end(), [](const Shown& view) { return view.traffic == Traffic::flowing; });
}

bool Driver::written_since_asked(HostIndex host) const {
  const auto& planned = committed_.plan.hosts[host];
  for (auto index = planned.first_member; index < planned.first_member + planned.members; ++index) {
    for (const auto& state : views_[committed_.plan.members[index].pool]) {
      if (state.trouble.empty() && state.asked < written_[index]) return true;
    }
  }
  return false;
}

void Driver::tell_seen(PoolIndex pool) {
  if (!committed_.active()) return;
  // What was written since it was asked for is left for the next look, which comes at once: the write's result and what
  // the views make of it then share a commit.
  auto tell = [this](HostIndex host) {
    if (!written_since_asked(host)) post(HostSeen{host, shown(host)});
  };
  const auto& hosts = committed_.hosts;
  // Of who stays where it is only a change of health is news; told first, because the next may leave on what is told of the
  // moving ones.
  for (const auto& state : views_[pool]) {
    if (!state.trouble.empty()) continue;
    auto found = member_of_[pool].begin();
    for (const auto& [name, view] : state.reading.members) {
      // Both are in the order of their names.
      int order = -1;
      while (found != member_of_[pool].end() && (order = found->first.compare(name)) < 0) ++found;
      if (found == member_of_[pool].end()) break;
      if (order > 0) continue;
      auto host = committed_.plan.members[found->second].host;
      bool told_below = is_moving(hosts[host].phase) && hosts[host].phase != HostPhase::preparing;
      if (told_below || hosts[host].phase == HostPhase::out) continue;
      if ((view.health == Health::down) != committed_.members[found->second].down) tell(host);
    }
  }
  for (auto host : committed_.moving) {
    if (hosts[host].phase != HostPhase::preparing) tell(host);
  }
  if (committed_.unconfirmed > 0) {
    for (HostIndex host = 0; host < hosts.size(); ++host) {
      if (hosts[host].unconfirmed > 0 && !is_moving(hosts[host].phase)) tell(host);
    }
  }
}

Task<> Driver::watch_served_hosts() {
  while (true) {
    co_await clock_.sleep_for(service_.pace.bake_check);
    if (!committed_.rolling() || service_.checks.empty()) continue;
    std::vector<HostIndex> served(committed_.upgraded.begin(), committed_.upgraded.end());
    for (std::size_t from = 0; from < served.size(); from += checks_at_once) {
      TaskGroup checking(executor_);
      for (auto at = from; at < std::min(served.size(), from + checks_at_once); ++at)
        checking.start("check", check_served_host(served[at]));
      co_await checking.join();
    }
  }
}

Task<> Driver::check_served_host(HostIndex host) {
  const auto& place = place_of(host);
  CheckTarget target{place.place.name, place.place.address, place.executor};
  auto checked = co_await run_checks(clock_, service_.checks, std::move(target), service_.check_policy);
  if (!checked) post(CheckFailed{host, checked.error().what});
}

}  // namespace shiftd
