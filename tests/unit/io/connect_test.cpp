#include "daemon/io/connect.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(ParseAddress, ReadsWhatPeopleWriteAndWritesItBack) {
  struct {
    std::string_view text;
    Address address;
  } const cases[] = {
      {"web3:8080", {"web3", 8080, {}}},
      {"10.1.2.3:80", {"10.1.2.3", 80, {}}},
      {"[::1]:65535", {"::1", 65535, {}}},
      {"/run/shiftd.sock", {{}, 0, "/run/shiftd.sock"}},
  };
  for (const auto& [text, address] : cases) {
    SCOPED_TRACE(text);
    auto parsed = parse_address(text);
    ASSERT_TRUE(parsed) << parsed.error();
    EXPECT_EQ(*parsed, address);
    EXPECT_EQ(to_string(*parsed), text);
  }
}

TEST(ParseAddress, RefusesWhatNamesNoPortOrNoHost) {
  const std::string too_long = "/" + std::string(107, 'x');
  const std::string_view cases[] = {"",          "web3",     "web3:",   ":80",    "web3:0",   "web3:65536", "web3:8o",
                                    "web3:-1",   "web3: 80", "::1:80",  "[::1]",  "[]:80",    "[x]:80",     "we[b:80",
                                    "web3:80/x", "a b:80",   "run/x:1", too_long, "web3:80 ", "web3:+80"};
  for (auto text : cases) {
    SCOPED_TRACE(text);
    auto parsed = parse_address(text);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, Errc::bad_input);
  }
}

}  // namespace
}  // namespace shiftd
