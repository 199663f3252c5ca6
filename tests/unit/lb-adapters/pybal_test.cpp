// What PyBal's instrumentation says, read, and what it means. The answers are PyBal 1.15.9's own, word for word.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lb-adapters/pybal/replies.hpp"
#include "lb-adapters/pybal/view_rules.hpp"

namespace shiftd::pybal {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PybalReplies, APoolIsItsServersByName) {
  auto pool = parse_pool(R"({"be2": {"pooled": false, "weight": 0, "up": true, "enabled": false},
                             "be1": {"pooled": true, "weight": 10, "up": true, "enabled": true}})");
  ASSERT_TRUE(pool) << pool.error();
  EXPECT_THAT(*pool, ElementsAre(Server{"be1", true, true, true, 10}, Server{"be2", false, true, false, 0}));
  EXPECT_THAT(*parse_pool("{}"), IsEmpty());
}

TEST(PybalReplies, RefuseWhatIsNoPool) {
  struct {
    const char* name;
    const char* text;
  } const cases[] = {
      {"nothing", ""},
      {"words for people", "be1:\tenabled/up/pooled\n"},
      {"cut off", R"({"be1": {"pooled": true, "weight": 10)"},
      {"a list", R"(["be1"])"},
      {"a server that is none", R"({"be1": 1})"},
      {"a flag is missing", R"({"be1": {"pooled": true, "weight": 10, "up": true}})"},
      {"a flag is a number", R"({"be1": {"pooled": 1, "weight": 10, "up": true, "enabled": true}})"},
      {"a weight is a string", R"({"be1": {"pooled": true, "weight": "10", "up": true, "enabled": true}})"},
      {"a weight is a fraction", R"({"be1": {"pooled": true, "weight": 7.5, "up": true, "enabled": true}})"},
      {"a weight is negative", R"({"be1": {"pooled": true, "weight": -3, "up": true, "enabled": true}})"},
      {"a weight is too great", R"({"be1": {"pooled": true, "weight": 2147483648, "up": true, "enabled": true}})"},
      {"a weight is far too great", R"({"be1": {"pooled": true, "weight": 18446744073709551615, "up": true, "enabled": true}})"},
      {"a name with a line end", "{\"be\\n1\": {\"pooled\": true, \"weight\": 1, \"up\": true, \"enabled\": true}}"},
      {"an error", R"({"error": "The desired url was not found"})"},
  };
  for (const auto& [name, text] : cases) {
    SCOPED_TRACE(name);
    auto pool = parse_pool(text);
    ASSERT_FALSE(pool);
    EXPECT_EQ(pool.error().code, Errc::unexpected_reply);
  }
}

TEST(PybalReplies, AnAlertCountsWhenItNamesThePoolOrNobody) {
  struct {
    const char* name;
    const char* text;
    const char* said;
  } const cases[] = {
      {"all is well", R"({"status": "ok", "msg": "All pools are healthy"})", ""},
      {"ours", R"({"status": "critical", "msg": "web_80: Servers be3, be4 are marked down but pooled"})",
       "web_80: Servers be3, be4 are marked down but pooled"},
      {"another's", R"({"status": "critical", "msg": "web_8080: Servers be3 are marked down but pooled"})", ""},
      {"ours among others",
       R"({"status": "critical", "msg": "a_1: Servers x are marked down but pooled; web_80: Servers y are marked down but pooled"})",
       "web_80: Servers y are marked down but pooled"},
      {"ours is small",
       R"({"status": "warning", "msg": "Pool a_1 is too small to allow depooling. Pool web_80 is too small to allow depooling. "})",
       "Pool web_80 is too small to allow depooling."},
      {"another's is small", R"({"status": "warning", "msg": "Pool web_8 is too small to allow depooling. "})", ""},
      {"unheard of", R"({"status": "critical", "msg": "the roof is on fire"})", "the roof is on fire"},
      {"without words", R"({"status": "warning", "msg": ""})", "warning"},
  };
  for (const auto& [name, text, said] : cases) {
    SCOPED_TRACE(name);
    auto alert = parse_alert(text, "web_80");
    ASSERT_TRUE(alert) << alert.error();
    EXPECT_EQ(*alert, said);
  }
  for (const auto* text : {"OK - All pools are healthy", "{}", R"({"status": "ok"})", R"({"status": 1, "msg": "x"})"}) {
    EXPECT_FALSE(parse_alert(text, "web_80")) << text;
  }
}

TEST(PybalReplies, MetricsOfOtherPoolsAndOtherThingsAreSkipped) {
  auto metrics = parse_metrics(
      "# HELP pybal_service_can_depool Can depool more servers\n"
      "# TYPE pybal_service_can_depool gauge\n"
      "pybal_service_can_depool{service=\"web_80\"} 1.0\n"
      "pybal_service_can_depool{service=\"web_8080\"} 0.0\n"
      "pybal_service_depool_threshold{service=\"web_80\"} 0.5\n"
      "pybal_service_pooled_down_servers{service=\"web_80\"} 0.0 1700000000000\n"
      "pybal_service_could_not_depool_total{service=\"web_80\"} 3.0\n"
      "pybal_monitor_status{host=\"be1\",monitor=\"ProxyFetch\",service=\"web_80\"} 1.0\n"
      "pybal_monitor_status{host=\"be1\", monitor=\"IdleConnection\", service=\"web_80\"} 0.0\n"
      "pybal_monitor_status{host=\"be1\",monitor=\"ProxyFetch\",service=\"a \\\"b\\\\\"} 1.0\n"
      "some_other_thing{x=\"y\" nonsense\n"
      "process_start_time_seconds 1.6e+09\n",
      "web_80");
  ASSERT_TRUE(metrics) << metrics.error();
  EXPECT_EQ(metrics->started, 1.6e9);
  EXPECT_EQ(metrics->can_depool, 1);
  EXPECT_EQ(metrics->depool_threshold, 0.5);
  EXPECT_EQ(metrics->pooled_down, 0);
  EXPECT_THAT(metrics->spoken, ElementsAre(testing::Pair("be1", std::set<std::string>{"IdleConnection", "ProxyFetch"})));
}

TEST(PybalReplies, RefuseMetricsOfThePoolThatAreNone) {
  for (const auto* line : {"process_start_time_seconds yesterday\n", "process_start_time_seconds NaN\n", "process_start_time_seconds\n",
                           "pybal_service_can_depool{service=\"web_80\"\n", "pybal_service_can_depool{service=\"web_80} 1\n",
                           "pybal_service_can_depool{service} 1\n", "pybal_service_can_depool{service=\"web_80\"} 1x\n"}) {
    EXPECT_FALSE(parse_metrics(line, "web_80")) << line;
  }
  EXPECT_EQ(*parse_metrics("", "web_80"), Metrics{});
}

TEST(PybalReplies, ReadTheDateOfAnAnswer) {
  auto date = parse_http_date("Wed, 25 Nov 2026 15:20:40 GMT");
  ASSERT_TRUE(date);
  EXPECT_EQ(to_string(*date), "2026-11-25T15:20:40.000Z");
  for (const auto* text : {"", "yesterday", "Wed, 25 Nov 2026 15:20:40", "Wed, 25 Nov 2026 15:20:40 GMT+1"})
    EXPECT_FALSE(parse_http_date(text)) << text;
}

TEST(PybalViewRules, SayWhatTrafficAServerGets) {
  struct {
    const char* name;
    Server server;
    bool spoke;
    Traffic traffic;
    Health health;
    int weight;
  } const cases[] = {
      {"in", {"be1", true, true, true, 10}, true, Traffic::flowing, Health::up, 10},
      {"weight 0 is 1 in the kernel", {"be1", true, true, true, 0}, true, Traffic::flowing, Health::up, 1},
      {"new, up before any check", {"be1", true, true, true, 10}, false, Traffic::flowing, Health::unknown, 10},
      {"down, and back with its next check", {"be1", true, false, false, 10}, true, Traffic::flowing, Health::down, 0},
      {"down, held at the threshold", {"be1", true, false, true, 10}, true, Traffic::flowing, Health::down, 10},
      {"disabled and not yet out", {"be1", false, true, true, 10}, true, Traffic::flowing, Health::up, 10},
      {"out", {"be1", false, true, false, 10}, true, Traffic::none, Health::up, 0},
      {"out and down", {"be1", false, false, false, 10}, true, Traffic::none, Health::down, 0},
  };
  for (const auto& [name, server, spoke, traffic, health, weight] : cases) {
    SCOPED_TRACE(name);
    auto view = view_of(server, spoke);
    EXPECT_EQ(view.traffic, traffic);
    EXPECT_EQ(view.health, health);
    EXPECT_EQ(view.weight, weight);
    EXPECT_EQ(view.taken_up, (Setting{server.enabled ? Pooled::yes : Pooled::no, server.weight}));
  }
}

// A PyBal with which everything is well, up for two rounds of its monitors exactly.
struct Healthy {
  Healthy() {
    options.pool = "web_80";
    answers.now = Instant(1'000'030s);
    for (const auto* host : {"be1", "be2", "be3", "be4"}) {
      answers.servers.push_back({host, true, true, true, 10});
      answers.metrics->spoken[host] = {"IdleConnection", "ProxyFetch"};
    }
    answers.metrics->started = 1'000'000;
    answers.metrics->depool_threshold = 0.5;
    answers.metrics->can_depool = 1;
    answers.metrics->pooled_down = 0;
  }
  std::vector<std::string> closed() const { return reading_of(answers, options).closed; }

  PybalOptions options;
  Answers answers;
};

TEST(PybalGates, AreOpenWhereEverythingIsWell) {
  Healthy pybal;
  auto reading = reading_of(pybal.answers, pybal.options);
  EXPECT_THAT(reading.closed, IsEmpty());
  EXPECT_EQ(reading.counted, 4u);
  EXPECT_EQ(reading.depool_threshold, 0.5);
  EXPECT_EQ(reading.of("be3").health, Health::up);
  EXPECT_EQ(reading.of("be5").traffic, Traffic::cannot_tell);
}

TEST(PybalGates, StayOpenWithAMemberHeldAtNo) {
  Healthy pybal;
  pybal.answers.servers[0] = {"be1", false, true, false, 1};
  EXPECT_THAT(pybal.closed(), IsEmpty());
}

// Else nobody could come back to a pool that a roll back has brought below its threshold.
TEST(PybalGates, StayOpenBelowTheThresholdWhereNobodyFails) {
  Healthy pybal;
  for (int i : {0, 1, 2}) pybal.answers.servers[i] = {"be" + std::to_string(i + 1), false, true, false, 10};
  pybal.answers.metrics->can_depool = 0;
  EXPECT_THAT(pybal.closed(), IsEmpty());
}

TEST(PybalGates, CloseForEachThingThatForbidsAWriteAndSayWhich) {
  struct {
    const char* name;
    std::function<void(Healthy&)> make;
    const char* why;
  } const cases[] = {
      {"started a moment ago", [](Healthy& it) { it.answers.now -= 24s; }, "it has been up for 6s, its monitors need 30s"},
      {"started in the future", [](Healthy& it) { it.answers.now -= 100s; }, "it has been up for 0ms, its monitors need 30s"},
      {"a monitor is silent", [](Healthy& it) { it.answers.metrics->spoken["be2"].erase("ProxyFetch"); },
       "not every monitor has spoken of be2"},
      {"a member is unknown to the monitors", [](Healthy& it) { it.answers.metrics->spoken.erase("be2"); },
       "not every monitor has spoken of be2"},
      {"no monitor at all", [](Healthy& it) { it.answers.metrics->spoken.clear(); }, "no monitor has said anything yet"},
      {"a monitor that was asked for", [](Healthy& it) { it.options.monitors = {"DNSQuery"}; },
       "not every monitor has spoken of be1, be2, be3 and 1 more"},
      {"held at the threshold", [](Healthy& it) { it.answers.servers[2].up = false; },
       "be3 is down but pooled: any write would take it out"},
      {"held, by its own count", [](Healthy& it) { it.answers.metrics->pooled_down = 1; }, "it counts servers that are down but pooled"},
      {"cannot depool, by its own word",
       [](Healthy& it) {
         it.answers.servers[0] = {"be1", true, false, false, 10};
         it.answers.metrics->can_depool = 0;
       },
       "it can take no failing member out: 3 of 4 are up and enabled"},
      {"cannot depool, by the sum",
       [](Healthy& it) {
         for (int i : {0, 1}) it.answers.servers[i] = {"be" + std::to_string(i + 1), false, true, false, 10};
         it.answers.servers[2] = {"be3", true, false, false, 10};
       },
       "it can take no failing member out: 1 of 4 are up and enabled"},
      {"an alert", [](Healthy& it) { it.answers.alert = std::string("x: Servers be3 are marked down but pooled"); },
       "it alerts: x: Servers be3 are marked down but pooled"},
      {"alerts cannot be read",
       [](Healthy& it) {
         it.answers.alert = Failure{Errc::timed_out, "no answer"};
       },
       "its alerts cannot be read: no answer"},
      {"no metrics",
       [](Healthy& it) {
         it.answers.metrics = Failure{Errc::not_found, "answered 404"};
       },
       "it does not say whether it may be written to: answered 404"},
      {"no start", [](Healthy& it) { it.answers.metrics->started.reset(); }, "it does not say when it started"},
      {"no threshold", [](Healthy& it) { it.answers.metrics->depool_threshold.reset(); }, "it does not say its depool threshold"},
      {"no count of held ones", [](Healthy& it) { it.answers.metrics->pooled_down.reset(); },
       "it does not say how many servers are down but pooled"},
      {"no word on depooling", [](Healthy& it) { it.answers.metrics->can_depool.reset(); }, "it does not say whether it can depool"},
  };
  for (const auto& [name, make, why] : cases) {
    SCOPED_TRACE(name);
    Healthy pybal;
    make(pybal);
    EXPECT_THAT(pybal.closed(), ElementsAre(why));
  }
}

TEST(PybalGates, CloseAPoolThatWasLoadedEmpty) {
  Healthy pybal;
  pybal.answers.servers.clear();
  EXPECT_THAT(pybal.closed(), testing::Contains("its pool is empty"));
}

}  // namespace
}  // namespace shiftd::pybal
