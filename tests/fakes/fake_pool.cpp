#include "tests/fakes/fake_pool.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace shiftd {
namespace {

// "1/2|yes, weight 100": life, revision, value.
std::string revision_text(int life, int revision, const Setting& setting) {
  return std::to_string(life) + "/" + std::to_string(revision) + "|" + to_string(setting);
}

std::optional<Setting> parse_setting(std::string_view text) {
  for (auto pooled : {Pooled::yes, Pooled::no, Pooled::inactive}) {
    auto begins = std::string(to_string(pooled)) + ", weight ";
    if (!text.starts_with(begins)) continue;
    Setting setting{pooled, 0};
    auto [end, error] = std::from_chars(text.data() + begins.size(), text.data() + text.size(), setting.weight);
    if (error == std::errc{} && end == text.data() + text.size()) return setting;
  }
  return std::nullopt;
}

}  // namespace

class FakePoolStore final : public PoolStore {
 public:
  explicit FakePoolStore(FakePool& pool) : pool_(pool) {}

  const std::string& name() const override { return pool_.name_; }
  const Capabilities& capabilities() const override { return pool_.capabilities; }

  Task<Result<PoolReading>> read() override {
    co_await pool_.answer_after_latency();
    if (pool_.store_fails) co_return *pool_.store_fails;
    co_return pool_.reading();
  }

  Task<Result<PoolReading>> watch(PoolReading last, Duration at_most) override {
    auto until = pool_.clock_.steady() + at_most;
    while (true) {
      auto now = co_await read();
      if (!now || now->epoch != last.epoch || now->members != last.members || pool_.clock_.steady() >= until) co_return now;
      co_await pool_.clock_.sleep_until(std::min(until, pool_.clock_.steady() + pool_.poll_interval));
    }
  }

  Task<Result<WriteOutcome>> write(MemberWrite wanted) override {
    co_await pool_.answer_after_latency();
    if (pool_.store_fails) co_return *pool_.store_fails;
    if (auto failure = std::exchange(pool_.next_write_fails, std::nullopt)) co_return *failure;
    auto found = pool_.members.find(wanted.member);
    if (found == pool_.members.end()) co_return Failure{Errc::not_found, "no member " + wanted.member};
    auto& member = found->second;
    auto bar = wanted.based_on.find('|');
    if (bar == std::string::npos) co_return Failure{Errc::bad_input, "'" + wanted.based_on + "' is not a revision"};
    auto to = wanted.bytes.empty() ? std::optional(wanted.setting) : parse_setting(wanted.bytes);
    if (!to) co_return Failure{Errc::bad_input, "'" + wanted.bytes + "' is not a member"};
    bool same_life = wanted.based_on.starts_with(std::to_string(pool_.life_) + "/");
    if (member.setting == *to) co_return Written{pool_.observed(member), same_life && wanted.based_on != pool_.observed(member).revision};
    if (wanted.bytes.empty()) {
      const auto& can = pool_.capabilities;
      if (to->pooled == Pooled::inactive || to->weight < can.weight_least || to->weight > can.weight_most) {
        co_return Failure{Errc::bad_input, to_string(*to) + " cannot be written here"};
      }
    }
    bool forgotten = !same_life && member.as_configured;
    bool same_value = wanted.based_on.substr(bar + 1) == to_string(member.setting);
    bool same_revision = wanted.based_on == pool_.observed(member).revision;
    if (pool_.conditional ? !same_revision : !forgotten && !same_value) co_return ForeignChange{pool_.observed(member)};
    if (auto later = std::exchange(pool_.next_write_lands_late, std::nullopt)) {
      pool_.late_.push_back({pool_.clock_.steady() + *later, wanted.member, member.revision, *to});
      co_return Failure{Errc::timed_out, "no answer"};
    }
    pool_.change(member, *to);
    pool_.written.push_back(found->first + ": " + to_string(*to));
    if (std::exchange(pool_.next_write_lands_unheard, false)) co_return Failure{Errc::timed_out, "no answer"};
    co_return Written{pool_.observed(member)};
  }

  std::string restore_command(std::string_view member, const Observed& original) const override {
    return "fake-pool set '" + std::string(member) + "' '" + original.bytes + "'";
  }

 private:
  FakePool& pool_;
};

class FakeView final : public TrafficView {
 public:
  explicit FakeView(FakePool& pool) : pool_(pool) {}

  const std::string& name() const override { return pool_.name_; }

  Task<Result<ViewReading>> read() override {
    co_await pool_.answer_after_latency();
    if (pool_.view_fails) co_return *pool_.view_fails;
    ViewReading reading;
    reading.epoch = std::to_string(pool_.life_);
    for (const auto& [name, member] : pool_.members) {
      MemberView view;
      view.health = member.health;
      view.connections = member.connections;
      if (member.setting.pooled == Pooled::yes) {
        view.traffic = Traffic::flowing;
        view.weight = member.health == Health::down ? 0 : member.setting.weight;
      } else {
        view.traffic = member.connections > 0 ? Traffic::draining : Traffic::none;
      }
      reading.members.emplace_back(name, view);
    }
    co_return reading;
  }

 private:
  FakePool& pool_;
};

class FakeFrontEnd final : public FrontEnd {
 public:
  explicit FakeFrontEnd(FakePool& pool) : pool_(pool) {}

  const std::string& name() const override { return pool_.name_; }

  Task<Result<CountsReading>> poll() override {
    co_await pool_.answer_after_latency();
    if (pool_.front_end_fails) co_return *pool_.front_end_fails;
    CountsReading reading;
    reading.first = !std::exchange(polled_, true);
    for (auto& [name, member] : pool_.members) {
      auto requests = std::exchange(member.requests, 0);
      auto failures = std::exchange(member.failures, 0);
      reading.hosts.push_back({name, reading.first ? 0 : requests, reading.first ? 0 : failures});
    }
    reading.unattributed = std::exchange(pool_.unattributed, 0);
    reading.lost = std::exchange(pool_.lost, 0);
    reading.reset = std::exchange(pool_.reset_, false);
    if (reading.first) reading.unattributed = reading.lost = 0;
    co_return reading;
  }

  std::string checkpoint() const override { return polled_ ? "polled" : ""; }
  Result<void> restore(const std::string& checkpoint) override {
    if (checkpoint != "polled") return Failure{Errc::bad_input, "not a checkpoint of a fake front end"};
    polled_ = true;
    return {};
  }

 private:
  FakePool& pool_;
  bool polled_ = false;
};

void FakePool::person_sets(const std::string& member, Setting setting) { change(members.at(member), setting); }

void FakePool::restart(const std::map<std::string, Setting>& original) {
  ++life_;
  reset_ = true;
  for (auto& [name, member] : members) {
    member.connections = 0;
    member.as_configured = true;
    if (auto found = original.find(name); found != original.end()) member.setting = found->second;
  }
}

void FakePool::serve(const std::string& member, std::uint64_t requests, std::uint64_t failures) {
  members.at(member).requests += requests;
  members.at(member).failures += failures;
}

Task<> FakePool::answer_after_latency() {
  if (latency > Duration::zero()) co_await clock_.sleep_for(latency);
  land_late_writes();
}

void FakePool::land_late_writes() {
  auto now = clock_.steady();
  std::erase_if(late_, [&](const LateWrite& late) {
    if (late.when > now) return false;
    auto& member = members.at(late.member);
    if (member.revision == late.revision) {
      change(member, late.setting);
      written.push_back(late.member + ": " + to_string(late.setting));
    }
    return true;
  });
}

PoolReading FakePool::reading() const {
  PoolReading reading;
  reading.epoch = std::to_string(life_);
  for (const auto& [name, member] : members) reading.members.push_back({name, observed(member), member.malformed, member.as_configured});
  return reading;
}

Observed FakePool::observed(const Member& member) const {
  return {member.setting, to_string(member.setting), revision_text(life_, member.revision, member.setting)};
}

void FakePool::change(Member& member, Setting setting) {
  member.setting = setting;
  member.as_configured = false;
  ++member.revision;
}

std::unique_ptr<PoolStore> FakePool::make_store() { return std::make_unique<FakePoolStore>(*this); }
std::unique_ptr<TrafficView> FakePool::make_view() { return std::make_unique<FakeView>(*this); }
std::unique_ptr<FrontEnd> FakePool::make_front_end() { return std::make_unique<FakeFrontEnd>(*this); }

}  // namespace shiftd
