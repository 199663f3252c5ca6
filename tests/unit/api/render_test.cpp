#include "daemon/api/render.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "daemon/api/plan_text.hpp"
#include "daemon/driver/plan_digest.hpp"
#include "daemon/engine/release_on.hpp"
#include "tests/fakes/small_fleet.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

RolloutStatus begun() {
  RolloutStatus status;
  for (const auto& record : first_records(small_plan(small_request("web-1")))) apply(status.rollout, record);
  return status;
}

void say(RolloutStatus& status, Fact fact) { apply(status.rollout, Record{at_second(10), std::move(fact)}); }

TEST(StatusJson, SaysWhereTheRolloutStands) {
  auto status = begun();
  say(status, StageBaking{0, at_second(70)});
  say(status, SourceLost{"lb1", "refused"});
  status.live.served_share = 0.098;
  status.live.canary_requests = 60;
  status.live.evidence = "no sign of harm";
  auto shown = json::parse(render(status, at_second(30)));
  EXPECT_EQ(shown["rollout"], "web-1");
  EXPECT_EQ(shown["phase"], "baking");
  EXPECT_EQ(shown["outcome"], "none");
  EXPECT_EQ(shown["request"]["by"], "alice");
  EXPECT_EQ(shown["request"]["release"]["sha256"], std::string(64, 'a'));
  EXPECT_EQ(shown["stage"], 0);
  EXPECT_EQ(shown["stages"].size(), 3U);
  EXPECT_EQ(shown["bake_remaining_ms"], 40'000);
  EXPECT_EQ(shown["share"]["asked_bp"], 1'000);
  EXPECT_NEAR(shown["share"]["achievable"].get<double>(), 0.099, 0.001);
  EXPECT_EQ(shown["share"]["served"], 0.098);
  EXPECT_EQ(shown["verdict"]["canary_requests"], 60);
  EXPECT_EQ(shown["verdict"]["evidence"], "no sign of harm");
  EXPECT_EQ(shown["lost"], json::parse(R"([{"source":"lb1","why":"refused"}])"));
  EXPECT_EQ(shown["records"], 5);
}

TEST(StatusJson, CountsTheBakeDownToNothingAndNoFurther) {
  auto status = begun();
  EXPECT_EQ(json::parse(render(status, at_second(30)))["bake_remaining_ms"], 0);
  say(status, StageBaking{0, at_second(70)});
  EXPECT_EQ(json::parse(render(status, at_second(100)))["bake_remaining_ms"], 0);
}

TEST(StatusJson, ShowsAHostWithItsMembers) {
  auto status = begun();
  say(status, HostMoved{0, HostPhase::ready, 0, false, "", false, "SHA256:abc", "f00d"});
  say(status, HostMoved{0, HostPhase::depooling, 0, false, ""});
  say(status, MemberWanted{0, {Pooled::no, 100}, false, 1});
  say(status, MemberSet{0, 1, {{Pooled::no, 100}, "drain 100", "2"}});
  status.live.hosts = {{1'000, 3}};
  auto host = json::parse(render(status, at_second(30)))["hosts"][0];
  EXPECT_EQ(host["name"], "web1");
  EXPECT_EQ(host["phase"], "depooling");
  EXPECT_EQ(host["release"], "old");
  EXPECT_EQ(host["key"], "SHA256:abc");
  EXPECT_EQ(host["rendered"], "f00d");
  EXPECT_EQ(host["requests"], 1'000);
  EXPECT_EQ(host["failures"], 3);
  auto member = host["members"][0];
  EXPECT_EQ(member["pool"], "lb1/app");
  EXPECT_EQ(member["pooled"], "no");
  EXPECT_EQ(member["weight"], 100);
  EXPECT_EQ(member["original_pooled"], "yes");
  EXPECT_EQ(member["holder"], "ours");
  EXPECT_EQ(member["confirmed"], false);
}

TEST(StatusJson, IsWholeForARolloutThatWaitsAndHasNoPlan) {
  RolloutStatus status;
  apply(status.rollout, {at_second(0), Requested{small_request("web-2")}});
  auto shown = json::parse(render(status, at_second(1)));
  EXPECT_EQ(shown["phase"], "queued");
  EXPECT_EQ(shown["hosts"], json::array());
  EXPECT_EQ(shown["share"]["asked_bp"], 0);
}

TEST(StatusJson, SurvivesWhatIsNoText) {
  auto status = begun();
  say(status, Held{"lb1 said \xff\xfe"});
  auto shown = json::parse(render(status, at_second(30)));
  EXPECT_THAT(shown["held"].get<std::string>(), testing::StartsWith("lb1 said "));
}

TEST(ReleaseOnAHost, IsUnknownBetweenASwapAndItsProof) {
  struct {
    HostPhase phase;
    bool swapped;
    bool has_served;
    const char* release;
  } const cases[] = {
      {HostPhase::pooled_old, false, false, "old"},   {HostPhase::draining, false, false, "old"},
      {HostPhase::upgrading, true, false, "unknown"}, {HostPhase::verifying, true, false, "unknown"},
      {HostPhase::joining, true, false, "new"},       {HostPhase::serving_new, true, true, "new"},
      {HostPhase::withdrawing, true, true, "new"},    {HostPhase::withdrawing, true, false, "unknown"},
      {HostPhase::reverting, true, true, "unknown"},  {HostPhase::restored, false, false, "old"},
      {HostPhase::out, true, false, "unknown"},       {HostPhase::left, false, false, "old"},
      {HostPhase::depooling, true, true, "unknown"},  {HostPhase::quiescing, false, false, "old"},
      {HostPhase::requiescing, true, true, "new"},
  };
  for (const auto& [phase, swapped, has_served, release] : cases) {
    SCOPED_TRACE(std::string(to_string(phase)) + " -> " + release);
    auto status = begun();
    auto& host = status.rollout.hosts[0];
    host.phase = phase;
    host.swapped = swapped;
    if (has_served) host.joined = at_second(5);
    EXPECT_EQ(release_on(status.rollout, 0), release);
  }
}

TEST(PlanJson, HasThePlanInWords) {
  auto shown = json::parse(render(Proposal{small_plan(small_request(""), 3, Gate::manual), {}}));
  EXPECT_EQ(shown["request"]["service"], "web");
  auto text = shown["text"].get<std::string>();
  for (const auto* words : {"web to 2.0: 3 of 3 hosts, 1 at a time",
                            "stage 1 of 3: 10% asked, 9.9% achievable: 1 host on the release at lowered weight, bakes 1m",
                            "then waits for `promote`", "without a baseline to compare with", "1. web1: lb1/app/web1 yes, weight 100"})
    EXPECT_THAT(text, testing::HasSubstr(words));
}

TEST(PlanJson, SaysFromWhatToWhatAndGroupsWhatIsTheSame) {
  auto plan = small_plan(small_request(""), 8);
  plan.hosts[1].digest = std::string(64, 'c') + "-" + std::string(64, 'd');
  plan.hosts[2].digest.clear();
  plan.hosts[3].role = Role::already_there;
  auto text = plan_text({plan, {}});
  EXPECT_THAT(text, testing::HasSubstr("  bbbbbbbbbbbb -> aaaaaaaaaaaa: web1, web5, web6, web7, web8\n"));
  EXPECT_THAT(text, testing::HasSubstr("  cccccccccccc-dddddddddddd -> aaaaaaaaaaaa: web2\n"));
  EXPECT_THAT(text, testing::HasSubstr("  no release -> aaaaaaaaaaaa: web3\n"));
  EXPECT_THAT(plan_text({small_plan(small_request(""), 8), {}}), testing::HasSubstr("web4, web5 and 3 more\n"));
  auto custom = small_request("");
  custom.release = {"2.4.1-1", "2.4.1-1", ""};
  EXPECT_THAT(plan_text({small_plan(custom), {}}), testing::HasSubstr("  bbbbbbbbbbbb -> 2.4.1-1: web1, web2, web3\n"));
}

TEST(PlanJson, ShowsWhatDryRunsSayOnceForAllHostsThatSayIt) {
  Proposal proposal{small_plan(small_request("")), {}};
  proposal.dry_runs.push_back({{"web1", "web2", "web3", "web4", "web5", "web6"}, "--- /etc/web.conf\n+++ /etc/web.conf\n-a\n+b"});
  EXPECT_THAT(
      plan_text(proposal),
      testing::HasSubstr(
          "  on web1, web2, web3, web4, web5 and 1 more:\n        --- /etc/web.conf\n        +++ /etc/web.conf\n        -a\n        +b\n"));
  auto shown = json::parse(render(proposal))["dry_runs"][0];
  EXPECT_EQ(shown["hosts"].size(), 6U);
  EXPECT_EQ(shown["text"], proposal.dry_runs[0].text);
}

TEST(PlanJson, HasADigestOfWhatWouldBeDone) {
  auto plan = small_plan(small_request("web-1"));
  auto shown_digest = json::parse(render(Proposal{plan, {}}))["digest"].get<std::string>();
  EXPECT_EQ(shown_digest.size(), 64U);

  auto same = plan;
  same.request.rollout = "web-2";
  same.request.by = "bob";
  same.request.reason = "";
  same.notes.emplace_back("a note");
  same.members[0].original.revision = "7";
  EXPECT_EQ(plan_digest(same), shown_digest);

  struct {
    const char* what;
    void (*change)(Plan&);
  } const cases[] = {
      {"a host's release", [](Plan& other) { other.hosts[1].digest = "1"; }},
      {"a member's weight", [](Plan& other) { other.members[1].original.setting.weight = 99; }},
      {"a member's bytes", [](Plan& other) { other.members[1].original.bytes += ' '; }},
      {"the release", [](Plan& other) { other.request.release.digest = "1"; }},
      {"the order", [](Plan& other) { std::swap(other.hosts[0], other.hosts[1]); }},
      {"a bake", [](Plan& other) { other.stages[0].bake += Duration(1); }},
      {"the batch", [](Plan& other) { ++other.batch; }},
  };
  for (const auto& [what, change] : cases) {
    SCOPED_TRACE(what);
    auto other = plan;
    change(other);
    EXPECT_NE(plan_digest(other), shown_digest);
  }
}

TEST(Render, GivesOfAPoolWhatItsStoreHoldsWhatItsViewsShowAndWhoseHandsItIsIn) {
  PoolStatus pool;
  pool.pool = "eqiad/web/app";
  pool.rollout = "web-7";
  pool.views.push_back({"lvs1/app_80", "", {"be3 is down but pooled"}});
  PoolMemberStatus member;
  member.host = member.member = "web1";
  member.observed = {{Pooled::no, 10}, "{\"\xff\"}", "cluster:7"};
  MemberView view;
  view.traffic = Traffic::flowing;
  view.taken_up = Setting{Pooled::yes, 10};
  member.views.push_back(view);
  member.drift = {"lvs1/app_80 has taken up yes, weight 10"};
  member.holder = "ours";
  member.original = {{Pooled::yes, 10}, "{}", "cluster:6"};
  member.restore = "curl x";
  pool.members.push_back(member);
  auto answer = json::parse(render(std::vector<PoolStatus>{pool})).at("pools").at(0);
  EXPECT_EQ(answer.at("views").at(0).at("closed").at(0), "be3 is down but pooled");
  auto shown = answer.at("members").at(0);
  EXPECT_EQ(shown.at("pooled"), "no");
  EXPECT_EQ(shown.at("revision"), "cluster:7");
  EXPECT_EQ(shown.at("original_bytes"), "{}");
  EXPECT_EQ(shown.at("restore"), "curl x");
  EXPECT_EQ(shown.at("views").at(0).at("taken_up"), "yes, weight 10");
  EXPECT_EQ(shown.at("views").at(0).at("traffic"), "flowing");
  EXPECT_FALSE(shown.contains("malformed"));
}

}  // namespace
}  // namespace shiftd
