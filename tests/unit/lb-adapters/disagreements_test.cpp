// Whether a load balancer still listens to its store, from what both say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lb-adapters/pool_store.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Setting in{Pooled::yes, 10};

PoolReading store_of(std::vector<std::pair<std::string, Setting>> members) {
  PoolReading reading;
  for (auto& [name, setting] : members) reading.members.push_back({name, {setting, "bytes", "1"}, {}});
  return reading;
}

ViewReading view_of(std::vector<std::pair<std::string, Setting>> members) {
  ViewReading reading;
  for (auto& [name, setting] : members) {
    MemberView view;
    view.taken_up = setting;
    reading.members.emplace_back(name, view);
  }
  return reading;
}

bool none_touched(std::string_view) { return false; }

TEST(Disagreements, AreNoneWhereTheViewHasWhatTheStoreHolds) {
  EXPECT_THAT(
      disagreements(store_of({{"be1", in}, {"be2", {Pooled::no, 7}}}), view_of({{"be1", in}, {"be2", {Pooled::no, 7}}}), none_touched),
      IsEmpty());
}

TEST(Disagreements, NameTheMemberAndBothSettings) {
  EXPECT_THAT(
      disagreements(store_of({{"be1", in}, {"be2", in}}), view_of({{"be1", {Pooled::no, 10}}, {"be2", {Pooled::yes, 7}}}), none_touched),
      ElementsAre("be1: its store holds yes, weight 10, it has no, weight 10",
                  "be2: its store holds yes, weight 10, it has yes, weight 7"));
}

TEST(Disagreements, LeaveOutWhatWeTouch) {
  auto touched = [](std::string_view member) { return member == "be1"; };
  EXPECT_THAT(disagreements(store_of({{"be1", in}}), view_of({{"be1", {Pooled::no, 10}}}), touched), IsEmpty());
}

TEST(Disagreements, AreFoundWhereOneSideDoesNotKnowTheMember) {
  EXPECT_THAT(disagreements(store_of({{"be1", in}, {"be2", in}}), view_of({{"be2", in}, {"be3", in}}), none_touched),
              ElementsAre("be1: its store holds yes, weight 10, it does not know the member", "be3: its store has no such member"));
}

TEST(Disagreements, AreNoneForAnInactiveMemberThatTheViewDoesNotKnow) {
  EXPECT_THAT(disagreements(store_of({{"be1", {Pooled::inactive, 0}}, {"be2", in}}), view_of({{"be2", in}}), none_touched), IsEmpty());
}

TEST(Disagreements, AreNoneForAViewThatDoesNotSayWhatItTookUp) {
  auto view = view_of({{"be1", in}});
  view.members[0].second.taken_up.reset();
  EXPECT_THAT(disagreements(store_of({{"be1", {Pooled::no, 1}}}), view, none_touched), IsEmpty());
}

TEST(Disagreements, LeaveOutWhatCannotBeUnderstood) {
  auto store = store_of({{"be1", {Pooled::inactive, 0}}});
  store.members[0].malformed = "no JSON";
  EXPECT_THAT(disagreements(store, view_of({{"be1", in}}), none_touched), IsEmpty());
}

}  // namespace
}  // namespace shiftd
