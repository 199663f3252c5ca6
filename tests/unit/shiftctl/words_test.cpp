#include "daemon/shiftctl/words.hpp"

#include <set>
#include <variant>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/engine/codec.hpp"
#include "tests/fakes/small_fleet.hpp"

namespace shiftd {
namespace {

TEST(Words, SayEveryKindOfRecordAsASentence) {
  Codec codec;
  auto plan = small_plan(small_request("web-1"));
  Observed observed{{Pooled::no, 50}, "drain 50", "2"};
  struct {
    Fact fact;
    const char* text;
    bool important;
    Tone tone;
  } const cases[] = {
      {Requested{plan.request}, "web to 2.0 asked for by alice: the weekly release", true, Tone::plain},
      {Planned{plan}, "planned: 3 hosts in 3 stages", true, Tone::plain},
      {HostMoved{0, HostPhase::draining, 0, false, ""}, "web1 is out of its pools and drains", false, Tone::plain},
      {HostMoved{0, HostPhase::serving_new, 0, false, ""}, "web1 serves the new release", true, Tone::good},
      {HostMoved{1, HostPhase::reverting, 4, true, "the digest is wrong"},
       "web2 failed: it is being put back on its former release: the digest is wrong", true, Tone::bad},
      {HostMoved{2, HostPhase::out, 0, false, "no answer"}, "web3 stays out of its pools and needs a person: no answer", true, Tone::bad},
      {HostHealth{0, true, "L7STS/500"}, "web1: a load balancer's check fails: L7STS/500", true, Tone::bad},
      {HostHealth{0, false, ""}, "web1: a load balancer's check passes again", true, Tone::good},
      {LateResult{0, 7, "done"}, "web1: a late result: done", false, Tone::plain},
      {MemberWanted{0, {Pooled::no, 100}, false, 1}, "lb1/app/web1: a change wanted: no, weight 100", false, Tone::plain},
      {MemberWanted{0, {Pooled::yes, 100}, true, 1}, "lb1/app/web1: its original wanted: yes, weight 100", false, Tone::plain},
      {MemberSet{0, 1, observed}, "lb1/app/web1 set to no, weight 50", false, Tone::plain},
      {MemberConfirmed{0}, "lb1/app/web1: every view shows what was wanted", false, Tone::plain},
      {MemberConfirmed{0, true}, "lb1/app/web1: as wanted by all who can tell; who cannot is not waited for", true, Tone::warning},
      {Forced{"ada", "lb2 is dead"}, "it goes on by ada though a load balancer cannot tell: lb2 is dead", true, Tone::warning},
      {MemberTaken{1, observed}, "lb1/app/web2 was changed by somebody else to no, weight 50: theirs until `shiftctl release-hold web2`",
       true, Tone::bad},
      {MemberReturned{1, true, "bob", "done with it"}, "lb1/app/web2 is ours again, as it was left, by bob: done with it", true,
       Tone::plain},
      {SourceLost{"lb1", "refused"}, "lb1 does not answer: refused", true, Tone::bad},
      {SourceBack{"lb1"}, "lb1 answers again", true, Tone::good},
      {PoolClosed{0, "be3 is down but pooled"}, "nothing is written to lb1/app now: be3 is down but pooled", true, Tone::warning},
      {PoolOpened{0}, "lb1/app may be written to again", true, Tone::good},
      {WeightsDue{true}, "the stage's weights wait", true, Tone::warning},
      {WeightsDue{false}, "no weights wait any more", false, Tone::plain},
      {StageBegun{1}, "stage 2 begins", true, Tone::plain},
      {StageBaking{0, at_second(60)}, "stage 1 bakes for 1m", true, Tone::plain},
      {StagePassed{0, "60 requests, no failure"}, "stage 1 passed: 60 requests, no failure", true, Tone::good},
      {GateReached{0}, "stage 1 waits at its gate: `shiftctl promote` goes on, `shiftctl rollback` goes back", true, Tone::warning},
      {GatePassed{0, "bob", ""}, "stage 1 promoted by bob", true, Tone::good},
      {Held{"no traffic"}, "held: no traffic", true, Tone::warning},
      {Held{""}, "goes on", true, Tone::good},
      {Shrunk{true}, "the canary is brought to its least weight for lack of counters", true, Tone::warning},
      {Shrunk{false}, "the canary has its stage's weight again", true, Tone::good},
      {Overridden{0, "bob", "the old one is broken"}, "the verdict on stage 1 is overridden by bob: the old one is broken", true,
       Tone::warning},
      {MemberHealth{0, true, "it fails"}, "lb1/app/web1: the load balancer's check fails", true, Tone::bad},
      {MemberHealth{0, false, ""}, "lb1/app/web1: the load balancer's check passes again", true, Tone::good},
      {ShareOff{0, "the release has too much"}, "the release has too much", true, Tone::warning},
      {ShareOff{0, ""}, "lb1/app serves the share that its weights give", true, Tone::good},
      {HostErring{0, true, "21 of 40 requests failed"},
       "web1 answers mostly with failures, and counts as no capacity: 21 of 40 requests failed", true, Tone::bad},
      {HostErring{0, false, ""}, "web1 answers well enough again to count as capacity", true, Tone::good},
      {ReleaseFound{0, "0123456789abcdef"}, "web1 answers, and has 0123456789ab", false, Tone::plain},
      {ThresholdChanged{0, {"lvs1/app_80", 0.66, 12, 0}},
       "lb1/app: lvs1/app_80 takes failing members out only while 0.66 of its 12 members are up", true, Tone::warning},
      {Watched{std::chrono::hours(1)}, "1h of the hosts' history are known: the first of them may leave", true, Tone::good},
      {MetricIgnored{"slow", "bob", "it lies"}, "metric slow is ignored by bob: it lies", true, Tone::warning},
      {Scaled{4}, "the weights of the pools are multiplied by 4, shares stay as they are", true, Tone::plain},
      {Scaled{1}, "the weights of the pools go back to their originals", true, Tone::plain},
      {Finishing{}, "every stage has passed; tidying up", true, Tone::good},
      {Paused{"bob", "lunch"}, "paused by bob: lunch", true, Tone::warning},
      {Resumed{"bob"}, "resumed by bob", true, Tone::good},
      {RollingBack{"", "5xx 3% against 0.1%", true}, "rolling back, the release is condemned: 5xx 3% against 0.1%", true, Tone::bad},
      {Aborting{"bob", "wrong day"}, "aborting by bob: wrong day", true, Tone::bad},
      {ClockJumped{std::chrono::seconds(90)}, "the clock jumped by 1m 30s; the bake begins again", true, Tone::warning},
      {Quarantined{"a sum is off"}, "quarantined, nothing is done any more until `shiftctl abort`: a sum is off", true, Tone::bad},
      {Ended{Outcome::rolled_back, "5xx"}, "rolled back: 5xx", true, Tone::bad},
      {Ended{Outcome::succeeded, "all on 2.0"}, "succeeded: all on 2.0", true, Tone::good},
  };
  std::set<std::size_t> kinds;
  for (const auto& [fact, text, important, tone] : cases) {
    auto sentence = sentence_of(codec.encode({at_second(0), fact}));
    EXPECT_EQ(sentence.text, text);
    EXPECT_EQ(sentence.important, important) << text;
    EXPECT_EQ(sentence.tone, tone) << text;
    EXPECT_EQ(sentence.time.size(), 8U) << text;
    kinds.insert(fact.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Fact>) << "a kind of record has no row here";
}

TEST(Words, KnowEveryHostPhase) {
  for (std::size_t index = 0; index < host_phases; ++index) {
    auto phase = to_string(static_cast<HostPhase>(index));
    EXPECT_NE(words_of_host_phase(phase), phase);
  }
}

TEST(Words, NameWhatTheyDoNotKnow) {
  EXPECT_THAT(sentence_of(R"({"v":1,"at":0,"is":"levitated","host":"web1"})").text, testing::HasSubstr("levitated"));
  for (const auto* record : {"", "no json", "[]", "7"}) EXPECT_THAT(sentence_of(record).text, testing::HasSubstr("unreadable")) << record;
}

TEST(Words, LetNobodyWriteToTheTerminal) {
  EXPECT_EQ(clean("a\x1b[2Jb\nc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(clean("\xc2\x9b"
                  "31m"),
            "??31m");
  EXPECT_EQ(clean("caf\xc3\xa9"), "caf\xc3\xa9");
  auto sentence = sentence_of(R"({"v":1,"at":0,"is":"held","why":"\u001b]0;owned\u0007"})");
  EXPECT_EQ(sentence.text, "held: ?]0;owned?");
}

}  // namespace
}  // namespace shiftd
