#include "daemon/shiftctl/plan_file.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace shiftd {
namespace {

using nlohmann::json;

TEST(ColouredPlan, MarksDiffsAndNothingElse) {
  EXPECT_EQ(coloured_plan("web to 2.0\n  - a dash\n  on web1:\n        --- /etc/a\n        +++ /etc/a\n        @@ -1 +1 @@\n        -x\n   "
                          "     +y\n         z\n"),
            "web to 2.0\n  - a dash\n  on web1:\n\033[31m        --- /etc/a\033[0m\n\033[32m        +++ /etc/a\033[0m\n"
            "\033[36m        @@ -1 +1 @@\033[0m\n\033[31m        -x\033[0m\n\033[32m        +y\033[0m\n         z\n");
}

json plan_of(int hosts) {
  json plan{{"request", {{"service", "web"}, {"release", {{"version", "2"}, {"digest", "2"}, {"source", ""}}}, {"limit", json::array()}}}};
  for (int number = 1; number <= hosts; ++number) {
    json original{{"pooled", "yes"}, {"weight", 10}, {"bytes", "b"}, {"revision", "1"}};
    plan["hosts"].push_back({{"name", "web" + std::to_string(number)},
                             {"digest", "1"},
                             {"address", "a"},
                             {"role", "upgrade"},
                             {"members", {{{"pool", 0}, {"name", "m"}, {"original", original}, {"restore", "r"}}}}});
  }
  plan["stages"] = json::array({1, 2});
  return plan;
}

TEST(PlanDifferences, NamesWhatDiffersAndCountsTheRest) {
  auto saved = plan_of(40);
  EXPECT_TRUE(plan_differences(saved.dump(), saved.dump()).empty());
  auto now = saved;
  now["hosts"][0]["members"][0]["original"]["revision"] = "2";
  EXPECT_TRUE(plan_differences(saved.dump(), now.dump()).empty()) << "changed and changed back";
  for (auto& host : now["hosts"]) host["members"][0]["original"]["pooled"] = "no";
  auto lines = plan_differences(saved.dump(), now.dump());
  ASSERT_EQ(lines.size(), 21U);
  EXPECT_EQ(lines.front(), "web1 as m: pooled: was yes, is no");
  EXPECT_EQ(lines.back(), "and 20 more");
  now = saved;
  std::swap(now["hosts"][0], now["hosts"][1]);
  EXPECT_EQ(plan_differences(saved.dump(), now.dump()), std::vector<std::string>{"the hosts' order"});
  now = saved;
  now["stages"][1] = 3;
  EXPECT_EQ(plan_differences(saved.dump(), now.dump()), std::vector<std::string>{"the plan's stages"});
  EXPECT_FALSE(plan_differences(saved.dump(), "no plan").empty());
}

TEST(SavedPlan, IsNothingThatWasWrittenByHand) {
  EXPECT_FALSE(read_plan("/no/such/file"));
  EXPECT_FALSE(has_changes("{}"));
  EXPECT_TRUE(*has_changes(plan_of(1).dump()));
}

}  // namespace
}  // namespace shiftd
