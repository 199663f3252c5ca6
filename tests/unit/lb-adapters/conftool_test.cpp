// What is read and written of conftool's objects, as text.

#include <gtest/gtest.h>

#include "lb-adapters/conftool/credentials.hpp"
#include "lb-adapters/conftool/etcd_reply.hpp"
#include "lb-adapters/conftool/member_value.hpp"
#include "lb-adapters/conftool/restore_command.hpp"

namespace shiftd::conftool {
namespace {

TEST(ConftoolValue, UnderstandsWhatConftoolWrites) {
  struct {
    const char* bytes;
    Setting setting;
  } const cases[] = {
      {R"({"weight": 10, "pooled": "yes"})", {Pooled::yes, 10}},
      {R"({"pooled":"no","weight":0})", {Pooled::no, 0}},
      {R"({"weight": 0, "pooled": "inactive"})", {Pooled::inactive, 0}},
      {"{\n \"rack\": {\"pooled\": \"no\", \"weight\": 3},\n \"weight\": 65535, \"pooled\": \"yes\"}\n", {Pooled::yes, 65535}},
  };
  for (const auto& [bytes, setting] : cases) {
    auto parsed = parse_value(bytes, 65535);
    ASSERT_TRUE(parsed) << bytes << ": " << parsed.error();
    EXPECT_EQ(*parsed, setting) << bytes;
    EXPECT_EQ(with_setting(bytes, setting), bytes) << "the same setting, so the same bytes";
  }
}

TEST(ConftoolValue, SaysWhatIsWrongWithWhatPyBalWouldIgnoreOrMisread) {
  struct {
    const char* bytes;
    const char* says;
  } const cases[] = {
      {"", "no JSON"},
      {"yes", "no JSON"},
      {R"({"weight": 10, "pooled": "yes")", "no JSON"},
      {R"({"weight": 10, "pooled": "yes"} x)", "no JSON"},
      {R"(["weight", "pooled"])", "no JSON object"},
      {R"({"weight": 10})", "pooled is missing"},
      {R"({"pooled": "yes"})", "weight is missing"},
      {R"({"weight": 10, "pooled": "yes", "weight": 20})", "weight is given twice"},
      {R"({"weight": 10, "pooled": "yes", "p\u006foled": "no"})", "pooled is given twice"},
      {R"({"weight": "7", "pooled": "yes"})", "weight is no integer but string"},
      {R"({"weight": 7.5, "pooled": "yes"})", "weight is no integer but number"},
      {R"({"weight": 1e1, "pooled": "yes"})", "weight is no integer but number"},
      {R"({"weight": true, "pooled": "yes"})", "weight is no integer but boolean"},
      {R"({"weight": null, "pooled": "yes"})", "weight is no integer but null"},
      {R"({"weight": -1, "pooled": "yes"})", "weight is negative"},
      {R"({"weight": 0, "pooled": "yes"})", "weight 0 while pooled"},
      {R"({"weight": 65536, "pooled": "no"})", "weight_most"},
      {R"({"weight": 18446744073709551615, "pooled": "no"})", "weight_most"},
      {R"({"weight": 10, "pooled": "maybe"})", "pooled is neither"},
      {R"({"weight": 10, "pooled": "Yes"})", "pooled is neither"},
      {R"({"weight": 10, "pooled": true})", "pooled is no text"},
  };
  for (const auto& [bytes, says] : cases) {
    auto parsed = parse_value(bytes, 65535);
    ASSERT_FALSE(parsed) << bytes;
    EXPECT_NE(parsed.error().what.find(says), std::string::npos) << bytes << ": " << parsed.error();
  }
  EXPECT_FALSE(parse_value(std::string(value_size_most + 1, ' '), 65535));
}

TEST(ConftoolValue, ChangesTheTwoFieldsAndNoOtherByte) {
  struct {
    const char* before;
    const char* after;
  } const cases[] = {
      {R"({"weight": 10, "pooled": "yes"})", R"({"weight": 3, "pooled": "no"})"},
      {R"({"pooled":"yes","weight":10})", R"({"pooled":"no","weight":3})"},
      {R"({ "a\"}": [1, {"weight": 2}], "weight" :  10 , "é": "\u00e9}", "pooled":"inactive" , "n": 1.50e0 } )",
       R"({ "a\"}": [1, {"weight": 2}], "weight" :  3 , "é": "\u00e9}", "pooled":"no" , "n": 1.50e0 } )"},
      {R"({"w\u0065ight": 10, "pooled": "yes"})", R"({"w\u0065ight": 3, "pooled": "no"})"},
  };
  for (const auto& [before, after] : cases) {
    ASSERT_TRUE(parse_value(before, 100)) << before;
    EXPECT_EQ(with_setting(before, {Pooled::no, 3}), after);
  }
}

TEST(ConftoolValue, WritesWhatConftoolWouldWrite) { EXPECT_EQ(value_for({Pooled::yes, 10}), R"({"weight": 10, "pooled": "yes"})"); }

TEST(ConftoolRevision, IsAClusterAndAnIndex) {
  auto revision = parse_revision("cdf818194e3a8c32:1602");
  ASSERT_TRUE(revision);
  EXPECT_EQ(revision->epoch, "cdf818194e3a8c32");
  EXPECT_EQ(revision->index, 1602u);
  EXPECT_EQ(to_string(*revision), "cdf818194e3a8c32:1602");
  for (const char* text : {"", ":", "a:", ":1", "1602", "a:-1", "a:1x", "a:18446744073709551616"})
    EXPECT_FALSE(parse_revision(text)) << text;
}

TEST(EtcdReply, ReadsNodesAndDirectories) {
  auto one = parse_keys(R"({"action":"get","node":{"key":"/a/b","value":"{\"weight\": 10}","modifiedIndex":1592,"createdIndex":1}})");
  ASSERT_TRUE(one) << one.error();
  EXPECT_EQ(one->node, (EtcdNode{"/a/b", R"({"weight": 10})", 1592}));
  auto folder = parse_keys(R"({"action":"get","node":{"key":"/a","dir":true,"nodes":[{"key":"/a/b","value":"x","modifiedIndex":7},
                              {"key":"/a/c","dir":true,"modifiedIndex":8}],"modifiedIndex":3}})");
  ASSERT_TRUE(folder) << folder.error();
  EXPECT_FALSE(folder->node.value);
  EXPECT_EQ(folder->children, (std::vector<EtcdNode>{{"/a/b", "x", 7}, {"/a/c", std::nullopt, 8}}));
}

TEST(EtcdReply, TrustsNothing) {
  for (const char* body : {"", "null", "[]", "{}", R"({"node":7})", R"({"node":{"key":"/a"}})", R"({"node":{"key":7,"modifiedIndex":1}})",
                           R"({"node":{"key":"/a","modifiedIndex":-1}})", R"({"node":{"key":"/a","modifiedIndex":1.5}})",
                           R"({"node":{"key":"/a","modifiedIndex":1,"value":7}})", R"({"node":{"key":"/a","modifiedIndex":1,"nodes":{}}})",
                           R"({"node":{"key":"/a","modifiedIndex":1,"nodes":[1]}})"}) {
    auto reply = parse_keys(body);
    ASSERT_FALSE(reply) << body;
    EXPECT_EQ(reply.error().code, Errc::unexpected_reply);
  }
}

TEST(EtcdReply, TellsANoFromATrouble) {
  struct {
    int status;
    const char* body;
    Errc code;
  } const cases[] = {
      {404, R"({"errorCode":100,"message":"Key not found","cause":"/a","index":7})", Errc::not_found},
      {412, R"({"errorCode":101,"message":"Compare failed","cause":"[1592 != 1602]","index":1602})", Errc::conflict},
      {400, R"({"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"","index":1}))",
       Errc::unexpected_reply},
      {400, R"({"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"","index":1})",
       Errc::unavailable},
      {401, R"({"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0})",
       Errc::unauthenticated},
      {401, "<html>", Errc::unauthenticated},
      {403, "<html>", Errc::refused},
      {500, R"({"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: request timed out","index":0})", Errc::unavailable},
      {504, "<html>", Errc::unavailable},
      {302, "", Errc::unexpected_reply},
      {404, "not etcd", Errc::unexpected_reply},
  };
  for (const auto& [status, body, code] : cases) EXPECT_EQ(failure_of(status, body).code, code) << status << " " << body;
  EXPECT_EQ(failure_of(412, cases[1].body).what, "Compare failed: [1592 != 1602]");
}

TEST(ConftoolCredentials, ReadsAnEtcdrc) {
  // printf 'conftool:s3cret' | base64
  for (const char* text : {"username: conftool\npassword: s3cret\n", "---\nhost: x\npassword: \"s3cret\"\r\nusername: 'conftool'"}) {
    auto header = parse_credentials(text);
    ASSERT_TRUE(header) << header.error();
    EXPECT_EQ(*header, "Basic Y29uZnRvb2w6czNjcmV0");
  }
  EXPECT_EQ(*parse_credentials("username: a\npassword: b"), "Basic YTpi");
  EXPECT_EQ(*parse_credentials("username: a\npassword: bc"), "Basic YTpiYw==");
  EXPECT_EQ(*parse_credentials("username: a\npassword: \xff\xfe"), "Basic YTr//g==");
}

TEST(ConftoolCredentials, NeverRepeatsASecret) {
  for (const char* text : {"", "username: conftool", "password: s3cret", "s3cret", "username: a:b\npassword: s3cret"}) {
    auto header = parse_credentials(text);
    ASSERT_FALSE(header) << text;
    EXPECT_EQ(header.error().what.find("s3cret"), std::string::npos);
  }
}

TEST(ConftoolRestore, IsACommandForAShell) {
  ConftoolOptions options;
  options.endpoints = {"https://conf1:4001"};
  EXPECT_EQ(
      restore_command(options, "/c/h", R"({"weight": 10, "owner": "o'neill"})"),
      R"(curl -sS --fail-with-body -X PUT --data-urlencode 'value={"weight": 10, "owner": "o'\''neill"}' 'https://conf1:4001/v2/keys/c/h?prevExist=true')");
  EXPECT_NE(restore_command(options, "/c/h", "{\n}").find("--data 'value=%7B%0A%7D'"), std::string::npos);
  options.tls = {"/ca", "/cert", "/key"};
  EXPECT_NE(restore_command(options, "/c/h", "{}").find(" --cacert '/ca' --cert '/cert' --key '/key' "), std::string::npos);
}

}  // namespace
}  // namespace shiftd::conftool
