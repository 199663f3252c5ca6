#include "daemon/analysis/stage_judge.hpp"
#include "tests/unit/analysis/start.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// A stage that bakes for a minute, a second at a time, with a verdict as the test wants it.
struct StageJudgement : testing::Test {
  Ruling second(std::uint64_t canary_failures, std::uint64_t baseline_failures, std::uint64_t baseline_requests = 900) {
    moment.now += 1s;
    hosts = {{"web1", Cohort::canary, false, 100, canary_failures},
             {"web2", Cohort::baseline, false, baseline_requests, baseline_failures}};
    evidence.canary_requests += 100;
    evidence.stage_canary_requests += 100;
    return judge.rule(moment, verdict, evidence, hosts);
  }
  Ruling seconds_of(int count, std::uint64_t canary_failures, std::uint64_t baseline_failures, std::uint64_t baseline_requests = 900) {
    Ruling ruling;
    for (int i = 0; i < count; ++i) {
      ruling = second(canary_failures, baseline_failures, baseline_requests);
      if (ruling.call != Call::keep_watching) break;
    }
    return ruling;
  }

  AnalysisOptions options;
  Moment moment{.now = start, .length = 1s, .baking = true, .bake_until = start + 60s, .bake = 60s};
  Verdict verdict;
  Evidence evidence = [] {
    Evidence made;
    made.tolerated = 1.1;
    made.text = "what was seen";
    return made;
  }();
  std::vector<HostTick> hosts;
  StageJudge judge{options};
};

TEST_F(StageJudgement, PassesOnProofOnceTheBakeIsOver) {
  verdict.call = Call::promote;
  EXPECT_EQ(seconds_of(59, 0, 0).call, Call::keep_watching);
  auto ruling = second(0, 0);
  EXPECT_EQ(ruling.call, Call::promote);
  EXPECT_EQ(ruling.text, "what was seen");
}

TEST_F(StageJudgement, PassesWithoutProofAtTheLongestBakeAndSaysSo) {
  options.max_bake = 90s;
  judge = StageJudge(options);
  EXPECT_EQ(seconds_of(89, 0, 0).call, Call::keep_watching);
  auto ruling = second(0, 0);
  EXPECT_EQ(ruling.call, Call::promote);
  EXPECT_EQ(ruling.text, "weak evidence: what was seen");
}

// A stage too short for evidence: its host has died with the first requests.
TEST_F(StageJudgement, DoesNotPassWithoutProofWhileTheCanaryFailsBlatantly) {
  options.max_bake = 0s;
  options.harm_limit = 0;
  judge = StageJudge(options);
  moment.bake_until = start;
  moment.bake = 0s;
  evidence.e_value = 1.7;
  auto ruling = second(98, 2);
  EXPECT_EQ(ruling.call, Call::keep_watching);
  EXPECT_EQ(ruling.text, "something speaks against the release, though not enough to roll back");
  EXPECT_EQ(seconds_of(60, 0, 0).call, Call::promote) << "when it has passed";
}

TEST_F(StageJudgement, HoldsWithoutProofWhenToldTo) {
  options.at_max_bake = AtMaxBake::hold;
  judge = StageJudge(options);
  evidence.until_promote = 47s;
  auto ruling = seconds_of(600, 0, 0);
  EXPECT_EQ(ruling.call, Call::keep_watching);
  EXPECT_EQ(ruling.text, "about 1m more at this rate");
}

TEST_F(StageJudgement, HoldsOnHardlyAnyRequestsWhateverItIsTold) {
  evidence.stage_canary_requests = 0;
  hosts = {{"web1", Cohort::canary, false, 0, 0}, {"web2", Cohort::baseline, false, 900, 0}};
  moment.now += 600s;
  auto ruling = judge.rule(moment, verdict, evidence, hosts);
  EXPECT_EQ(ruling.call, Call::keep_watching);
  EXPECT_EQ(ruling.text, "the canary has had no requests in this stage");
}

TEST_F(StageJudgement, EndsTheRolloutWhenMuchSpeaksAgainstItAtTheEndOfTheLongestBake) {
  evidence.e_value = 5;
  EXPECT_EQ(seconds_of(100, 0, 0).call, Call::keep_watching) << "in doubt it waits";
  evidence.e_value = 11;
  EXPECT_EQ(second(0, 0).call, Call::roll_back);
}

TEST_F(StageJudgement, TakesTheOneBadHostOutAndRollsBackOnTheSecond) {
  verdict.call = Call::roll_back;
  evidence.bad_host = 3;
  auto ruling = second(20, 0);
  EXPECT_EQ(ruling.call, Call::keep_watching);
  EXPECT_EQ(ruling.leave_out, 3U);
  EXPECT_EQ(ruling.text, "it alone of the upgraded hosts fails: what was seen");
  evidence.bad_host = 4;
  ruling = second(20, 0);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_FALSE(ruling.leave_out);
}

TEST_F(StageJudgement, LimitsTheHarmWhateverTheStatisticsSay) {
  options.harm_limit = 200;
  judge = StageJudge(options);
  // What the old release fails too is no harm of the new one's.
  EXPECT_EQ(seconds_of(50, 10, 90).call, Call::keep_watching);
  auto ruling = seconds_of(50, 50, 9);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_NE(ruling.text.find("harm_limit is 200"), std::string::npos) << ruling.text;
}

TEST_F(StageJudgement, CountsWhatNoHostAnsweredForAsHarm) {
  options.harm_limit = 200;
  judge = StageJudge(options);
  moment.unanswered = 30;
  auto ruling = seconds_of(10, 0, 0);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_NE(ruling.text.find("no host answered for 210"), std::string::npos) << ruling.text;
}

TEST_F(StageJudgement, HoldsInAnIncidentThatHitsBothReleases) {
  verdict.call = Call::promote;
  ASSERT_EQ(seconds_of(59, 0, 1).call, Call::keep_watching);
  auto ruling = seconds_of(20, 30, 270);
  EXPECT_EQ(ruling.call, Call::promote) << "the first second alone shows no incident";
  for (int i = 0; i < 10; ++i) ruling = second(30, 270);
  EXPECT_EQ(ruling.call, Call::keep_watching);
  EXPECT_NE(ruling.text.find("an incident"), std::string::npos) << ruling.text;
}

TEST_F(StageJudgement, HoldsWhenTheOldReleaseIsBrokenItself) {
  verdict.call = Call::promote;
  auto ruling = seconds_of(100, 0, 600);
  EXPECT_EQ(ruling.call, Call::keep_watching);
  EXPECT_EQ(ruling.text, "the old release itself fails: more than 50% of its requests");
}

TEST_F(StageJudgement, JudgesByTheHostsOwnHistoryWhenTheLastOldHostIsGone) {
  evidence.former_rate = 0.005;
  auto alone = [&](int count, std::uint64_t failures) {
    Ruling ruling;
    for (int i = 0; i < count && ruling.call == Call::keep_watching; ++i) {
      moment.now += 1s;
      hosts = {{"web1", Cohort::canary, false, 100, failures}, {"web2", Cohort::canary, false, 100, failures}};
      ruling = judge.rule(moment, verdict, evidence, hosts);
    }
    return ruling;
  };
  moment.baking = false;
  seconds_of(20, 0, 9);
  EXPECT_EQ(alone(60, 2).call, Call::keep_watching) << "four times as often as it used to";
  EXPECT_EQ(alone(60, 4).call, Call::keep_watching) << "below one in twenty";
  auto ruling = alone(120, 8);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_NE(ruling.text.find("of the old release's 0.5% did, and nothing on the old release serves"), std::string::npos) << ruling.text;
}

TEST_F(StageJudgement, KnowsNothingOfAHistoryThatThereIsNot) {
  moment.baking = false;
  hosts = {{"web1", Cohort::canary, false, 100, 20}};
  for (int i = 0; i < 60; ++i) {
    moment.now += 1s;
    EXPECT_EQ(judge.rule(moment, verdict, evidence, hosts).call, Call::keep_watching);
  }
}

TEST_F(StageJudgement, NeedsNoComparisonForACanaryThatFailsOverTheCeiling) {
  auto ruling = seconds_of(10, 60, 0, 0);
  EXPECT_EQ(ruling.call, Call::roll_back);
  EXPECT_NE(ruling.text.find("nothing on the old release serves"), std::string::npos) << ruling.text;
}

}  // namespace
}  // namespace shiftd
