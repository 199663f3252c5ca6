#include "daemon/metrics/metrics.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_control.hpp"

namespace shiftd {
namespace {

using testing::HasSubstr;
using testing::Not;

class MetricsTest : public testing::Test {
 protected:
  void begin(const std::string& rollout, std::vector<Fact> facts = {}) {
    control_.say(rollout, first_records(small_plan(small_request(rollout))));
    for (auto& fact : facts) control_.say(rollout, std::move(fact));
  }
  // The sum over a metric's samples.
  double sum(const std::string& name) const {
    double total = 0;
    std::istringstream lines(metrics_text(control_));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name + " ") || line.starts_with(name + "{")) total += std::stod(line.substr(line.rfind(' ')));
    }
    return total;
  }

  boost::asio::io_context loop_{1};
  std::unique_ptr<Clock> clock_ = make_system_clock();
  FakeControl control_{loop_.get_executor(), *clock_};
};

TEST_F(MetricsTest, EveryMetricIsDescribedAndNoneIsDescribedThatIsNot) {
  std::ifstream file(SHIFTD_SOURCE_DIR "/docs/metrics.md");
  const std::regex row(R"(^\| `(\w+)` \| (\w+) \| (.*) \|$)");
  std::map<std::string, std::string> described;
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_match(line, match, row)) described[match[1]] = match[2].str() + ": " + match[3].str();
  }
  std::map<std::string, std::string> known;
  for (const auto& words : metric_words()) known[std::string(words.name)] = std::string(words.type) + ": " + std::string(words.help);
  EXPECT_EQ(described, known);
}

TEST_F(MetricsTest, NamesSayWhatTheyCount) {
  for (const auto& words : metric_words()) {
    EXPECT_TRUE(words.name.starts_with("shiftd_")) << words.name;
    EXPECT_EQ(words.name.ends_with("_total"), words.type == "counter") << words.name;
  }
}

TEST_F(MetricsTest, EveryStartedRolloutIsSomewhere) {
  begin("web-1", {Ended{Outcome::succeeded, "done"}});
  begin("web-2", {Ended{Outcome::rolled_back, "5xx"}});
  begin("web-3", {Quarantined{"a weight above its original"}});
  begin("web-4");
  EXPECT_EQ(sum("shiftd_rollouts_started_total"), 4);
  EXPECT_EQ(sum("shiftd_rollouts_started_total"), sum("shiftd_rollouts_ended_total") + sum("shiftd_rollouts_running") +
                                                      sum("shiftd_rollouts_queued") + sum("shiftd_rollouts_quarantined"));
  EXPECT_EQ(sum("shiftd_rollout_phase"), 2);
}

TEST_F(MetricsTest, ShowsTheRolloutThatActs) {
  begin("web-1", {Held{"lb1 is silent"}, SourceLost{"lb1", "refused"}, MemberTaken{1, {{Pooled::no, 1}, "drain 1", "3"}}});
  control_.live("web-1").served_share = 0.25;
  control_.live("web-1").canary_requests = 77;
  auto text = metrics_text(control_);
  for (const auto* line :
       {"shiftd_held{service=\"web\"} 1", "shiftd_source_lost{service=\"web\",rollout=\"web-1\",source=\"lb1\"} 1",
        "shiftd_members_held_by_others{service=\"web\"} 1", "shiftd_rollout_stage{service=\"web\"} 1",
        "shiftd_rollout_share_asked{service=\"web\"} 0.1", "shiftd_rollout_share_served{service=\"web\"} 0.25",
        "shiftd_canary_requests_total{service=\"web\"} 77", "shiftd_rollout_info{service=\"web\",rollout=\"web-1\",version=\"2.0\"} 1",
        "shiftd_rollout_phase{service=\"web\",rollout=\"web-1\",phase=\"shifting\"} 1", "shiftd_ready 1"})
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
}

TEST_F(MetricsTest, SaysNothingOfRolloutsThatHaveEnded) {
  begin("web-1", {Ended{Outcome::succeeded, "done"}});
  EXPECT_THAT(metrics_text(control_), Not(HasSubstr("web-1")));
}

}  // namespace
}  // namespace shiftd
