#include "daemon/base/time.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

using namespace std::chrono_literals;

TEST(Instant, IsWrittenInUtcWithMilliseconds) {
  EXPECT_EQ(to_string(Instant(1'764'000'000'007ms)), "2025-11-24T16:00:00.007Z");
  EXPECT_EQ(to_string(Instant(0ms)), "1970-01-01T00:00:00.000Z");
}

TEST(Duration, IsWrittenTheWayPeopleWriteIt) {
  EXPECT_EQ(to_string(Duration(0ms)), "0ms");
  EXPECT_EQ(to_string(Duration(250ms)), "250ms");
  EXPECT_EQ(to_string(Duration(1500ms)), "1.5s");
  EXPECT_EQ(to_string(Duration(45s)), "45s");
  EXPECT_EQ(to_string(Duration(90min)), "1h 30m");
  EXPECT_EQ(to_string(Duration(-2s)), "-2s");
}

}  // namespace
}  // namespace shiftd
