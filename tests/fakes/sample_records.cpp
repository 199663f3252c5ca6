#include "tests/fakes/sample_records.hpp"

#include <algorithm>
#include <array>

#include "tests/fakes/fleets.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr auto awkward = "he said \"no\"\\ \t\n \u00e9 \u2028 \U0001f600";

Strategy sample_strategy() {
  Strategy strategy;
  strategy.canary = std::vector<std::string>{"web2", "web1"};
  strategy.stages = stages_of("20%@30s,50%!,100%@0s");
  strategy.batch = HostQuota{0, BasisPoints{2'500}};
  strategy.max_failed = HostQuota{1, {}};
  strategy.floor = BasisPoints{4'000};
  strategy.max_load = 2.5;
  strategy.max_load_rollback = 3.25;
  strategy.allow_downtime = true;
  strategy.scale_pool = true;
  strategy.when_busy = WhenBusy::queue;
  strategy.confirm_limit = 11s;
  strategy.drain_limit = 1min;
  strategy.on_drain_limit = DrainDeadline::go_on;
  strategy.rollback_drain_limit = 3s;
  strategy.drain_grace = 250ms;
  strategy.upgrade_limit = 9min;
  strategy.verify_limit = 90s;
  strategy.health_limit = 45s;
  strategy.blind_limit = 75s;
  strategy.min_requests = 77;
  return strategy;
}

}  // namespace

Plan sample_plan() {
  FleetSpec spec;
  spec.hosts = 6;
  spec.pools = {"lb1/app", "lb2/app"};
  spec.weights = {100, 30};
  spec.already = {3};
  spec.capabilities = {2, 200, true, false, true, true, 0.25};
  auto fleet = fleet_of(spec);
  fleet.members[2].observed.bytes = std::string("\xff\x00 no text", 10);
  fleet.members[3].observed.setting = {Pooled::inactive, 0};
  auto request = request_for({"web1", "web2", "web3", "web4"});
  request.reason = awkward;
  return make_plan(std::move(request), sample_strategy(), fleet).value();
}

std::vector<Record> sample_records() {
  Observed seen{{Pooled::no, 7}, std::string("raw \x00\xfe", 6), "rev \xff"};
  auto why = std::string(awkward);
  std::vector<Fact> facts = {
      Requested{sample_plan().request},
      Planned{sample_plan()},
      StageBegun{0},
      HostMoved{0, HostPhase::preparing, 1, false, ""},
      HostMoved{0, HostPhase::straggler, 0, true, why},
      HostMoved{1, HostPhase::preparing, 2, false, ""},
      HostMoved{1, HostPhase::ready, 0, false, ""},
      HostHealth{1, true, why},
      HostHealth{1, false, ""},
      LateResult{1, 2, why},
      MemberWanted{3, {Pooled::yes, 12}, false, 3},
      MemberSet{3, 3, seen},
      MemberConfirmed{3},
      MemberWanted{3, {Pooled::yes, 30}, true, 4},
      MemberTaken{3, seen},
      MemberReturned{3, true, "ada", why},
      MemberReturned{3, false, "ada", ""},
      SourceLost{"front end", why},
      SourceBack{"front end"},
      Shrunk{true},
      Shrunk{false},
      StageBaking{0, Instant(1'764'000'060'000ms)},
      StagePassed{0, why},
      GateReached{1},
      GatePassed{1, "ada", why},
      StageBegun{2},
      Held{why},
      Held{""},
      Paused{"ada", why},
      Resumed{"ada"},
      ClockJumped{-90'000ms},
      Finishing{},
      Aborting{"ada", why},
      RollingBack{"shiftd", why, true},
      RollingBack{"ada", "", false},
      Quarantined{why},
      Ended{Outcome::rolled_back, why},
  };
  constexpr std::array added_later{HostPhase::quiescing, HostPhase::requiescing};
  for (int value = 0; value < static_cast<int>(host_phases); ++value) {
    auto phase = static_cast<HostPhase>(value);
    if (std::find(added_later.begin(), added_later.end(), phase) == added_later.end())
      facts.emplace_back(HostMoved{1, phase, 0, false, ""});
  }
  for (auto outcome : {Outcome::none, Outcome::succeeded, Outcome::failed, Outcome::aborted}) facts.emplace_back(Ended{outcome, "so"});
  // What was added later comes last: the lines before it are for ever.
  for (Fact fact : {Fact(PoolClosed{1, why}), Fact(PoolOpened{1}), Fact(WeightsDue{true}), Fact(WeightsDue{false}), Fact(Scaled{6})})
    facts.push_back(std::move(fact));
  for (auto phase : added_later) facts.emplace_back(HostMoved{1, phase, 6, false, why});
  for (Fact fact :
       {Fact(Overridden{1, "ada", why}), Fact(MemberHealth{2, true, why}), Fact(MemberHealth{2, false, ""}), Fact(ShareOff{1, why}),
        Fact(ShareOff{1, ""}), Fact(HostErring{1, true, why}), Fact(HostErring{1, false, ""}), Fact(MemberConfirmed{2, true}),
        Fact(Forced{"ada", why}), Fact(ThresholdChanged{1, {"lvs1/app_80", 0.66, 12, 2}}), Fact(ThresholdChanged{1, {}}),
        Fact(Watched{3'600'000ms}), Fact(MetricIgnored{"slow", "ada", why}), Fact(ReleaseFound{1, "d1"}),
        Fact(HostMoved{1, HostPhase::ready, 0, false, "", false, "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "f00d"})})
    facts.push_back(std::move(fact));
  std::vector<Record> records;
  auto at = Instant(1'764'000'000'007ms);
  for (auto& fact : facts) records.push_back({at += 13ms, std::move(fact)});
  return records;
}

}  // namespace shiftd
