// The stable form of records: what is written is read back, for ever, and nothing else is.

#include "daemon/engine/codec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "daemon/engine/readable.hpp"
#include "tests/fakes/sample_records.hpp"

namespace shiftd {
namespace {

using ::testing::HasSubstr;

constexpr auto golden_path = SHIFTD_SOURCE_DIR "/tests/data/records/v1.jsonl";

std::vector<std::string> golden_lines() {
  std::ifstream file(golden_path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> encoded(const std::vector<Record>& records) {
  Codec codec;
  std::vector<std::string> lines;
  for (const auto& record : records) lines.push_back(codec.encode(record));
  return lines;
}

TEST(Codec, ReadsBackEveryKindOfRecord) {
  auto records = sample_records();
  std::set<std::size_t> kinds;
  for (const auto& record : records) kinds.insert(record.fact.index());
  EXPECT_EQ(kinds.size(), std::variant_size_v<Fact>) << "a kind is missing in tests/fakes/sample_records.cpp";
  Codec writer;
  Codec reader;
  for (const auto& record : records) {
    auto text = writer.encode(record);
    SCOPED_TRACE(text.substr(0, 300));
    auto read = reader.decode(text);
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, record);
    EXPECT_EQ(reader.encode(*read), text);
    EXPECT_TRUE(nlohmann::json::accept(text));
    EXPECT_EQ(text.find('\n'), std::string::npos) << "a record is one line";
  }
}

TEST(Codec, KeepsWhichConfigurationWasAskedFor) {
  Request request{"web-1", "web", {"2.0", "a-b", "/srv/web.tar.gz", "/srv/configs/12"}, {}, "alice", ""};
  Record record{Instant(Duration(1)), Requested{request}};
  Codec codec;
  auto text = codec.encode(record);
  EXPECT_THAT(text, HasSubstr(R"("config":"/srv/configs/12")"));
  auto read = Codec().decode(text);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(*read, record);
}

TEST(Codec, FoldsToTheSameRolloutAsApplying) {
  auto records = sample_records();
  Rollout live;
  for (const auto& record : records) apply(live, record);
  Codec codec;
  auto folded = fold(encoded(records), codec);
  ASSERT_TRUE(folded) << folded.error();
  EXPECT_EQ(*folded, live);
}

// These lines have been written by released versions. When this test fails, old journals can no longer be read: do not
// rewrite the file to please it; add lines for new kinds.
TEST(Codec, ReadsForEverWhatWasOnceWritten) {
  auto records = sample_records();
  auto lines = encoded(records);
  auto golden = golden_lines();
  if (std::getenv("SHIFTD_REWRITE") != nullptr) {
    std::ofstream file(golden_path, std::ios::app);
    for (; golden.size() < lines.size(); golden.push_back(lines[golden.size()])) file << lines[golden.size()] << '\n';
  }
  ASSERT_GE(golden.size(), records.size());
  Codec codec;
  for (std::size_t at = 0; at < golden.size(); ++at) {
    SCOPED_TRACE("line " + std::to_string(at + 1));
    auto read = codec.decode(golden[at]);
    ASSERT_TRUE(read) << read.error();
    if (at < records.size()) {
      EXPECT_EQ(*read, records[at]);
      EXPECT_EQ(lines[at], golden[at]) << "the stable form has changed";
    }
  }
}

Codec with_plan() {
  Codec codec;
  auto records = sample_records();
  codec.encode(records[0]);
  codec.encode(records[1]);
  return codec;
}

// What later versions added to a plan is left out where it says nothing, so the line above stays as it was.
TEST(Codec, ReadsBackWhatWasAddedToThePlanLater) {
  auto plan = sample_plan();
  plan.strategy.depooled = Depooled::skip;
  plan.strategy.max_members = 40;
  plan.strategy.prepare_ahead = every_host;
  plan.strategy.prepare_at_once = 80;
  plan.strategy.prepare_limit = std::chrono::minutes(30);
  for (auto& pool : plan.pools) {
    pool.capabilities.cuts_connections = true;
    pool.capabilities.writes_per_second = 9.5;
    pool.threshold = {"lvs1/app_80", 0.66, 12, 2};
    pool.margin = 0;
  }
  Codec codec;
  auto read = codec.decode(codec.encode(Record{Instant(Duration(5)), Planned{plan}}));
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->fact, Fact(Planned{plan}));
}

// With none at once nobody would ever be prepared.
TEST(Codec, RefusesAPlanThatPreparesNobody) {
  auto plan = sample_plan();
  plan.strategy.prepare_at_once = 0;
  Codec codec;
  auto read = codec.decode(codec.encode(Record{Instant(Duration(5)), Planned{plan}}));
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, HasSubstr("'prepare_at_once' is at least 1"));
}

TEST(Codec, AcceptsFieldsThatItDoesNotKnow) {
  auto codec = with_plan();
  auto read = codec.decode(R"({"v":1,"at":5,"is":"paused","by":"ada","mood":{"deep":[1,2]}})");
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(read->fact, Fact(Paused{"ada", ""}));
}

TEST(Codec, RefusesWhatItCannotUnderstand) {
  const struct {
    const char* name;
    const char* text;
    const char* why;
  } rows[] = {
      {"nothing", "", "parse error"},
      {"no JSON", "hello", "parse error"},
      {"truncated", R"({"v":1,"at":5,"is":"pau)", "parse error"},
      {"two records in one", R"({"v":1,"at":5,"is":"finishing"}{"v":1})", "parse error"},
      {"no object", "[1]", "a record is a JSON object"},
      {"no UTF-8", "{\"v\":1,\"at\":5,\"is\":\"held\",\"why\":\"\xff\"}", "parse error"},
      {"no version", R"({"at":5,"is":"finishing"})", "no field 'v'"},
      {"a newer version", R"({"v":2,"at":5,"is":"finishing"})", "record version 2; this shiftd reads version 1"},
      {"a version that converts", R"({"v":true,"at":5,"is":"finishing"})", "'v' is no integer"},
      {"no time", R"({"v":1,"is":"finishing"})", "no field 'at'"},
      {"half a millisecond", R"({"v":1,"at":5.5,"is":"finishing"})", "'at' is no integer"},
      {"a time as text", R"({"v":1,"at":"5","is":"finishing"})", "'at' is no integer"},
      {"a time beyond all", R"({"v":1,"at":99999999999999999999,"is":"finishing"})", "'at' is no integer"},
      {"no kind", R"({"v":1,"at":5})", "no field 'is'"},
      {"an unknown kind", R"({"v":1,"at":5,"is":"host_vanished"})", "unknown kind 'host_vanished'"},
      {"a kind that is no text", R"({"v":1,"at":5,"is":7})", "'is' is no text"},
      {"an unknown host", R"({"v":1,"at":5,"is":"host_moved","host":"db1","phase":"ready"})", "host 'db1' is not in the plan"},
      {"no host", R"({"v":1,"at":5,"is":"host_moved","phase":"ready"})", "no field 'host'"},
      {"a host by number", R"({"v":1,"at":5,"is":"host_moved","host":0,"phase":"ready"})", "'host' is no text"},
      {"an unknown phase", R"({"v":1,"at":5,"is":"host_moved","host":"web1","phase":"asleep"})", "phase 'asleep' is unknown"},
      {"a negative effect", R"({"v":1,"at":5,"is":"host_moved","host":"web1","phase":"ready","effect":-1})", "'effect' is no integer"},
      {"a truth that is a number", R"({"v":1,"at":5,"is":"host_moved","host":"web1","phase":"ready","failed":1})",
       "neither true nor false"},
      {"a reason that is a number", R"({"v":1,"at":5,"is":"held","why":1})", "'why' is no text"},
      {"an unknown member", R"({"v":1,"at":5,"is":"member_confirmed","member":"lb9/app/web1"})",
       "member 'lb9/app/web1' is not in the plan"},
      {"an unknown pooled state", R"({"v":1,"at":5,"is":"member_wanted","member":"lb1/app/web1","pooled":"maybe","weight":1})",
       "pooled 'maybe' is unknown"},
      {"a weight that is not whole", R"({"v":1,"at":5,"is":"member_wanted","member":"lb1/app/web1","pooled":"yes","weight":1.5})",
       "'weight' is no integer"},
      {"a weight beyond all", R"({"v":1,"at":5,"is":"member_wanted","member":"lb1/app/web1","pooled":"yes","weight":3000000000})",
       "'weight' is no integer"},
      {"bytes that are no hex",
       R"({"v":1,"at":5,"is":"member_set","member":"lb1/app/web1","pooled":"yes","weight":1,"bytes":{"hex":"0g"},"revision":""})",
       "'bytes' is no hex"},
      {"half a byte",
       R"({"v":1,"at":5,"is":"member_set","member":"lb1/app/web1","pooled":"yes","weight":1,"bytes":{"hex":"0"},"revision":""})",
       "'bytes' is no hex"},
      {"no bytes", R"({"v":1,"at":5,"is":"member_set","member":"lb1/app/web1","pooled":"yes","weight":1,"revision":""})",
       "no field 'bytes'"},
      {"a stage that is not planned", R"({"v":1,"at":5,"is":"stage_begun","stage":99})", "stage 99 is not in the plan"},
      {"an unknown outcome", R"({"v":1,"at":5,"is":"ended","outcome":"splendid"})", "outcome 'splendid' is unknown"},
      {"no plan", R"({"v":1,"at":5,"is":"planned"})", "no field 'plan'"},
      {"an empty plan", R"({"v":1,"at":5,"is":"planned","plan":{}})", "request"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto codec = with_plan();
    auto read = codec.decode(row.text);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::bad_input);
    EXPECT_THAT(read.error().what, HasSubstr(row.why));
  }
}

TEST(Codec, RefusesEveryTruncation) {
  auto lines = golden_lines();
  for (const auto& line : lines) {
    auto codec = with_plan();
    auto step = std::max<std::size_t>(1, line.size() / 50);
    for (std::size_t length = 0; length < line.size(); length += step) EXPECT_FALSE(codec.decode(line.substr(0, length)));
  }
}

// Each field of the plan in turn is taken away, or made something else: never accepted as if it were well.
TEST(Codec, RefusesAPlanWithAnyFieldMissingOrOfAnotherType) {
  auto whole = nlohmann::json::parse(golden_lines().at(1));
  const std::set<std::string> optional = {"floor_bp", "max_load", "stages", "pools", "hosts"};
  int tried = 0;
  std::function<void(const nlohmann::json::json_pointer&)> visit = [&](const nlohmann::json::json_pointer& at) {
    const auto& here = whole.at(at);
    if (here.is_object() || (here.is_array() && !here.empty() && here.front().is_object())) {
      for (const auto& item : here.items()) {
        auto below = here.is_array() ? at / static_cast<std::size_t>(std::stoul(item.key())) : at / item.key();
        visit(below);
      }
    }
    if (at.empty() || here.is_array() || at.back().ends_with("_ms")) return;
    if (!optional.contains(at.back()) && !whole.at(at.parent_pointer()).is_array()) {
      auto without = whole;
      without.at(at.parent_pointer()).erase(at.back());
      EXPECT_FALSE(Codec().decode(without.dump())) << "without " << at.to_string();
    }
    auto other = whole;
    other.at(at) = nullptr;
    EXPECT_FALSE(Codec().decode(other.dump())) << "null for " << at.to_string();
    ++tried;
  };
  visit(nlohmann::json::json_pointer("/plan"));
  EXPECT_GT(tried, 100);
}

TEST(Codec, RefusesAPlanThatNamesTwoThingsAlike) {
  auto whole = nlohmann::json::parse(golden_lines().at(1));
  auto twice = whole;
  twice["plan"]["hosts"][1]["name"] = "web1";
  twice["plan"]["hosts"][0]["name"] = "web1";
  auto read = Codec().decode(twice.dump());
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().what, HasSubstr("names host 'web1' twice"));
  auto members = whole;
  members["plan"]["hosts"][0]["members"][1] = members["plan"]["hosts"][0]["members"][0];
  EXPECT_FALSE(Codec().decode(members.dump()));
}

TEST(Codec, KeepsTheBytesOfAStoreExactly) {
  auto plan = sample_plan();
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const auto& bytes :
       {std::string(), std::string("plain"), std::string("\x00", 1), std::string("\u00e9\n"), std::string("\xc0\x80"), all}) {
    Codec codec = with_plan();
    Record record{Instant(Duration(1)), MemberSet{0, 1, {{Pooled::yes, 1}, bytes, bytes}}};
    auto read = codec.decode(codec.encode(record));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, record);
  }
}

TEST(Codec, NeverThrowsOnTextThatIsNoUtf8) {
  auto request = sample_plan().request;
  request.reason = "caf\xe9";
  auto text = Codec().encode({Instant(Duration(1)), Requested{request}});
  auto read = Codec().decode(text);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(std::get<Requested>(read->fact).request.reason, "caf\ufffd");
}

TEST(Fold, NamesTheRecordThatItCannotRead) {
  auto lines = encoded(sample_records());
  lines[3] = "{}";
  Codec codec;
  auto folded = fold(lines, codec);
  ASSERT_FALSE(folded);
  EXPECT_THAT(folded.error().what, ::testing::StartsWith("record 3: "));
}

TEST(Fold, RefusesHostsBeforeTheirPlan) {
  auto lines = encoded(sample_records());
  lines.erase(lines.begin() + 1);
  Codec codec;
  EXPECT_FALSE(fold(lines, codec));
}

TEST(Readable, KeepsWhatPeopleCanReadAndNothingElse) {
  const struct {
    std::string text;
    std::string read;
  } rows[] = {
      {"plain", "plain"},
      {"caf\u00e9 \U0001f600\n\t", "caf\u00e9 \U0001f600\n\t"},
      {std::string("a\0b", 3), "a?b"},
      {"esc \x1b[31m", "esc ?[31m"},
      {"\xff\xc3", "??"},
      {"\xc0\x80", "??"},            // overlong
      {"\xed\xa0\x80", "???"},       // a surrogate
      {"\xf4\x90\x80\x80", "????"},  // beyond Unicode
  };
  for (const auto& row : rows) {
    EXPECT_EQ(readable(row.text), row.read);
    EXPECT_TRUE(is_utf8(readable(row.text)));
  }
  EXPECT_EQ(readable(std::string(5'000, 'x'), 10), "xxxxxxxxxx...");
  EXPECT_EQ(readable("xxxxxxxxx\u00e9y", 10), "xxxxxxxxx\u00e9...");
}

}  // namespace
}  // namespace shiftd
