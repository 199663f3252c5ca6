// What the driver makes of the verdict.

#include <nlohmann/json.hpp>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using VerdictDrives = SupervisorTest;

Strategy half_then_all() {
  Strategy strategy;
  strategy.canary = HostQuota{4, {}};
  strategy.stages = {{BasisPoints{5'000}, 60s, Gate::open}, {BasisPoints{10'000}, 5s, Gate::open}};
  strategy.max_failed = {2, {}};
  return strategy;
}

TEST_F(VerdictDrives, TheOneBadHostIsTakenOutAndTheReleaseGoesOn) {
  begin(10, half_then_all());
  world_->failure_rate["one"] = world_->failure_rate["two"] = 0.01;
  auto id = start("two");
  clock_.run(*loop_, [&] {
    const auto* rollout = running(id);
    return rollout == nullptr || rollout->serving_new() >= 4;
  });
  world_->hosts.at("web02").ill_rate = 0.2;
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  EXPECT_NE(rollout.reason.find("web02"), std::string::npos) << rollout.reason;
  EXPECT_EQ(world_->hosts.at("web02").running, "one");
  EXPECT_EQ(world_->hosts.at("web05").running, "two");
}

TEST_F(VerdictDrives, AHostThatAnswersMostlyWithFailuresIsNoCapacity) {
  auto strategy = five_stages();
  strategy.max_load = 1.5;
  begin(3, strategy);
  world_->hosts.at("web03").ill_rate = 0.8;
  auto id = start("two");
  pass(2min);
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_TRUE(rollout->hosts[2].erring);
  EXPECT_NE(rollout->held.find("hosts that answer mostly with failures do not count"), std::string::npos) << rollout->held;
  EXPECT_EQ(world_->hosts.at("web02").running, "one");
  world_->hosts.at("web03").ill_rate = 0;
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(VerdictDrives, WhatAHostAnsweredOnItsFormerReleaseIsForgottenOnTheNext) {
  begin(3, five_stages());
  world_->hosts.at("web01").ill_rate = 0.9;
  auto id = start("two");
  ASSERT_TRUE(ask(supervisor_->command(id, {Verb::pause, "", "ada", "to look"})));
  pass(5s);
  EXPECT_TRUE(running(id)->hosts[0].erring);
  ASSERT_TRUE(ask(supervisor_->command(id, {Verb::resume, "", "ada", ""})));
  pass_until_phase(id, HostPhase::upgrading);
  world_->hosts.at("web01").ill_rate = 0;
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  auto records = ask(journal_->read(id, 0, 1000));
  ASSERT_TRUE(records);
  auto erred = std::count_if(records->begin(), records->end(),
                             [](const std::string& record) { return record.find(R"("is":"host_erring")") != std::string::npos; });
  EXPECT_EQ(erred, 1) << "once, before its upgrade";
}

TEST_F(VerdictDrives, AStageThatLacksProofSaysWhatIsMissing) {
  begin(4, five_stages());
  world_->rate = 0.2;
  auto id = start("two");
  pass(5min);
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_EQ(rollout->stage, 0U);
  EXPECT_NE(rollout->held.find("not enough to go on: the canary has had"), std::string::npos) << rollout->held;
}

TEST_F(VerdictDrives, AnIncidentOfBothReleasesIsNotTheNewOnesFault) {
  auto strategy = five_stages();
  for (auto& stage : strategy.stages) stage.bake = 60s;
  begin(10, strategy);
  world_->rate = 2000;
  world_->failure_rate["one"] = world_->failure_rate["two"] = 0.001;
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  pass(30s);
  world_->failure_rate["one"] = world_->failure_rate["two"] = 0.3;
  pass(1min);
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_EQ(rollout->stage, 0U);
  EXPECT_NE(rollout->held.find("an incident"), std::string::npos) << rollout->held;
  world_->failure_rate["one"] = world_->failure_rate["two"] = 0.001;
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(VerdictDrives, TheHarmLimitEndsARolloutWhateverIsTolerated) {
  auto strategy = five_stages();
  for (auto& stage : strategy.stages) stage.bake = 10min;
  begin(10, strategy);
  world_->verdict.tolerate = 100;
  world_->verdict.confidence = 0.999999;
  world_->verdict.harm_limit = 5;
  boot_again();
  world_->failure_rate["three"] = 0.05;
  auto rollout = finish(start("three"));
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back);
  EXPECT_NE(rollout.reason.find("harm_limit is 5"), std::string::npos) << rollout.reason;
}

TEST_F(VerdictDrives, TheNextRolloutLearnsFromWhatHostsDidOnTheirOldReleases) {
  auto strategy = five_stages();
  for (auto& stage : strategy.stages) stage.bake = 30s;
  begin(10, strategy);
  finish(start("two"));
  auto points = ask(journal_->read_counts("web", Instant{}));
  ASSERT_TRUE(points);
  ASSERT_GE(points->size(), 5U);
  // The first host was upgraded first: little of it is history. The last one served its old release for long.
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  for (const auto& point : *points) {
    auto counts = nlohmann::json::parse(point.counts);
    if (counts.contains("web01")) first += counts["web01"][0].get<std::uint64_t>();
    if (counts.contains("web10")) last += counts["web10"][0].get<std::uint64_t>();
  }
  EXPECT_GT(last, 5 * first);
  EXPECT_GT(last, 1000U);
  EXPECT_EQ(finish(start("four")).outcome, Outcome::succeeded);
}

TEST_F(VerdictDrives, APlanSaysHowLongTheVerdictWillNeedAndPutsIllHostsLast) {
  begin(6, five_stages());
  auto now = clock_.wall();
  for (int i = 0; i < 60; ++i) {
    nlohmann::json counts;
    for (const auto& [name, host] : world_->hosts) counts[name] = {1000, name == "web01" ? 200 : 1 + i % 2};
    ASSERT_TRUE(ask(journal_->add_counts("web", {now - std::chrono::seconds(10 * (60 - i)), counts.dump()}, 6h)));
  }
  StartRequest request;
  request.service = "web";
  request.release = {"v2", "two", "/nowhere"};
  auto plan = ask(supervisor_->plan(request));
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_EQ(plan->plan.hosts.front().name, "web02");
  EXPECT_EQ(plan->plan.hosts.back().name, "web01");
  std::string notes;
  for (const auto& note : plan->plan.notes) notes += note + "\n";
  EXPECT_NE(notes.find("web01 has failed far more often"), std::string::npos) << notes;
  EXPECT_NE(notes.find("at the 600 requests a second of late"), std::string::npos) << notes;
  EXPECT_NE(notes.find("is proven in "), std::string::npos) << notes;
}

TEST_F(VerdictDrives, APlanWithoutHistorySaysNothingOfIt) {
  begin(6, five_stages());
  StartRequest request;
  request.service = "web";
  request.release = {"v2", "two", "/nowhere"};
  auto plan = ask(supervisor_->plan(request));
  ASSERT_TRUE(plan) << plan.error();
  for (const auto& note : plan->plan.notes) EXPECT_EQ(note.find("of late"), std::string::npos) << note;
}

}  // namespace
}  // namespace shiftd
