#include "tests/fakes/engine_world.hpp"

#include "tests/fakes/fleets.hpp"
#include "tests/fakes/rollout_checks.hpp"

namespace shiftd {

using namespace std::chrono_literals;

EngineWorld::EngineWorld(const Plan& plan, Instant at) : now(at) {
  Record asked{now, Requested{plan.request}};
  apply(rollout, asked);
  journal.push_back(codec_.encode(asked));
  for (const auto& member : plan.members) store.push_back(member.original);
  feed(PlanMade{plan});
}

Decision EngineWorld::feed(const Event& event) {
  if (judges(event)) follow_up();
  if (!checked_) checked_ = rollout;
  if (const auto* seen = std::get_if<HostSeen>(&event)) last_seen_[seen->host] = seen->members;
  if (const auto* forgot = std::get_if<StoreForgot>(&event)) {
    for (const auto& [member, observed] : forgot->members) {
      if (observed.setting.pooled == Pooled::yes) last_seen_.erase(rollout.plan.members[member].host);
    }
  }
  take_in(rollout, event, now, told_);
  check();
  return more_comes ? Decision{} : follow_up();
}

Decision EngineWorld::follow_up() {
  if (!checked_) return {};
  follow(rollout, now, told_);
  check();
  checked_.reset();
  checked_records_ = 0;
  auto decision = std::exchange(told_, {});
  keep(decision);
  return decision;
}

// Each promise by what was known when its record was made.
void EngineWorld::check() {
  for (; checked_records_ < told_.records.size(); ++checked_records_) {
    const auto& record = told_.records[checked_records_];
    auto was = *checked_;
    apply(*checked_, record);
    auto wrong = broken_by(was, record, *checked_, last_seen_);
    if (wrong.empty()) wrong = broken_sums(*checked_);
    if (!wrong.empty()) throw BrokenPromise(wrong + " | after: " + text_of(*checked_, record));
  }
  if (!(*checked_ == rollout)) throw BrokenPromise("applying the records does not lead to the decided state");
}

void EngineWorld::keep(const Decision& decision) {
  if (auto wrong = broken_end(rollout); !wrong.empty()) throw BrokenPromise(wrong);
  if (!remembers) return;
  for (const auto& record : decision.records) journal.push_back(codec_.encode(record));
  // Folding anew after each event would take all day.
  if (++kept_ % 32 != 0 && rollout.phase != Phase::ended) return;
  Codec codec;
  auto folded = fold(journal, codec);
  if (!folded) throw BrokenPromise("the journal cannot be folded: " + folded.error().what);
  if (!(*folded == rollout)) throw BrokenPromise("the fold of the journal is not the live state");
  if (outstanding(*folded) != outstanding(rollout)) throw BrokenPromise("the fold has other effects outstanding");
}

void EngineWorld::crash() {
  told_ = {};
  checked_.reset();
  checked_records_ = 0;
  Codec codec;
  rollout = fold(journal, codec).value();
  codec_ = codec;
}

Shown EngineWorld::shown(MemberIndex member) const {
  const auto& setting = store[member].setting;
  auto host = rollout.plan.members[member].host;
  bool in = setting.pooled == Pooled::yes && setting.weight > 0 && !down.contains(host);
  Shown shown;
  shown.traffic = in ? Traffic::flowing : busy.contains(host) ? Traffic::draining : Traffic::none;
  shown.flows_everywhere = in;
  shown.health = down.contains(host) ? Health::down : Health::up;
  shown.weight = shown.weight_least = in ? setting.weight : 0;
  return shown;
}

std::vector<Shown> EngineWorld::shown_of(HostIndex host) const {
  std::vector<Shown> all;
  const auto& planned = rollout.plan.hosts[host];
  for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) all.push_back(shown(member));
  return all;
}

Decision EngineWorld::see(HostIndex host) { return feed(HostSeen{host, shown_of(host)}); }
Decision EngineWorld::finish(HostIndex host, const std::string& note) {
  return feed(StepDone{host, rollout.hosts[host].effect, shown_of(host), note});
}
Decision EngineWorld::fail(HostIndex host, const std::string& why) { return feed(StepFailed{host, rollout.hosts[host].effect, why}); }

Decision EngineWorld::write(MemberIndex index) {
  const auto& member = rollout.members[index];
  auto effect = member.effect;
  if (store[index].revision != member.known.revision) return feed(MemberChanged{index, effect, store[index]});
  store[index] = member.verbatim ? member.original : observed(member.wanted);
  store[index].revision = next_revision();
  return feed(MemberWritten{index, effect, store[index]});
}

void EngineWorld::meddle(MemberIndex member, Setting setting) { store[member] = observed(setting, next_revision()); }

Decision EngineWorld::watch(MemberIndex member) {
  if (store[member] == rollout.members[member].known) return {};
  return feed(MemberChanged{member, 0, store[member]});
}

Decision EngineWorld::forget(PoolIndex pool) {
  StoreForgot forgot{pool, {}};
  for (MemberIndex member = 0; member < store.size(); ++member) {
    if (rollout.plan.members[member].pool != pool) continue;
    store[member] = rollout.plan.members[member].original;
    store[member].revision = next_revision();
    forgot.members.emplace_back(member, store[member]);
  }
  return feed(forgot);
}

std::set<HostIndex> EngineWorld::steps() const {
  std::set<HostIndex> hosts;
  for (const auto& effect : outstanding(rollout)) {
    if (const auto* step = std::get_if<HostStep>(&effect.what)) hosts.insert(step->host);
  }
  return hosts;
}

std::set<MemberIndex> EngineWorld::writes() const {
  std::set<MemberIndex> members;
  for (const auto& effect : outstanding(rollout)) {
    if (const auto* write = std::get_if<WriteMember>(&effect.what)) members.insert(write->member);
  }
  return members;
}

bool EngineWorld::answer() {
  follow_up();  // only what was saved is carried out
  if (auto waiting = writes(); !waiting.empty()) {
    now += 10ms;
    write(*waiting.begin());
    return true;
  }
  if (auto waiting = steps(); !waiting.empty()) {
    now += 1s;
    finish(*waiting.begin());
    return true;
  }
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) {
    const auto& state = rollout.hosts[host];
    if (!is_moving(state.phase) && state.unconfirmed == 0 && (state.down > 0) == down.contains(host)) continue;
    auto probe = rollout;
    if (take_in(probe, HostSeen{host, shown_of(host)}, now + 100ms).records.empty()) continue;
    now += 100ms;
    see(host);
    return true;
  }
  return false;
}

bool EngineWorld::wait() {
  if (!rollout.active() || rollout.paused || rollout.phase == Phase::gated) return false;
  now += 1s;
  if (rollout.phase == Phase::baking && rollout.bake_until > now) now = rollout.bake_until;
  feed(Tick{});
  if (rollout.phase == Phase::baking && rollout.current_stage().judged)
    feed(Judged{rollout.stage, Judgement::promote, "canary 0 of 500 requests failed"});
  return true;
}

namespace {

class Words {
 public:
  explicit Words(const Rollout& rollout) : rollout_(rollout) {}

  std::string operator()(const Requested& fact) const { return line("rollout", "requested by " + fact.request.by); }
  std::string operator()(const Planned& fact) const {
    return line("rollout", "planned: " + std::to_string(fact.plan.hosts_to_upgrade()) + " to upgrade");
  }
  std::string operator()(const HostMoved& fact) const {
    return host(fact.host,
                std::string(to_string(fact.phase)) + (fact.empty ? " (empty)" : "") + (fact.failed ? ", failed" : "") + why(fact.why));
  }
  std::string operator()(const HostHealth& fact) const { return host(fact.host, (fact.down ? "is down" : "is up again") + why(fact.why)); }
  std::string operator()(const LateResult& fact) const { return host(fact.host, "late result" + why(fact.what)); }
  std::string operator()(const MemberWanted& fact) const {
    return member(fact.member, "wanted " + to_string(fact.setting) + (fact.verbatim ? " (original)" : ""));
  }
  std::string operator()(const MemberSet& fact) const { return member(fact.member, "is " + to_string(fact.observed.setting)); }
  std::string operator()(const MemberConfirmed& fact) const {
    return member(fact.member, fact.blind ? "confirmed, but by who cannot tell" : "confirmed");
  }
  std::string operator()(const MemberTaken& fact) const { return member(fact.member, "taken: " + to_string(fact.observed.setting)); }
  std::string operator()(const MemberReturned& fact) const {
    return member(fact.member, (fact.adopted ? "adopted" : "returned") + std::string(" by ") + fact.by);
  }
  std::string operator()(const SourceLost& fact) const { return line("source", fact.source + " lost" + why(fact.why)); }
  std::string operator()(const SourceBack& fact) const { return line("source", fact.source + " is back"); }
  std::string operator()(const PoolClosed& fact) const {
    return line("pool", rollout_.plan.pools[fact.pool].name + " closed" + why(fact.why));
  }
  std::string operator()(const PoolOpened& fact) const { return line("pool", rollout_.plan.pools[fact.pool].name + " opened"); }
  std::string operator()(const ThresholdChanged& fact) const {
    return line("pool", rollout_.plan.pools[fact.pool].name + " is held to " + to_string(fact.threshold, 0));
  }
  std::string operator()(const WeightsDue& fact) const { return line("rollout", fact.on ? "weights wait" : "no weights wait any more"); }
  std::string operator()(const StageBegun& fact) const { return line("stage " + std::to_string(fact.stage + 1), "begun"); }
  std::string operator()(const StageBaking& fact) const {
    return line("stage " + std::to_string(fact.stage + 1), "baking for " + to_string(fact.until - rollout_.now));
  }
  std::string operator()(const StagePassed& fact) const {
    return line("stage " + std::to_string(fact.stage + 1), "passed" + why(fact.evidence));
  }
  std::string operator()(const GateReached& fact) const { return line("stage " + std::to_string(fact.stage + 1), "at its gate"); }
  std::string operator()(const GatePassed& fact) const {
    return line("stage " + std::to_string(fact.stage + 1), "let through by " + fact.by + why(fact.reason));
  }
  std::string operator()(const Held& fact) const {
    return line("rollout", fact.why.empty() ? "not held any more" : "held" + why(fact.why));
  }
  std::string operator()(const Shrunk& fact) const { return line("rollout", fact.on ? "canary made small" : "canary as planned again"); }
  std::string operator()(const Overridden& fact) const {
    return line("stage " + std::to_string(fact.stage + 1), "overridden by " + fact.by + why(fact.reason));
  }
  std::string operator()(const MemberHealth& fact) const {
    return member(fact.member, (fact.down ? "is down" : "is up again") + why(fact.why));
  }
  std::string operator()(const ReleaseFound& fact) const {
    return host(fact.host, "has " + (fact.digest.empty() ? "no release" : fact.digest));
  }
  std::string operator()(const HostErring& fact) const { return host(fact.host, (fact.on ? "errs" : "errs no more") + why(fact.why)); }
  std::string operator()(const ShareOff& fact) const {
    return line("share", fact.why.empty() ? rollout_.plan.pools[fact.pool].name + " serves what its weights give" : fact.why);
  }
  std::string operator()(const Watched& fact) const {
    return line("rollout", "watched: " + to_string(fact.history) + " of history are known");
  }
  std::string operator()(const MetricIgnored& fact) const {
    return line("rollout", "metric " + fact.metric + " ignored by " + fact.by + why(fact.reason));
  }
  std::string operator()(const Scaled& fact) const {
    return line("rollout", fact.by == 1 ? "weights as they were found" : "weights times " + std::to_string(fact.by));
  }
  std::string operator()(const Finishing&) const { return line("rollout", "finishing"); }
  std::string operator()(const Paused& fact) const { return line("rollout", "paused by " + fact.by + why(fact.reason)); }
  std::string operator()(const Resumed& fact) const { return line("rollout", "resumed by " + fact.by); }
  std::string operator()(const RollingBack& fact) const {
    return line("rollout", std::string("rolling back") + (fact.condemned ? " (condemned)" : "") + why(fact.reason));
  }
  std::string operator()(const Forced& fact) const { return line("rollout", "forced by " + fact.by + why(fact.reason)); }
  std::string operator()(const Aborting& fact) const { return line("rollout", "aborting" + why(fact.reason)); }
  std::string operator()(const ClockJumped& fact) const { return line("rollout", "clock jumped by " + to_string(fact.by)); }
  std::string operator()(const Quarantined& fact) const { return line("rollout", "quarantined" + why(fact.why)); }
  std::string operator()(const Ended& fact) const { return line("rollout", std::string(to_string(fact.outcome)) + why(fact.reason)); }

 private:
  static std::string line(std::string subject, const std::string& what) {
    subject.resize(std::max<std::size_t>(subject.size() + 1, 12), ' ');
    return subject + what;
  }
  static std::string why(const std::string& text) { return text.empty() ? "" : ": " + text; }
  [[nodiscard]] std::string host(HostIndex index, const std::string& what) const { return line(rollout_.plan.hosts[index].name, what); }
  [[nodiscard]] std::string member(MemberIndex index, const std::string& what) const {
    const auto& planned = rollout_.plan.members[index];
    return line(rollout_.plan.pools[planned.pool].name + "/" + planned.name, what);
  }

  const Rollout& rollout_;
};

}  // namespace

std::string text_of(const Rollout& rollout, const Record& record) { return std::visit(Words(rollout), record.fact); }

std::string text_of(const Rollout& rollout, const Effect& effect) {
  if (const auto* step = std::get_if<HostStep>(&effect.what))
    return "> " + std::string(to_string(step->step)) + " " + rollout.plan.hosts[step->host].name;
  auto index = std::get<WriteMember>(effect.what).member;
  const auto& planned = rollout.plan.members[index];
  return "> write " + rollout.plan.pools[planned.pool].name + "/" + planned.name + " " + to_string(rollout.members[index].wanted);
}

}  // namespace shiftd
