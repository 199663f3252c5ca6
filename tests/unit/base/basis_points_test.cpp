#include "daemon/base/basis_points.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(ParseShare, ReadsPercentagesAsBasisPoints) {
  struct {
    std::string_view text;
    int basis_points;
  } const cases[] = {{"0%", 0}, {"1%", 100}, {"2.5%", 250}, {"0.01%", 1}, {"99.99%", 9'999}, {"100%", 10'000}, {"100.00%", 10'000}};
  for (const auto& [text, basis_points] : cases) {
    SCOPED_TRACE(text);
    auto share = parse_share(text);
    ASSERT_TRUE(share) << share.error();
    EXPECT_EQ(share->value, basis_points);
  }
}

TEST(ParseShare, RefusesWhatItCannotRepresentExactly) {
  for (auto text : {"", "%", "5", "-1%", "100.01%", "0.001%", "1e1%", "5 %", ".5%", "1.%", "1000000%", "1..2%"}) {
    EXPECT_FALSE(parse_share(text)) << text;
  }
}

TEST(BasisPoints, AreWrittenTheWayTheyAreRead) {
  for (auto text : {"0%", "1%", "2.5%", "0.04%", "100%"}) EXPECT_EQ(to_string(parse_share(text).value()), text);
}

TEST(Percent, SaysWhatAPersonNeeds) {
  EXPECT_EQ(percent(0), "0%");
  EXPECT_EQ(percent(0.011), "1.1%");
  EXPECT_EQ(percent(0.00043), "0.04%");
  EXPECT_EQ(percent(0.00001), "<0.01%");
  EXPECT_EQ(percent(1), "100%");
}

}  // namespace
}  // namespace shiftd
