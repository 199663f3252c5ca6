#include "daemon/driver/pool_status.hpp"

#include <gtest/gtest.h>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

MemberView flowing(int weight) {
  MemberView view;
  view.traffic = Traffic::flowing;
  view.health = Health::up;
  view.weight = weight;
  return view;
}

TEST(Drift, IsWhatALoadBalancerDoesOtherwiseThanItsStoreSays) {
  MemberView deaf = flowing(10);
  deaf.taken_up = Setting{Pooled::yes, 7};
  MemberView unsure;
  MemberView out;
  out.traffic = Traffic::none;
  out.health = Health::up;
  MemberView ill = out;
  ill.health = Health::down;
  struct {
    const char* name;
    Setting holds;
    MemberView view;
    const char* drift;
  } const cases[] = {
      {"the same", {Pooled::yes, 10}, flowing(10), ""},
      {"another weight", {Pooled::yes, 10}, flowing(7), "lb1 gives it weight 7"},
      {"in, and should be out", {Pooled::no, 10}, flowing(10), "lb1 still sends it requests"},
      {"out, and should be in", {Pooled::yes, 10}, out, "lb1 sends it nothing"},
      {"out as it should be", {Pooled::no, 10}, out, ""},
      {"out because it is ill", {Pooled::yes, 10}, ill, ""},
      {"cannot tell", {Pooled::no, 10}, unsure, ""},
      {"it says what it took up", {Pooled::yes, 10}, deaf, "lb1 has taken up yes, weight 7"},
  };
  for (const auto& [name, holds, view, drift] : cases) EXPECT_EQ(drift_of(holds, "lb1", view), drift) << name;
}

TEST_F(SupervisorTest, ShowsWhatThePoolsAreWhileARolloutHoldsThem) {
  begin(4, five_stages());
  auto before = ask(supervisor_->pools("web"));
  ASSERT_TRUE(before) << before.error();
  ASSERT_EQ(before->size(), 1u);
  EXPECT_EQ(before->at(0).rollout, "");
  EXPECT_EQ(before->at(0).members.at(0).observed.setting, (Setting{Pooled::yes, 100}));
  EXPECT_EQ(before->at(0).members.at(0).restore, "");

  auto id = start("two");
  pass_until_phase(id, HostPhase::upgrading);
  auto during = ask(supervisor_->pools("web"));
  ASSERT_TRUE(during) << during.error();
  EXPECT_EQ(during->at(0).rollout, id);
  int ours = 0;
  for (const auto& member : during->at(0).members) {
    EXPECT_EQ(member.host, member.member);
    if (member.observed.setting.pooled == Pooled::yes) continue;
    ++ours;
    EXPECT_EQ(member.holder, "ours");
    EXPECT_EQ(member.original.setting, (Setting{Pooled::yes, 100}));
    EXPECT_EQ(member.restore, "restore " + member.member + " yes, weight 100");
    EXPECT_EQ(member.views.at(0).traffic, Traffic::none);
  }
  EXPECT_EQ(ours, 1);

  world_->store_answers = world_->view_answers = false;
  auto silent = ask(supervisor_->pools("web"));
  ASSERT_TRUE(silent);
  EXPECT_EQ(silent->at(0).trouble, "nobody answers");
  EXPECT_EQ(silent->at(0).views.at(0).trouble, "nobody answers");
  ASSERT_EQ(silent->at(0).members.size(), 4u) << "named all the same";
  EXPECT_EQ(silent->at(0).members.at(0).views.at(0).traffic, Traffic::cannot_tell);
  EXPECT_FALSE(ask(supervisor_->pools("nobody")));
}

}  // namespace
}  // namespace shiftd
