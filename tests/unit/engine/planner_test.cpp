// The arithmetic of shares, stages and capacity, in tables of fleets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <random>

#include "tests/fakes/fleets.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

struct Asked {
  FleetSpec fleet;
  Strategy strategy;
  std::vector<std::string> limit;
};

Asked ask(int hosts, std::vector<int> weights, std::string_view stages) {
  Asked asked;
  asked.fleet.hosts = hosts;
  asked.fleet.weights = std::move(weights);
  asked.strategy.stages = stages_of(stages);
  return asked;
}

Result<Plan> plan(const Asked& asked) { return make_plan(request_for(asked.limit), asked.strategy, fleet_of(asked.fleet)); }

// "1%: 1 host at 9, gives 0.99%": the weights are those of the first pool's members that are upgraded, told once each.
std::string described(const Plan& plan) {
  std::string text;
  for (const auto& stage : plan.stages) {
    if (!text.empty()) text += " | ";
    text += to_string(stage.asked) + ": " + std::to_string(stage.hosts) + " at ";
    std::string weights;
    std::uint32_t upgraded = 0;
    for (const auto& host : plan.hosts) {
      if (host.role == Role::already_there) ++upgraded;
    }
    for (const auto& member : plan.members) {
      if (member.pool != 0 || member.host + upgraded >= stage.hosts || plan.hosts[member.host].role != Role::upgrade || !member.serving())
        continue;
      auto weight = std::to_string(stage_weight(plan, stage, member));
      if (!weights.ends_with(weight) || (weights.size() > weight.size() && weights[weights.size() - weight.size() - 1] != '/'))
        weights += (weights.empty() ? "" : "/") + weight;
    }
    text += weights + ", gives " + percent(stage.achievable);
    if (!stage.judged) text += ", unjudged";
    if (stage.bake == Duration(0)) text += ", no bake";
    if (stage.gate == Gate::manual) text += ", gate";
  }
  return text;
}

struct Row {
  const char* name;
  Asked asked;
  const char* stages;
};

Asked with(Asked asked, const std::function<void(Asked&)>& change) {
  change(asked);
  return asked;
}

TEST(Planner, ComputesTheSharesThatIntegerWeightsCanGive) {
  const auto five = "1%,5%,25%,50%,100%";
  const Row rows[] = {
      {"ten hosts of weight 100", ask(10, {100}, five),
       "1%: 1 at 9, gives 0.99% | 5%: 1 at 47, gives 5% | 25%: 2 at 100, gives 20% | 50%: 5 at 100, gives 50% | "
       "100%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"ten hosts of weight 10: the least share is 1.1%", ask(10, {10}, "1%,100%"),
       "1%: 1 at 1, gives 1.1% | 100%: 9 at 10, gives 90% | 100%: 10 at 10, gives 100%, unjudged, no bake"},
      {"ten hosts of weight 1: what comes out equal is merged", ask(10, {1}, five),
       "5%: 1 at 1, gives 10% | 25%: 2 at 1, gives 20% | 50%: 5 at 1, gives 50% | "
       "100%: 9 at 1, gives 90% | 100%: 10 at 1, gives 100%, unjudged, no bake"},
      {"ten hosts of weight 256", ask(10, {256}, "0.04%,1%,100%"),
       "0.04%: 1 at 1, gives 0.04% | 1%: 1 at 23, gives 0.99% | 100%: 9 at 256, gives 90% | 100%: 10 at 256, gives 100%, unjudged, no "
       "bake"},
      {"two hosts: one at the shares, then the other", ask(2, {100}, five),
       "1%: 1 at 1, gives 0.99% | 5%: 1 at 5, gives 4.8% | 25%: 1 at 33, gives 24.8% | 50%: 1 at 100, gives 50% | "
       "100%: 2 at 100, gives 100%, unjudged"},
      {"three hosts: the last bake keeps one on the old release", ask(3, {100}, "10%,100%"),
       "10%: 1 at 22, gives 9.9% | 100%: 2 at 100, gives 66.7% | 100%: 3 at 100, gives 100%, unjudged, no bake"},
      {"unequal weights: the lighter canary at its full weight", ask(4, {10, 100, 100, 100}, "5%,50%,100%"),
       "5%: 1 at 10, gives 3.2% | 50%: 2 at 10/100, gives 35.5% | 100%: 3 at 10/100, gives 67.7% | "
       "100%: 4 at 10/100, gives 100%, unjudged, no bake"},
      {"unequal weights: each lowered by one factor",
       with(ask(4, {40, 100, 100, 100}, "5%,100%"), [](Asked& a) { a.strategy.max_load = 2; }),
       "5%: 1 at 15, gives 4.8% | 100%: 3 at 40/100, gives 70.6% | 100%: 4 at 40/100, gives 100%, unjudged, no bake"},
      {"two canaries share the weight",
       with(ask(10, {100}, "5%,100%"),
            [](Asked& a) {
              a.strategy.canary = HostQuota{2, {}};
            }),
       "5%: 2 at 21, gives 5% | 100%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"canaries by percent round down, to one at least",
       with(ask(10, {100}, "20%,100%"),
            [](Asked& a) {
              a.strategy.canary = HostQuota{0, BasisPoints{100}};
            }),
       "20%: 2 at 100, gives 20% | 100%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"one fifth of ten as canaries",
       with(ask(10, {100}, "10%,100%"),
            [](Asked& a) {
              a.strategy.canary = HostQuota{0, BasisPoints{2'000}};
            }),
       "10%: 2 at 44, gives 9.9% | 100%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"a mixed fleet counts what is there already",
       with(ask(10, {100}, "10%,50%,100%"),
            [](Asked& a) {
              a.fleet.already = {1, 2, 3};
            }),
       "10%: 4 at 1, gives 33.4% | 50%: 5 at 100, gives 50% | 100%: 9 at 100, gives 90% | "
       "100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"hosts out of their pools come last and are no baseline", with(ask(4, {100}, "10%,100%"), [](Asked& a) { a.fleet.depooled = {2}; }),
       "10%: 1 at 22, gives 9.9% | 100%: 2 at 100, gives 66.7% | 100%: 4 at 100, gives 100%, unjudged, no bake"},
      {"two serving hosts and one out of its pool: nothing is left to compare with",
       with(ask(3, {100}, "10%,100%"), [](Asked& a) { a.fleet.depooled = {3}; }),
       "10%: 1 at 11, gives 9.9% | 100%: 3 at 100, gives 100%, unjudged"},
      {"a limit of two hosts leaves the rest as the baseline",
       with(ask(10, {100}, "1%,100%"),
            [](Asked& a) {
              a.limit = {"web4", "web7"};
            }),
       "1%: 1 at 9, gives 0.99% | 100%: 2 at 100, gives 20%"},
      {"static schedulers know only whole hosts",
       with(ask(10, {100}, "1%,5%,50%,100%"), [](Asked& a) { a.fleet.capabilities.weights_steer = false; }),
       "5%: 1 at 100, gives 10% | 50%: 5 at 100, gives 50% | 100%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"a single host, with downtime allowed", with(ask(1, {100}, "100%"), [](Asked& a) { a.strategy.allow_downtime = true; }),
       "100%: 1 at 100, gives 100%, unjudged"},
      {"no stages: all at once, without a bake", ask(3, {100}, ""), "100%: 3 at 100, gives 100%, unjudged, no bake"},
      {"a gate at the end stays at the end", ask(3, {100}, "100%!"),
       "100%: 2 at 100, gives 66.7% | 100%: 3 at 100, gives 100%, unjudged, no bake, gate"},
      {"the stage before already keeps one old host: it bakes as long as the last would", ask(10, {100}, "90%@30s,100%@5m"),
       "90%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
      {"a minimum weight of the store's own", with(ask(10, {100}, "1%,100%"), [](Asked& a) { a.fleet.capabilities.weight_least = 20; }),
       "1%: 1 at 20, gives 2.2% | 100%: 9 at 100, gives 90% | 100%: 10 at 100, gives 100%, unjudged, no bake"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto made = plan(row.asked);
    ASSERT_TRUE(made) << made.error();
    EXPECT_EQ(described(*made), row.stages);
  }
}

TEST(Planner, LowersEachPoolByItsOwnFactor) {
  auto asked = ask(4, {100}, "5%,100%");
  asked.fleet.pools = {"v4", "v6"};
  asked.fleet.pool_weights = {{100}, {10, 20, 20, 20}};
  asked.strategy.max_load = 2;
  auto made = plan(asked).value();
  const auto& stage = made.stages.front();
  EXPECT_EQ(stage_weight(made, stage, made.members[0]), 15);  // 15 of 315 is 4.8%
  EXPECT_EQ(stage_weight(made, stage, made.members[1]), 3);   // 3 of 63 is 4.8%
  EXPECT_NEAR(stage.achievable, 15.0 / 315, 1e-9);
}

TEST(Planner, OrdersCanariesByTheirNamesAndSilentHostsLast) {
  auto asked = ask(6, {100}, "10%,100%");
  asked.strategy.canary = std::vector<std::string>{"web5", "web2"};
  asked.strategy.max_load = 2;
  asked.fleet.already = {4};
  asked.fleet.depooled = {1};
  auto made = plan(asked).value();
  std::vector<std::string> names;
  for (const auto& host : made.hosts) names.push_back(host.name);
  EXPECT_THAT(names, ::testing::ElementsAre("web5", "web2", "web3", "web6", "web1", "web4"));
  EXPECT_EQ(made.stages.front().hosts, 3U);  // two canaries, and the one that was there already
}

TEST(Planner, SaysWhatPeopleShouldKnow) {
  const struct {
    const char* name;
    Asked asked;
    const char* note;
  } rows[] = {
      {"a share that integers cannot give", ask(10, {10}, "1%,100%"), "stage 1%: asked 1%, can give 1.1%"},
      {"merged stages", ask(10, {1}, "1%,5%,100%"), "stages 1% and 5% come out equal (1 host): merged"},
      {"already there", with(ask(10, {100}, "100%"), [](Asked& a) { a.fleet.already = {1}; }), "1 host already on 2.0"},
      {"out of its pools", with(ask(10, {100}, "100%"), [](Asked& a) { a.fleet.depooled = {1}; }),
       "1 host out of its pools: upgraded last"},
      {"batch cut by max_failed",
       with(ask(10, {100}, "100%"),
            [](Asked& a) {
              a.strategy.batch = {2, {}};
            }),
       "batch 2 is cut to 1 by max_failed 1"},
      {"batch of less than one",
       with(ask(10, {100}, "100%"),
            [](Asked& a) {
              a.strategy.batch = {0, BasisPoints{500}};
            }),
       "batch 5% of 10 hosts is less than one: 1"},
      {"static scheduler", with(ask(10, {100}, "100%"), [](Asked& a) { a.fleet.capabilities.weights_steer = false; }),
       "app: its scheduler ignores weights"},
      {"the last bake", ask(10, {100}, "100%"), "the last bake keeps one host on the old release to compare with"},
      {"everybody there",
       with(ask(2, {100}, "100%"),
            [](Asked& a) {
              a.fleet.already = {1, 2};
            }),
       "nothing to do"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto made = plan(row.asked);
    ASSERT_TRUE(made) << made.error();
    EXPECT_THAT(made->notes, ::testing::Contains(HasSubstr(row.note)));
  }
}

Asked threshold(int hosts, double share, std::uint32_t counted, int batch, std::uint32_t others = 0) {
  return with(ask(hosts, {100}, "100%"), [&](Asked& a) {
    a.fleet.threshold = {"lvs1/app_80", share, counted, others};
    a.strategy.batch = {batch, {}};
    a.strategy.max_load = 3;
  });
}

TEST(Planner, RefusesWithTheSumThatItDid) {
  const struct {
    const char* name;
    Asked asked;
    const char* why;
  } rows[] = {
      {"no hosts", ask(0, {100}, "100%"), "plan web: the service has no hosts"},
      {"a single host", ask(1, {100}, "100%"),
       "app has a single serving host: taking it out stops the service; say `allow_downtime: true`"},
      {"one of two is out already", with(ask(2, {100}, "100%"), [](Asked& a) { a.fleet.depooled = {2}; }), "a single serving host"},
      {"a batch above the floor",
       with(ask(10, {100}, "100%"),
            [](Asked& a) {
              a.strategy.batch = {5, {}};
            }),
       "batch 5 does not fit: app: 5 hosts out leaves weight 500 of 1000, the floor is 800 (max_load 1.25); at most 2"},
      {"a batch above the service's own floor",
       with(ask(10, {100}, "100%"),
            [](Asked& a) {
              a.strategy.batch = {2, {}};
              a.strategy.floor = BasisPoints{9'000};
            }),
       "batch 2 does not fit: app: 2 hosts out leaves weight 800 of 1000, the floor is 900; at most 1"},
      {"a load balancer that may lose none", with(ask(2, {100}, "100%"), [](Asked& a) { a.fleet.capabilities.depool_threshold = 0.75; }),
       "batch 1 does not fit: app: 1 host out leaves 1 of 2, its load balancer needs 2; at most 0"},
      {"a threshold that its view says", threshold(10, 0.8, 10, 2),
       "batch 2 does not fit: app: 2 hosts out leaves 8 of 10, lvs1/app_80 (threshold 0.8 of 10 members, 1 more for its monitors) needs 9; "
       "at most 1"},
      {"a threshold over members that are at no, too", threshold(10, 0.5, 16, 2),
       "2 hosts out leaves 8 of 10, lvs1/app_80 (threshold 0.5 of 16 members, 1 more for its monitors) needs 9; at most 1"},
      {"a threshold that nothing can be out under", threshold(10, 1, 10, 1), "needs 10; at most 0"},
      {"three canaries at 1%",
       with(ask(10, {100}, "1%,100%"),
            [](Asked& a) {
              a.strategy.canary = HostQuota{3, {}};
            }),
       "leaves weight 704 of 1000 in app: the other hosts would carry 1.42 times their normal load, max_load allows 1.25"},
      {"the heavy one of two", ask(2, {300, 100}, "100%"),
       "leaves weight 100 of 400 in app: the other hosts would carry 4.00 times their normal load, max_load allows 2.00"},
      {"a single host that is too heavy for the floor",
       with(ask(4, {200, 100, 100, 100}, "100%"),
            [](Asked& a) {
              a.strategy.max_load = 3;
              a.strategy.floor = BasisPoints{7'000};
            }),
       "web1 out leaves weight 300 of 500 in app, the floor is 350"},
      {"falling shares", ask(10, {100}, "25%,5%,100%"), "the stages' shares must rise: 5% comes after 25%"},
      {"no last stage", ask(10, {100}, "25%,50%"), "the last stage must be 100%, not 50%"},
      {"a stage of nothing", ask(10, {100}, "0%,100%"), "a stage of 0% gives the release no traffic"},
      {"max_load 1", with(ask(10, {100}, "100%"), [](Asked& a) { a.strategy.max_load = 1; }), "max_load 1.00 allows no host to be out"},
      {"batch 0",
       with(ask(10, {100}, "100%"),
            [](Asked& a) {
              a.strategy.batch = {0, {}};
            }),
       "batch must be at least 1"},
      {"canary 0",
       with(ask(10, {100}, "100%"),
            [](Asked& a) {
              a.strategy.canary = HostQuota{0, {}};
            }),
       "canary must be at least one host"},
      {"an unknown canary", with(ask(2, {100}, "100%"), [](Asked& a) { a.strategy.canary = std::vector<std::string>{"db1"}; }),
       "the canary host db1 is not a host of the service"},
      {"a canary without traffic",
       with(ask(4, {100}, "100%"),
            [](Asked& a) {
              a.strategy.canary = std::vector<std::string>{"web2"};
              a.fleet.depooled = {2};
            }),
       "the canary host web2 takes no traffic"},
      {"more members than one rollout may touch",
       with(ask(6, {100}, "100%"),
            [](Asked& a) {
              a.fleet.pools = {"v4", "v6"};
              a.fleet.already = {2};
              a.strategy.max_members = 9;
            }),
       "plan web: it would touch 10 members: those of 5 hosts in 2 pools; max_members is 9: ask for fewer hosts, or raise it"},
      {"members of a scaled pool",
       with(ask(10, {1}, "1%,100%"),
            [](Asked& a) {
              a.strategy.scale_pool = true;
              a.limit = {"web1"};
              a.strategy.max_members = 9;
            }),
       "it would touch 10 members: those of 1 host in 1 pool"},
      {"an unknown host in the limit", with(ask(2, {100}, "100%"), [](Asked& a) { a.limit = {"db1"}; }), "the service has no host db1"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto made = plan(row.asked);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Errc::bad_input);
    EXPECT_THAT(made.error().what, HasSubstr(row.why));
  }
}

// Such as one that brings a straggler back while a host that the strategy names is out as well.
TEST(Planner, ARolloutOfOtherHostsDoesNotAskWhatItsCanariesTake) {
  auto made = plan(with(ask(4, {100}, "100%"), [](Asked& a) {
    a.strategy.canary = std::vector<std::string>{"web2"};
    a.fleet.depooled = {2};
    a.limit = {"web3"};
  }));
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(made->hosts_to_upgrade(), 1U);
}

TEST(Planner, RefusesFleetsThatContradictThemselves) {
  auto good = fleet_of({});
  const struct {
    const char* name;
    std::function<void(Fleet&)> change;
    const char* why;
  } rows[] = {
      {"a host twice", [](Fleet& f) { f.hosts.push_back(f.hosts.front()); }, "host web1 is named twice"},
      {"a pool twice", [](Fleet& f) { f.pools.push_back(f.pools.front()); }, "pool app is named twice"},
      {"a member twice", [](Fleet& f) { f.members.push_back(f.members.front()); }, "member app/web1 is named twice"},
      {"two names that read the same",
       [](Fleet& f) {
         f.pools.push_back({"app/a", {}});
         f.members.push_back({"web1", "app/a", "b", observed({Pooled::yes, 1}), ""});
         f.members.push_back({"web1", "app", "a/b", observed({Pooled::yes, 1}), ""});
       },
       "member app/a/b is named twice"},
      {"a member of no host", [](Fleet& f) { f.members.front().host = "db1"; }, "belongs to no host"},
      {"a member of no pool", [](Fleet& f) { f.members.front().pool = "db"; }, "no pool db for web1"},
      {"a name that nobody can read", [](Fleet& f) { f.hosts.front().name = "web\x01"; }, "has a name that cannot be shown"},
      {"a negative weight", [](Fleet& f) { f.members.front().observed.setting.weight = -1; }, "weight -1"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto fleet = good;
    row.change(fleet);
    Strategy strategy;
    strategy.stages = stages_of("100%");
    auto made = make_plan(request_for(), strategy, fleet);
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().what, HasSubstr(row.why));
  }
}

TEST(Planner, KeepsWhatTheLoadBalancersNeedToTakeOutAFailingHost) {
  const struct {
    int hosts;
    double share;
    std::uint32_t counted;
    std::uint32_t others;
    std::uint32_t least;
    std::uint32_t margin;
  } rows[] = {
      {10, 0.5, 10, 0, 6, 1},                         // 5 and one for its monitors
      {10, 0.5, 16, 6, 3, 1},                         // 6 of the 16 are up and somebody else's
      {10, 0.5, 40, 30, 0, 1}, {5, 0.3, 5, 0, 3, 1},  // 1.5 is 2
      {4, 0.5, 4, 0, 3, 1},    {3, 0.5, 3, 0, 2, 0},  // with a margin nobody could leave
      {2, 0.5, 2, 0, 1, 0},    {10, 0, 10, 0, 0, 1}, {10, 0.1, 10, 0, 2, 1},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(std::to_string(row.hosts) + " at " + std::to_string(row.share));
    auto made = plan(threshold(row.hosts, row.share, row.counted, 1, row.others));
    ASSERT_TRUE(made) << made.error();
    EXPECT_EQ(made->pools[0].least_serving, row.least);
    EXPECT_EQ(made->pools[0].margin, row.margin);
    bool told = std::any_of(made->notes.begin(), made->notes.end(), [](const auto& note) {
      return note.find("app: while a host is out, lvs1/app_80 (threshold 0.5") == 0 &&
             note.ends_with("cannot take out another one that fails");
    });
    EXPECT_EQ(told, row.margin == 0);
  }
}

TEST(Planner, TouchesAsManyMembersAsItMay) {
  auto asked = ask(6, {100}, "100%");
  asked.strategy.max_members = 6;
  EXPECT_TRUE(plan(asked));
  asked.limit = {"web1", "web2"};
  asked.strategy.max_members = 2;
  EXPECT_TRUE(plan(asked));
}

TEST(Planner, UpgradesOrSkipsHostsThatWereFoundOutOfTheirPools) {
  auto asked = ask(6, {100}, "100%");
  asked.fleet.depooled = {2, 5};
  asked.fleet.without = {6};
  auto upgraded = plan(asked);
  ASSERT_TRUE(upgraded) << upgraded.error();
  EXPECT_EQ(upgraded->hosts_to_upgrade(), 6U);
  EXPECT_THAT(upgraded->notes, ::testing::Contains("3 hosts out of their pools: upgraded last, and left out"));
  asked.strategy.depooled = Depooled::skip;
  auto skipped = plan(asked);
  ASSERT_TRUE(skipped) << skipped.error();
  EXPECT_EQ(skipped->hosts_to_upgrade(), 4U);  // the one that is in no pool at all has nothing to be out of
  EXPECT_THAT(skipped->notes, ::testing::Contains("2 hosts out of their pools: skipped"));
  for (const auto& host : skipped->hosts) EXPECT_EQ(host.role == Role::outside, host.name == "web2" || host.name == "web5") << host.name;
}

TEST(Planner, SaysWhichHostsCannotBeDrainedByWeight) {
  auto asked = ask(10, {8}, "100%");
  EXPECT_THAT(plan(asked)->notes, ::testing::Not(::testing::Contains(HasSubstr("drained by weight"))));
  asked.fleet.capabilities.cuts_connections = true;
  auto made = plan(asked);
  ASSERT_TRUE(made) << made.error();
  EXPECT_THAT(
      made->notes,
      ::testing::Contains("app: 10 hosts cannot be drained by weight: at the least weight web1 (weight 8) still gets 12.5% of its usual "
                          "new connections, and when it is not idle within drain_limit (5m) it is given back and counts as failed; "
                          "ten times the weights, or more, for the whole pool would let it drain"));
  asked.strategy.on_drain_limit = DrainDeadline::go_on;
  EXPECT_THAT(plan(asked)->notes, ::testing::Contains(HasSubstr("within drain_limit (5m) it is taken out all the same;")));
}

TEST(Planner, CountsTheWritesThatLoadBalancersTakeTheirTimeFor) {
  auto asked = ask(10, {100}, "5%,50%,100%");
  asked.fleet.capabilities.writes_per_second = 10;
  auto made = plan(asked);
  ASSERT_TRUE(made) << made.error();
  // Each of the ten out and in; the first two more times: to the weight of 50%, ... it has its whole weight then.
  EXPECT_EQ(planned_writes(*made, 0), 21U);
  EXPECT_EQ(planned_write_time(*made, 0), Duration(2'100));
  EXPECT_THAT(made->notes,
              ::testing::Contains("app: its load balancers take up 10 changes a second: the 21 of this rollout take at least 2.1s"));
  asked.fleet.capabilities.cuts_connections = true;
  EXPECT_EQ(planned_writes(*plan(asked), 0), 31U);
  asked.fleet.already = {10};
  EXPECT_EQ(planned_writes(*plan(asked), 0), 28U);
}

TEST(Planner, KeepsTheExactOriginals) {
  auto fleet = fleet_of({});
  fleet.members[3].observed = {{Pooled::yes, 100}, "server web4 \xff\x00 weight 100", "rev 7"};
  auto made = make_plan(request_for(), {}, fleet).value();
  EXPECT_EQ(made.members[3].original, fleet.members[3].observed);
  EXPECT_EQ(made.members[3].restore, "restore web4");
}

// What the pool's flow would be with the first `joined` hosts at the stage's weights and the next `out` hosts out.
std::int64_t flow_with(const Plan& plan, const PlannedStage& stage, PoolIndex pool, std::uint32_t joined, std::uint32_t out) {
  std::int64_t flow = 0;
  for (const auto& member : plan.members) {
    if (member.pool != pool || !member.serving()) continue;
    if (member.host < joined) {
      flow += stage_weight(plan, stage, member);
    } else if (member.host >= joined + out) {
      flow += member.original.setting.weight * plan.pools[pool].scale;
    }
  }
  return flow;
}

Asked random_ask(std::mt19937& random) {
  auto pick = [&](int least, int most) { return std::uniform_int_distribution<int>(least, most)(random); };
  Asked asked;
  asked.fleet.hosts = pick(1, 30);
  asked.fleet.weights.clear();
  for (int i = pick(1, 4); i > 0; --i) asked.fleet.weights.push_back(pick(1, 256));
  if (pick(0, 3) == 0) asked.fleet.pools = {"v4", "v6"};
  if (pick(0, 4) == 0) asked.fleet.capabilities.depool_threshold = 0.5;
  for (int host = 1; host <= asked.fleet.hosts; ++host) {
    if (pick(0, 9) == 0) asked.fleet.already.insert(host);
    if (pick(0, 9) == 0) asked.fleet.depooled.insert(host);
  }
  int share = 0;
  for (int i = pick(0, 4); i > 0; --i) {
    share = pick(share + 1, share + 2'000);
    asked.strategy.stages.push_back({BasisPoints{share}, std::chrono::seconds(pick(0, 60)), pick(0, 4) == 0 ? Gate::manual : Gate::open});
  }
  asked.strategy.stages.push_back({all_traffic, std::chrono::seconds(pick(0, 60)), Gate::open});
  asked.strategy.canary = HostQuota{pick(1, 3), {}};
  asked.strategy.batch = HostQuota{pick(1, 4), {}};
  if (pick(0, 2) == 0) asked.strategy.max_load = 1 + pick(1, 300) / 100.0;
  if (pick(0, 4) == 0) asked.strategy.floor = BasisPoints{pick(0, 9'000)};
  asked.strategy.allow_downtime = pick(0, 1) == 1;
  asked.strategy.scale_pool = pick(0, 3) == 0;
  return asked;
}

TEST(Planner, KeepsItsBoundsForEveryFleetStageAndIntermediateSet) {
  int planned = 0;
  for (unsigned seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    auto asked = random_ask(random);
    auto made = plan(asked);
    if (!made) continue;
    ++planned;
    std::uint32_t already = 0;
    for (const auto& host : made->hosts) {
      bool serves = false;
      for (auto m = host.first_member; m < host.first_member + host.members; ++m) serves = serves || made->members[m].serving();
      if (host.role == Role::already_there && serves) ++already;
    }
    std::uint32_t before = 0;
    for (const auto& stage : made->stages) {
      auto upgraded = stage.hosts - already;
      ASSERT_GE(upgraded, before);
      ASSERT_GE(upgraded, 1U);
      double achieved = 0;
      for (PoolIndex pool = 0; pool < made->pools.size(); ++pool) {
        const auto& bounds = made->pools[pool];
        std::int64_t fresh = 0;
        std::int64_t all = 0;
        for (const auto& member : made->members) {
          if (member.pool != pool || !member.serving()) continue;
          auto weight = member.original.setting.weight * bounds.scale;
          ASSERT_LE(weight, std::max(member.original.setting.weight, bounds.capabilities.weight_most));
          if (member.host < upgraded) {
            weight = stage_weight(*made, stage, member);
            ASSERT_GE(weight, 1);
            ASSERT_LE(weight, member.original.setting.weight * bounds.scale);
          }
          all += weight;
          if (member.host < upgraded || made->hosts[member.host].role == Role::already_there) fresh += weight;
        }
        if (all > 0) achieved = std::max(achieved, static_cast<double>(fresh) / static_cast<double>(all));
        for (auto joined = before; joined < upgraded; ++joined) {
          ASSERT_GE(flow_with(*made, stage, pool, joined, 1), bounds.least_flow * bounds.scale) << "with host " << joined << " out";
        }
        ASSERT_GE(flow_with(*made, stage, pool, upgraded, 0), bounds.least_flow * bounds.scale);
      }
      EXPECT_NEAR(stage.achievable, achieved, 1e-12);
      // Never more than was asked, unless not even the least weights can give so little.
      if (stage.lowered() && achieved > stage.asked.fraction() + 1e-9) {
        bool least_already = true;
        for (const auto& member : made->members) {
          if (member.host >= upgraded || !member.serving()) continue;
          auto already_heavy = already > 0;
          least_already = least_already && (stage_weight(*made, stage, member) == 1 || already_heavy);
        }
        EXPECT_TRUE(least_already);
      }
      before = upgraded;
    }
    if (!made->stages.empty()) {
      EXPECT_EQ(before, made->hosts_to_upgrade());
    }
  }
  EXPECT_GT(planned, 500);
}

TEST(Planner, ScalesAPoolByTheLeastFactorThatGivesTheFirstShare) {
  struct {
    const char* name;
    int hosts;
    std::vector<int> weights;
    std::string_view stages;
    int weight_most;
    int scale;
    const char* first;
  } const rows[] = {
      {"weights of 1, as HAProxy has them by default", 10, {1}, "1%,100%", 256, 11, "1 at 1, gives 1%"},
      {"weights of 10", 10, {10}, "1%,100%", 256, 6, "1 at 5, gives 0.92%"},
      {"fine enough as it is", 10, {100}, "1%,100%", 256, 1, "1 at 9, gives 0.99%"},
      {"a whole host is no more than the share", 10, {1}, "10%,100%", 256, 1, "1 at 1, gives 10%"},
      {"as far as the pool's greatest weight allows", 10, {1}, "0.1%,100%", 50, 50, "1 at 1, gives 0.22%"},
      {"the heaviest host bounds the factor", 4, {1, 1, 1, 100}, "0.5%,100%", 256, 2, "1 at 1, gives 0.49%"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto asked = ask(row.hosts, row.weights, row.stages);
    asked.fleet.capabilities.weight_most = row.weight_most;
    asked.strategy.scale_pool = true;
    if (row.hosts == 4) asked.strategy.max_load = 100;
    auto made = plan(asked);
    ASSERT_TRUE(made) << made.error();
    EXPECT_EQ(made->pools[0].scale, row.scale);
    EXPECT_THAT(described(*made), HasSubstr(row.first));
    bool told = std::any_of(made->notes.begin(), made->notes.end(),
                            [](const auto& note) { return note.find("is multiplied by") != std::string::npos; });
    EXPECT_EQ(told, row.scale > 1);
  }
}

TEST(Planner, DoesNotScaleAPoolThatOthersShare) {
  auto asked = ask(10, {1}, "1%,100%");
  asked.strategy.scale_pool = true;
  auto fleet = fleet_of(asked.fleet);
  fleet.pools[0].strangers = 2;
  auto made = make_plan(request_for(), asked.strategy, fleet);
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(made->pools[0].scale, 1);
  EXPECT_THAT(made->notes.front(), HasSubstr("2 of its members belong to no host of the service"));
}

TEST(Planner, PlansTenThousandHosts) {
  auto made = plan(ask(10'000, {100}, "0.01%,1%,5%,25%,50%,100%"));
  ASSERT_TRUE(made) << made.error();
  EXPECT_EQ(made->stages.back().hosts, 10'000U);
  EXPECT_EQ(made->stages.front().hosts, 1U);
}

}  // namespace
}  // namespace shiftd
