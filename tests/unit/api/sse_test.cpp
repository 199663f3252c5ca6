#include "daemon/api/sse.hpp"

#include <gtest/gtest.h>

#include "daemon/engine/codec.hpp"

namespace shiftd {
namespace {

TEST(EventText, CarriesTheRecordWithItsNumberAndKind) {
  auto record = Codec().encode({Instant(Duration(7)), Held{"lb1 is silent"}});
  EXPECT_EQ(event_text(12, record), "id: 12\nevent: held\ndata: {\"v\":1,\"at\":7,\"is\":\"held\",\"why\":\"lb1 is silent\"}\n\n");
}

TEST(EventText, CannotBeBrokenOutOf) {
  EXPECT_EQ(event_text(1, "{\"is\":\"a\nid: 9\"}"), "id: 1\nevent: record\ndata: {\"is\":\"a\ndata: id: 9\"}\n\n");
}

TEST(KindOfARecord, IsReadFromItsStart) {
  EXPECT_EQ(kind_of_record(R"({"v":1,"at":7,"is":"host_moved","why":"\"is\":\"ended\""})"), "host_moved");
  for (const auto* record : {"", "{}", R"({"is":""})", R"({"is":"Ended"})", R"({"is":"a b"})"})
    EXPECT_EQ(kind_of_record(record), "record") << record;
}

}  // namespace
}  // namespace shiftd
