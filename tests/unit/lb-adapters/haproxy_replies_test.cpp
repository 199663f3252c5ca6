// What HAProxy says, read: replies, tables, revisions, log lines.

#include <gtest/gtest.h>

#include "lb-adapters/haproxy/log_line.hpp"
#include "lb-adapters/haproxy/member_value.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"
#include "lb-adapters/haproxy/view_rules.hpp"

namespace shiftd::haproxy {
namespace {

using Replies = std::vector<std::string>;

const std::string stat_header =
    "# pxname,svname,scur,stot,wretr,wredis,status,weight,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,check_status,\n";

TEST(HaproxyReplies, AreSplitAtTheirEmptyLines) {
  struct {
    const char* name;
    const char* text;
    Replies replies;
  } const cases[] = {
      {"one set that succeeded", "\n", {""}},
      {"two sets that succeeded", "\n\n", {"", ""}},
      {"an error", "No such server.\n\n", {"No such server."}},
      {"an error between successes", "\nPermission denied\n\n\n", {"", "Permission denied", ""}},
      {"a table after a set", "\n1\n# head\nrow\n\n", {"", "1\n# head\nrow"}},
  };
  for (const auto& [name, text, replies] : cases) {
    SCOPED_TRACE(name);
    auto split = split_replies(text, replies.size());
    ASSERT_TRUE(split) << split.error();
    EXPECT_EQ(*split, replies);
  }
}

TEST(HaproxyReplies, ThatDoNotFitTheQuestionAreRefused) {
  struct {
    const char* name;
    const char* text;
    std::size_t commands;
  } const cases[] = {
      {"nothing", "", 1},
      {"one too few", "\n", 2},
      {"one too many", "\n\n", 1},
      {"cut off in a line", "\nNo such", 2},
      {"cut off before the empty line", "No such server.\n", 1},
  };
  for (const auto& [name, text, commands] : cases) {
    SCOPED_TRACE(name);
    auto split = split_replies(text, commands);
    ASSERT_FALSE(split);
    EXPECT_EQ(split.error().code, Errc::unexpected_reply);
  }
}

TEST(HaproxyReplies, OnlyAnEmptyOneToASetMeansSuccess) {
  EXPECT_TRUE(accepted(""));
  struct {
    const char* text;
    Errc code;
  } const cases[] = {
      {"Permission denied", Errc::refused},
      {"No such server.", Errc::not_found},
      {"No such backend.", Errc::not_found},
      {"Can't find backend.", Errc::not_found},
      {"No such proxy.", Errc::not_found},
      {"Proxy is disabled.", Errc::unavailable},
      {"Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.", Errc::refused},
      {"Absolute weight can only be between 0 and 256 inclusive.", Errc::refused},
      {"Unknown command, but maybe one of the following ones is a better match:", Errc::unexpected_reply},
      {"ok", Errc::unexpected_reply},
  };
  for (const auto& [text, code] : cases) {
    SCOPED_TRACE(text);
    auto done = accepted(text);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code);
    EXPECT_NE(done.error().what.find(std::string(text).substr(0, 20)), std::string::npos);
  }
}

TEST(HaproxyReplies, NamesCannotBecomeCommands) {
  for (const auto* good : {"s1", "web-1.example.org:80", "A_b"}) EXPECT_TRUE(is_name(good)) << good;
  for (const auto* bad : {"", "a b", "a;b", "a/b", "a\nb", "a\\ b", "a'b", "\xc3\xa4"}) EXPECT_FALSE(is_name(bad)) << bad;
  EXPECT_FALSE(is_name(std::string(257, 'a')));
}

TEST(HaproxyTables, StatIsReadByTheNamesOfItsColumns) {
  auto rows = parse_stat(
      "# pxname,status,svname,stot,scur,wretr,wredis,weight,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,\n"
      "app,UP 1/3,s1,9,2,3,4,5,10,20,30,40,50,60,\n");
  ASSERT_TRUE(rows) << rows.error();
  ASSERT_EQ(rows->size(), 1u);
  StatRow expected;
  expected.proxy = "app";
  expected.server = "s1";
  expected.status = "UP 1/3";
  expected.current = 2;
  expected.total = 9;
  expected.retries = 3;
  expected.redispatches = 4;
  expected.weight = 5;
  expected.responses = {10, 20, 30, 40, 50, 60};
  EXPECT_EQ(rows->front(), expected);
}

TEST(HaproxyTables, AQuotedFieldMayHoldCommasQuotesAndLineEnds) {
  auto rows = parse_stat(stat_header + "app,s1,0,0,0,0,\"a, \"\"b\"\"\nc\",1,,,,,,,L7OK,\napp,s2,0,0,0,0,UP,1,,,,,,,,\n");
  ASSERT_TRUE(rows) << rows.error();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].status, "a, \"b\"\nc");
  EXPECT_EQ((*rows)[0].check_status, "L7OK");
  EXPECT_EQ((*rows)[1].server, "s2");
}

TEST(HaproxyTables, RefuseWhatIsNoTable) {
  struct {
    const char* name;
    std::string text;
    Errc code;
  } const cases[] = {
      {"nothing", "", Errc::unexpected_reply},
      {"an error", "No such proxy.", Errc::not_found},
      {"a column is missing", "# pxname,svname,\napp,s1,\n", Errc::unexpected_reply},
      {"a number is none", stat_header + "app,s1,x,0,0,0,UP,1,,,,,,,,\n", Errc::unexpected_reply},
      {"a number is negative", stat_header + "app,s1,-1,0,0,0,UP,1,,,,,,,,\n", Errc::unexpected_reply},
      {"a number is too great", stat_header + "app,s1,99999999999999999999,0,0,0,UP,1,,,,,,,,\n", Errc::unexpected_reply},
      {"a row has no name", stat_header + "app,\n", Errc::unexpected_reply},
      {"a name is none", stat_header + "app,s\xff,0,0,0,0,UP,1,,,,,,,,\n", Errc::unexpected_reply},
  };
  for (const auto& [name, text, code] : cases) {
    SCOPED_TRACE(name);
    auto rows = parse_stat(text);
    ASSERT_FALSE(rows);
    EXPECT_EQ(rows.error().code, code);
  }
}

TEST(HaproxyTables, ServersStateIsReadByTheNamesOfItsColumns) {
  auto servers = parse_servers_state(
      "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n"
      "3 app 1 s1 127.0.0.1 2 8 77 100\n");
  ASSERT_TRUE(servers) << servers.error();
  EXPECT_EQ(*servers, (std::vector<ServerState>{{"app", "s1", 2, 8, 77, 100}}));
}

TEST(HaproxyTables, ServersStateRefusesShortLinesAndImpossibleNumbers) {
  std::string header = "1\n# be_name srv_name srv_op_state srv_admin_state srv_uweight srv_iweight\n";
  for (const auto* line : {"app s1 2 0 100\n", "app s1 2 0 x 100\n", "app s1 2 0 -1 100\n", "app s1 2 0 70000 100\n", "app\n"}) {
    SCOPED_TRACE(line);
    EXPECT_FALSE(parse_servers_state(header + line));
  }
  EXPECT_FALSE(parse_servers_state("2\n# be_name\n"));
  EXPECT_EQ(parse_servers_state("Can't find backend.").error().code, Errc::not_found);
}

TEST(HaproxyTables, InfoNamesOneLifeOfAProcess) {
  auto info = parse_info("Name: HAProxy\nPid: 12\nDroppedLogs: 3\nBuild info: 2.6.12: x\nStart_time_sec: 99");
  ASSERT_TRUE(info) << info.error();
  EXPECT_EQ(*info, (ProcessInfo{12, 99, 3}));
  EXPECT_EQ(info->epoch(), "12:99");
  EXPECT_FALSE(parse_info("Name: HAProxy\nPid: 12\n"));
  EXPECT_FALSE(parse_info("Name: HAProxy\nPid: x\nStart_time_sec: 99\n"));
}

TEST(HaproxyTables, OldWorkersAreCountedApart) {
  std::string head = "#<PID> <type> <reloads> <uptime> <version>\n1 master 2 [failed: 0] 0d 2.6\n# workers\n7 worker 0 0d 2.6\n";
  EXPECT_EQ(*parse_old_workers(head + "# programs\n"), 0u);
  EXPECT_EQ(*parse_old_workers(head + "# old workers\n5 worker 1 0d 2.6\n6 worker 2 0d 2.6\n# programs\n"), 2u);
  EXPECT_FALSE(parse_old_workers("Unknown command"));
}

TEST(HaproxyMemberValue, IsWhatItsTextSays) {
  for (const auto* text : {"ready weight 100", "drain weight 0", "maint weight 256"}) {
    auto value = parse_member_value(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(to_string(*value), text);
    Revision revision{"12:99", *value};
    auto again = parse_revision(to_string(revision));
    ASSERT_TRUE(again) << to_string(revision);
    EXPECT_EQ(again->epoch, revision.epoch);
    EXPECT_EQ(again->value, revision.value);
  }
  for (const auto* text : {"", "ready", "ready weight", "ready weight 257", "ready weight -1", "ready weight 1 ", "up weight 1"}) {
    EXPECT_FALSE(parse_member_value(text)) << text;
  }
  for (const auto* text : {"", ":", "::", "ready:1", ":ready:1", "1:2:ready:x", "1:2:up:1"}) EXPECT_FALSE(parse_revision(text)) << text;
}

TEST(HaproxyMemberValue, TestsBitsOfTheAdministrativeState) {
  struct {
    const char* name;
    unsigned admin_state;
    AdminState state;
  } const cases[] = {
      {"nothing", 0, AdminState::ready},
      {"disabled in the configuration, then ready", 0x04, AdminState::ready},
      {"disabled in the configuration", 0x05, AdminState::maint},
      {"drained", 0x08, AdminState::drain},
      {"drained after disabled in the configuration", 0x0c, AdminState::drain},
      {"a tracked server is drained", 0x10, AdminState::ready},
      {"its name is not resolved", 0x20, AdminState::ready},
  };
  for (const auto& [name, admin_state, state] : cases) {
    SCOPED_TRACE(name);
    EXPECT_EQ(value_of({"app", "s1", 2, admin_state, 5, 5}).state, state);
  }
}

TEST(HaproxyViewRules, SayWhatTrafficAServerMayGet) {
  struct {
    const char* name;
    const char* status;
    unsigned admin_state;
    int weight;
    std::uint64_t current;
    std::size_t old_workers;
    Traffic traffic;
    int effective;
  } const cases[] = {
      {"up", "UP", 0, 100, 3, 0, Traffic::flowing, 80},
      {"up once disabled in the configuration", "UP", 0x04, 100, 3, 0, Traffic::flowing, 80},
      {"a check has failed", "UP 1/3", 0, 100, 3, 0, Traffic::flowing, 80},
      {"not checked", "no check", 0, 100, 0, 0, Traffic::flowing, 80},
      {"down, and back any moment", "DOWN", 0, 100, 0, 0, Traffic::flowing, 0},
      {"drained with requests", "DRAIN", 0x08, 100, 1, 0, Traffic::draining, 0},
      {"drained", "DRAIN", 0x08, 100, 0, 0, Traffic::none, 0},
      {"drained and down", "DOWN", 0x08, 100, 0, 0, Traffic::none, 0},
      {"drained beside an old worker", "DRAIN", 0x08, 100, 0, 1, Traffic::draining, 0},
      {"drain inherited", "DRAIN", 0x10, 100, 0, 0, Traffic::none, 0},
      {"maint with requests", "MAINT", 0x01, 100, 1, 0, Traffic::draining, 0},
      {"maint", "MAINT", 0x05, 100, 0, 0, Traffic::none, 0},
      {"weight 0 stays UP", "UP", 0, 0, 0, 0, Traffic::none, 0},
  };
  for (const auto& [name, status, admin_state, weight, current, old_workers, traffic, effective] : cases) {
    SCOPED_TRACE(name);
    StatRow row;
    row.status = status;
    row.check_status = "L7OK";
    row.current = current;
    row.weight = 80;
    auto view = view_of(row, {"app", "s1", 2, admin_state, weight, 100}, old_workers);
    EXPECT_EQ(view.traffic, traffic);
    EXPECT_EQ(view.weight, effective);
    EXPECT_EQ(view.connections, static_cast<int>(current));
  }
}

TEST(HaproxyViewRules, TakeAServerForUpOnlyWithAllItsChecksPassed) {
  struct {
    const char* status;
    const char* check_status;
    Health health;
  } const cases[] = {
      {"UP", "L7OK", Health::up},
      {"DRAIN", "L4OK", Health::up},
      {"UP 1/3", "L7STS", Health::down},
      {"DRAIN 2/3", "L7STS", Health::down},
      {"DOWN", "L4CON", Health::down},
      {"DOWN 1/2", "L7OK", Health::down},
      {"NOLB", "L7OKC", Health::down},
      {"no check", "", Health::unchecked},
      {"DRAIN", "", Health::unchecked},
      {"MAINT", "L7OK", Health::unknown},
      {"MAINT", "", Health::unknown},
      {"UP", "INI", Health::unknown},
      {"whatever", "L7OK", Health::unknown},
  };
  for (const auto& [status, check_status, health] : cases) {
    SCOPED_TRACE(std::string(status) + ", " + check_status);
    StatRow row;
    row.status = status;
    row.check_status = check_status;
    EXPECT_EQ(health_of(row), health);
  }
}

TEST(HaproxyLogLine, IsReadOrSkippedOrMissed) {
  struct {
    const char* name;
    const char* text;
    std::variant<LogLine, NotOurs, Unreadable> meaning;
  } const cases[] = {
      {"a reset", R"({"t":1795402275.709,"be":"b","srv":"B","st":502,"term":"SH","Tr":-1,"Ta":0,"ret":"0"})", LogLine{"b", "B", 502}},
      {"redispatched", R"({"t":1.5,"be":"b","srv":"A","st":429,"term":"--","Tr":1,"Ta":0,"ret":"+1"})", LogLine{"b", "A", 429}},
      {"no server", R"({"be":"b","srv":"<NOSRV>","st":503})", LogLine{"b", "<NOSRV>", 503}},
      {"the client hung up", R"({"be":"b","srv":"A","st":-1})", LogLine{"b", "A", -1}},
      {"a sentence of HAProxy's", "Server b/A is going DOWN for maintenance.", NotOurs{}},
      {"nothing", "", NotOurs{}},
      {"cut off", R"({"be":"b","srv":"A","st":2)", Unreadable{}},
      {"another format", R"({"status":200})", Unreadable{}},
      {"a status that is none", R"({"be":"b","srv":"A","st":"200"})", Unreadable{}},
      {"an impossible status", R"({"be":"b","srv":"A","st":99999})", Unreadable{}},
      {"an impossible server", R"({"be":"b","srv":"A;B","st":200})", Unreadable{}},
  };
  for (const auto& [name, text, meaning] : cases) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(parse_log_line(text) == meaning);
  }
}

}  // namespace
}  // namespace shiftd::haproxy
