#include "daemon/shiftctl/events.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

const std::string feed =
    "retry: 1000\n\nid: 7\nevent: held\ndata: {\"is\":\"held\"}\n\n: keepalive\n\nid: 8\r\nevent: ended\r\ndata: one\r\ndata: "
    "two\r\n\r\nevent: "
    "end\ndata: {}\n\n";

void expect_feed(const std::vector<SentEvent>& events) {
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].id, "7");
  EXPECT_EQ(events[0].event, "held");
  EXPECT_EQ(events[0].data, "{\"is\":\"held\"}");
  EXPECT_EQ(events[1].id, "8");
  EXPECT_EQ(events[1].data, "one\ntwo");
  EXPECT_EQ(events[2].id, "");
  EXPECT_EQ(events[2].event, "end");
}

TEST(SentEvents, AreTheSameHoweverTheyArePieced) {
  for (std::size_t size = 1; size <= feed.size(); ++size) {
    SCOPED_TRACE(size);
    SentEvents events;
    std::vector<SentEvent> all;
    for (std::size_t at = 0; at < feed.size(); at += size) {
      for (auto& event : events.take(std::string_view(feed).substr(at, size))) all.push_back(std::move(event));
    }
    expect_feed(all);
  }
}

TEST(SentEvents, AreNotThereBeforeTheirEnd) {
  SentEvents events;
  EXPECT_TRUE(events.take("id: 1\ndata: x\n").empty());
  EXPECT_EQ(events.take("\n").size(), 1U);
}

TEST(SentEvents, StopAtALineWithoutEnd) {
  SentEvents events;
  std::string piece(std::size_t{1} << 20, 'x');
  for (int count = 0; count < 100 && !events.broken(); ++count) events.take(piece);
  EXPECT_TRUE(events.broken());
}

}  // namespace
}  // namespace shiftd
