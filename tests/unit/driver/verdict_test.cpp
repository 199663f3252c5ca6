// What the driver makes of the verdict.

#include <sstream>

#include <nlohmann/json.hpp>

#include "daemon/analysis/trace.hpp"
#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using VerdictDrives = SupervisorTest;

// What was exported, read again.
Result<Trace> trace_of(const Result<std::string>& exported) {
  if (!exported) return exported.error();
  std::istringstream in(*exported);
  return read_trace(in);
}

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
  EXPECT_NE(notes.find(" canary requests)"), std::string::npos) << notes;
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

std::string notes_of(const Plan& plan) {
  std::string notes;
  for (const auto& note : plan.notes) notes += note + "\n";
  return notes;
}

// Of the service's history, in points.
std::size_t points_of(Journal& journal,
                      const std::function<Result<std::vector<CountsPoint>>(Task<Result<std::vector<CountsPoint>>>)>& ask) {
  auto points = ask(journal.read_counts("web", Instant{}));
  EXPECT_TRUE(points);
  return points ? points->size() : 0;
}

TEST_F(VerdictDrives, HostsAreCountedBetweenRollouts) {
  begin(4, five_stages());
  auto ask_points = [this](auto task) { return ask(std::move(task)); };
  pass(10min);
  // The first reading only tells where the counters stand.
  EXPECT_NEAR(static_cast<double>(points_of(*journal_, ask_points)), 59, 2);
  auto points = ask(journal_->read_counts("web", Instant{}));
  for (const auto& point : *points) {
    auto counts = nlohmann::json::parse(point.counts);
    ASSERT_EQ(counts.size(), 4U);
    // 200 a second, shared by four, for ten seconds.
    EXPECT_NEAR(counts["web01"][0].get<double>(), 500, 10) << point.counts;
  }
}

TEST_F(VerdictDrives, WhatIsKeptOfTheHistoryIsBounded) {
  begin(4, five_stages());
  auto ask_points = [this](auto task) { return ask(std::move(task)); };
  pass(7h);
  EXPECT_NEAR(static_cast<double>(points_of(*journal_, ask_points)), 6 * 360, 10);
}

TEST_F(VerdictDrives, TheFirstHostStaysUntilEnoughOfTheHistoryIsKnown) {
  begin(4, five_stages());
  world_->verdict.watch_first = 10min;
  boot_again();
  pass(4min + 5s);
  auto id = start("two");
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_NE(notes_of(rollout->plan).find("of the hosts' history, 4m of 10m are known: the first host leaves in about 6m"),
            std::string::npos)
      << notes_of(rollout->plan);
  pass(5min);
  rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_EQ(rollout->in_flight() + rollout->serving_new(), 0U);
  EXPECT_NE(rollout->held.find("watching until 10m of the hosts' history"), std::string::npos) << rollout->held;
  // What was watched is not lost with the daemon.
  restart(id);
  pass(90s);
  rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_TRUE(rollout->watched);
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
  // The next one finds what it needs.
  auto next = start("four");
  rollout = running(next);
  ASSERT_NE(rollout, nullptr);
  EXPECT_EQ(rollout->plan.watch, 0s);
}

TEST_F(VerdictDrives, WhoeverDoesNotWantToWaitSaysSoAndThePlanRemembersIt) {
  begin(4, five_stages());
  world_->verdict.watch_first = 1h;
  boot_again();
  StartRequest request;
  request.service = "web";
  request.release = {"v-two", "two", "/nowhere"};
  request.by = "ada";
  request.no_watch = true;
  auto id = ask(supervisor_->start(request));
  ASSERT_TRUE(id) << id.error();
  auto rollout = finish(*id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  EXPECT_TRUE(rollout.request.no_watch);
  EXPECT_NE(notes_of(rollout.plan).find("leaves all the same, as asked"), std::string::npos) << notes_of(rollout.plan);
}

TEST_F(VerdictDrives, CountersThatAreLostDoNotPassForWatching) {
  begin(4, five_stages());
  world_->verdict.watch_first = 10min;
  boot_again();
  auto id = start("two");
  pass(5min);
  world_->front_end_answers = false;
  pass(20min);
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_FALSE(rollout->watched);
  world_->front_end_answers = true;
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

// What is exported is judged as it was.
TEST_F(VerdictDrives, ARecordedRolloutIsExportedAndJudgedAgain) {
  auto strategy = five_stages();
  for (auto& stage : strategy.stages) stage.bake = 40s;
  begin(6, strategy);
  world_->failure_rate["one"] = 0.002;
  world_->failure_rate["three"] = 0.15;
  world_->rate = 1000;
  pass(15min);
  auto id = start("three");
  auto rollout = finish(id);
  ASSERT_EQ(rollout.outcome, Outcome::rolled_back);
  auto trace = trace_of(ask(supervisor_->trace(id)));
  ASSERT_TRUE(trace) << trace.error();
  EXPECT_EQ(trace->id, id);
  EXPECT_EQ(trace->rows.front().frame.season, Season::before);
  EXPECT_EQ(trace->rows.front().frame.length, 10s);
  auto replayed = replay(*trace, trace->options);
  ASSERT_FALSE(replayed.spoken.empty());
  EXPECT_EQ(replayed.spoken.back().call, Call::roll_back);
  EXPECT_EQ(replayed.spoken.back().evidence.text, rollout.reason);
  // Other settings may be tried on it.
  auto lenient = trace->options;
  lenient.tolerate = 100;
  EXPECT_NE(replay(*trace, lenient).spoken.back().call, Call::roll_back);
  // The service's own history is there for calibration.
  auto history = ask(supervisor_->history("web"));
  ASSERT_TRUE(history) << history.error();
  std::istringstream past(*history);
  auto read = read_trace(past);
  ASSERT_TRUE(read) << read.error();
  EXPECT_GT(read->rows.size(), 80U);
}

TEST_F(VerdictDrives, WhatWasNotRecordedCannotBeExported) {
  begin(4, five_stages());
  EXPECT_EQ(ask(supervisor_->trace("web-1")).error().code, Errc::not_found);
  EXPECT_EQ(ask(supervisor_->history("mail")).error().code, Errc::not_found);
  auto empty = ask(supervisor_->history("web"));
  ASSERT_TRUE(empty) << empty.error();
}

TEST_F(VerdictDrives, OnlyTheNewestRecordingsAreKept) {
  begin(2, five_stages());
  world_->rate = 2000;
  std::string first;
  for (int number = 0; number < 22; ++number) {
    auto id = start(number % 2 == 0 ? "two" : "four");
    if (first.empty()) first = id;
    finish(id);
  }
  EXPECT_EQ(ask(supervisor_->trace(first)).error().code, Errc::not_found);
}

ServiceMetric slow_requests(MetricMay may) {
  MetricOptions options;
  options.name = "slow";
  options.may = may;
  return {options, "slow", "all"};
}

Strategy two_stages() {
  Strategy strategy;
  strategy.stages = {{BasisPoints{2'500}, 60s, Gate::open}, {BasisPoints{10'000}, 60s, Gate::open}};
  strategy.max_failed = {1, {}};
  return strategy;
}

TEST_F(VerdictDrives, AMetricThatMayRollBackDoes) {
  begin(4, two_stages());
  world_->metrics = {slow_requests(MetricMay::roll_back)};
  boot_again();
  world_->slow_share = {{"one", 0.01}, {"three", 0.2}};
  auto id = start("three");
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back);
  EXPECT_NE(rollout.reason.find("metric slow: canary"), std::string::npos) << rollout.reason;
  world_->slow_share["two"] = 0.01;
  EXPECT_EQ(finish(start("two")).outcome, Outcome::succeeded);
}

TEST_F(VerdictDrives, AMetricThatMayOnlyHoldHoldsUntilSomebodyTakesItOut) {
  begin(4, two_stages());
  world_->metrics = {slow_requests(MetricMay::hold)};
  boot_again();
  world_->slow_share = {{"one", 0.01}, {"three", 0.2}};
  auto id = start("three");
  pass(15min);
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_EQ(rollout->stage, 0U);
  EXPECT_NE(rollout->held.find("metric slow: it speaks against the release"), std::string::npos) << rollout->held;
  auto live = ask(supervisor_->show(id))->live;
  ASSERT_EQ(live.metrics.size(), 1U);
  EXPECT_TRUE(live.metrics[0].speaks_against);

  CommandRequest ignore;
  ignore.verb = Verb::ignore_metric;
  ignore.metric = "fast";
  ignore.by = "ada";
  ignore.reason = "it lies, INC-3";
  EXPECT_EQ(ask(supervisor_->command(id, ignore)).error().code, Errc::not_found);
  ignore.metric = "slow";
  ignore.reason.clear();
  EXPECT_EQ(ask(supervisor_->command(id, ignore)).error().code, Errc::bad_input);
  ignore.reason = "it lies, INC-3";
  ASSERT_TRUE(ask(supervisor_->command(id, ignore)));
  EXPECT_EQ(ask(supervisor_->command(id, ignore)).error().code, Errc::conflict) << "once is enough";
  // It stays out when the daemon comes back.
  restart(id);
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(VerdictDrives, AMetricThatOnlyInformsIsShownAndDecidesNothing) {
  begin(4, two_stages());
  auto metric = slow_requests(MetricMay::inform);
  ServiceMetric heavy{{}, "weight", ""};
  heavy.options.name = "weight";
  heavy.options.may = MetricMay::inform;
  heavy.options.above = 50;
  world_->metrics = {metric, heavy};
  boot_again();
  world_->slow_share = {{"one", 0.01}, {"three", 0.2}};
  auto id = start("three");
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
  auto live = ask(supervisor_->show(id))->live;
  ASSERT_EQ(live.metrics.size(), 2U);
  EXPECT_TRUE(live.metrics[0].speaks_against) << live.metrics[0].text;
  EXPECT_TRUE(live.metrics[1].speaks_against) << live.metrics[1].text;
}

TEST_F(VerdictDrives, AMetricThatIsNotKnownLetsNoStagePass) {
  begin(4, two_stages());
  world_->metrics = {slow_requests(MetricMay::roll_back)};
  boot_again();
  world_->metrics_trouble = "nobody listens at prometheus:9090";
  auto id = start("two");
  pass(15min);
  const auto* rollout = running(id);
  ASSERT_NE(rollout, nullptr);
  EXPECT_EQ(rollout->stage, 0U);
  EXPECT_NE(rollout->held.find("metric slow: nobody listens"), std::string::npos) << rollout->held;
  world_->metrics_trouble.clear();
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

TEST_F(VerdictDrives, ARestartMidStageKeepsWhatTheJudgeKnew) {
  auto strategy = two_stages();
  strategy.stages[0].bake = 10min;
  begin(4, strategy);
  world_->failure_rate["one"] = world_->failure_rate["two"] = 0.01;
  auto id = start("two");
  pass_until_phase(id, HostPhase::serving_new);
  pass(2min);
  auto kept = ask(journal_->load_checkpoint(id));
  ASSERT_TRUE(kept && *kept);
  auto judge = nlohmann::json::parse(**kept)["judge"];
  EXPECT_GT(judge["canary"][1].get<double>(), 100) << judge;
  EXPECT_GT(judge["baseline"][1].get<double>(), 100) << judge;
  EXPECT_NEAR(judge["former"][0].get<double>() / judge["former"][1].get<double>(), 0.01, 0.003) << judge;
  restart(id);
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

// The first count after a restart reaches back to the last checkpoint, when the host served its former release.
TEST_F(VerdictDrives, WhatAHostAnsweredBeforeItsSwapIsNotTheCanarysAfterARestart) {
  auto strategy = two_stages();
  strategy.stages[0].bake = 10min;
  begin(4, strategy);
  auto id = start("two");
  ASSERT_TRUE(ask(supervisor_->command(id, {Verb::pause, "", "ada", "to look"})));
  pass(15s);
  auto kept = [&] { return ask(journal_->load_checkpoint(id)).value().value_or(""); };
  for (auto before = kept(); kept() == before;) pass(100ms);
  pass(7s);
  ASSERT_TRUE(ask(supervisor_->command(id, {Verb::resume, "", "ada", ""})));
  auto resumed = clock_.steady();
  pass_until_phase(id, HostPhase::serving_new);
  ASSERT_LT(clock_.steady() - resumed, 2s);
  restart(id);
  pass(12s);
  auto trace = trace_of(ask(supervisor_->trace(id)));
  ASSERT_TRUE(trace) << trace.error();
  // Of the 200 requests a second each host answers 50.
  auto reaches_back = [](const TraceRow& row) { return row.hosts[0].requests > 300; };
  auto first = std::find_if(trace->rows.begin(), trace->rows.end(), reaches_back);
  ASSERT_NE(first, trace->rows.end());
  EXPECT_NE(first->hosts[0].cohort, Cohort::canary);
  EXPECT_EQ(trace->rows.back().hosts[0].cohort, Cohort::canary);
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

// Nor is what a host answered in a stage that has passed, though the checkpoint is from before it joined.
TEST_F(VerdictDrives, WhatAHostAnsweredInAnEarlierStageIsNotThisOnesAfterARestart) {
  auto strategy = two_stages();
  strategy.stages[0].gate = Gate::manual;
  strategy.stages[0].bake = 1s;
  strategy.min_requests = 10;
  begin(4, strategy);
  world_->upgrade_time = 12s;  // longer than from one checkpoint to the next
  auto id = start("two");
  pass_until_phase(id, HostPhase::upgrading);
  auto kept = [&] { return ask(journal_->load_checkpoint(id)).value().value_or(""); };
  for (auto before = kept(); kept() == before;) pass(100ms);
  ASSERT_EQ(running(id)->serving_new(), 0U);
  auto last = kept();
  pass_until(id, [](const Rollout& rollout) { return rollout.phase == Phase::gated; });
  ASSERT_TRUE(ask(supervisor_->command(id, {Verb::promote, "", "ada", ""})));
  ASSERT_EQ(running(id)->stage, 1U);
  ASSERT_EQ(kept(), last);
  restart(id);
  pass(12s);
  auto trace = trace_of(ask(supervisor_->trace(id)));
  ASSERT_TRUE(trace) << trace.error();
  auto first = std::find_if(trace->rows.begin(), trace->rows.end(), [](const TraceRow& row) { return row.frame.stage == 1; });
  ASSERT_NE(first, trace->rows.end());
  EXPECT_GT(first->hosts[0].requests, 20);
  EXPECT_NE(first->hosts[0].cohort, Cohort::canary);
  EXPECT_EQ(finish(id).outcome, Outcome::succeeded);
}

}  // namespace
}  // namespace shiftd
