// Writes go no faster than load balancers take them up, and a roll back's do not wait behind the others.

#include "daemon/driver/write_pace.hpp"

#include <gmock/gmock.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "tests/unit/driver/supervisor_fixture.hpp"

namespace shiftd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Turns : public testing::Test {
 protected:
  Turns() : pace_(loop_.get_executor(), clock_, 10, [this](MemberIndex member) { return urgent_.contains(member); }) {}

  void ask(MemberIndex member) {
    asio::co_spawn(loop_, take(member), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
  }
  Task<> take(MemberIndex member) {
    co_await pace_.turn(member);
    given_.emplace_back(member, clock_.steady() - began_);
  }
  void run() {
    clock_.run(loop_, [] { return false; });
  }

  SimulatedClock clock_;
  asio::io_context loop_{1};
  std::set<MemberIndex> urgent_;
  WritePace pace_;
  Steady began_ = clock_.steady();
  std::vector<std::pair<MemberIndex, Duration>> given_;
};

TEST_F(Turns, ComeInTheOrderInWhichTheyWereAskedForAndAtThePace) {
  for (MemberIndex member : {3, 1, 2}) ask(member);
  run();
  EXPECT_THAT(given_, ElementsAre(std::pair(3, 0ms), std::pair(1, 100ms), std::pair(2, 200ms)));
}

TEST_F(Turns, OfWhatIsUrgentComeFirstAlsoWhenItBecomesSoWhileItWaits) {
  for (MemberIndex member : {1, 2, 3, 4}) ask(member);
  clock_.run(loop_, [&] { return given_.size() == 1; });
  urgent_ = {3, 5};
  ask(5);
  run();
  EXPECT_THAT(given_, ElementsAre(std::pair(1, 0ms), std::pair(3, 100ms), std::pair(5, 200ms), std::pair(2, 300ms), std::pair(4, 400ms)));
}

TEST_F(Turns, ThatAreNotUsedCostNothing) {
  ask(1);
  run();
  pace_.unused();
  ask(2);
  run();
  EXPECT_THAT(given_, ElementsAre(std::pair(1, 0ms), std::pair(2, 0ms)));
}

TEST_F(Turns, ThatNobodyWaitsForAnyMoreAreTheNextOnes) {
  ask(1);
  asio::cancellation_signal stop;
  bool stopped = false;
  asio::co_spawn(loop_, take(2), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr error) { stopped = error != nullptr; }));
  ask(3);
  clock_.run(loop_, [&] { return given_.size() == 1; });
  stop.emit(asio::cancellation_type::terminal);
  run();
  EXPECT_TRUE(stopped);
  EXPECT_THAT(given_, ElementsAre(std::pair(1, 0ms), std::pair(3, 100ms)));
}

class WritesAtAPace : public SupervisorTest {
 protected:
  void begin_at(double per_second, Strategy strategy) {
    begin(10, std::move(strategy));
    world_->capabilities.writes_per_second = per_second;
  }
  Duration least_pause() {
    Duration least = 1h;
    const auto& at = world_->written_at;
    for (std::size_t next = 1; next < at.size(); ++next) least = std::min(least, at[next].second - at[next - 1].second);
    return least;
  }
};

TEST_F(WritesAtAPace, NeverGoFasterAndTheirTimeInTheQueueIsNoFault) {
  auto strategy = five_stages();
  strategy.batch = {2, {}};
  strategy.max_load = 2;
  strategy.max_failed = {5, {}};
  strategy.confirm_limit = 1s;  // less than the ten writes of one pass of a scaled pool take
  strategy.scale_pool = true;
  begin(10, strategy);
  world_->capabilities.writes_per_second = 2;
  for (auto& [name, host] : world_->hosts) host.setting.weight = host.taken_up.weight = 4;
  auto id = start("two");
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::succeeded) << rollout.reason;
  EXPECT_GE(least_pause(), 500ms);
  EXPECT_GT(rollout.plan.scale(), 1);
  auto feed = ask(supervisor_->follow(id, 0, 0ms));
  ASSERT_TRUE(feed);
  for (const auto& record : feed->records) {
    EXPECT_EQ(record.find("\"is\":\"paused\""), std::string::npos) << record;
    EXPECT_EQ(record.find("\"failed\":true"), std::string::npos) << record;
  }
}

TEST_F(WritesAtAPace, OfARollBackGoAheadOfTheOthers) {
  auto strategy = five_stages();
  strategy.canary = HostQuota{4, {}};
  strategy.batch = {2, {}};
  strategy.max_load = 4;
  strategy.max_load_rollback = 4;
  begin_at(1, strategy);
  auto id = start("two");
  // Four hosts have joined, and the weights of the next stage wait for their turns.
  clock_.run(*loop_, [&] {
    const auto* rollout = running(id);
    return rollout == nullptr || (rollout->in(HostPhase::serving_new) == 4 && rollout->stage == 1 && rollout->writing[0] == 4);
  });
  ASSERT_NE(running(id), nullptr);
  auto before = world_->written_at.size();
  CommandRequest command;
  command.verb = Verb::roll_back;
  command.by = "ada";
  command.reason = "wrong day";
  ASSERT_TRUE(ask(supervisor_->command(id, command)));
  auto rollout = finish(id);
  EXPECT_EQ(rollout.outcome, Outcome::rolled_back) << rollout.reason;
  // One write may have been on its way.
  auto out = std::count_if(world_->written_at.begin() + static_cast<std::ptrdiff_t>(before),
                           world_->written_at.begin() + static_cast<std::ptrdiff_t>(before) + 5,
                           [](const auto& write) { return write.first.pooled == Pooled::no; });
  EXPECT_GE(out, 3);
  for (const auto& [name, host] : world_->hosts) EXPECT_EQ(host.setting, (Setting{Pooled::yes, 100})) << name;
}

TEST_F(WritesAtAPace, AreInThePlan) {
  begin_at(2, five_stages());
  StartRequest request;
  request.service = "web";
  request.release = {"v-two", "two", "/nowhere"};
  auto plan = ask(supervisor_->plan(request));
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_THAT(plan->plan.notes, testing::Contains(HasSubstr("lb1/app: its load balancers take up 2 changes a second: the 2")));
}

}  // namespace
}  // namespace shiftd
