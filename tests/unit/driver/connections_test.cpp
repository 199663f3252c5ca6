// What is asked of a host's ss, and what its lines mean.

#include "daemon/driver/connections.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

namespace shiftd {
namespace {

using ::testing::HasSubstr;

const HostPlace web1{"web1", "10.1.2.3:8080"};

TEST(ConnectionsCommand, AsksForThePortOfTheHostsAddress) {
  auto command = connections_command(web1, {});
  ASSERT_TRUE(command) << command.error();
  EXPECT_THAT(*command, HasSubstr("ss -Htn state established '( src :8080 )'"));
}

TEST(ConnectionsCommand, AsksForTheSocketsGivenButNotForThoseWhoseConnectionsNeverEnd) {
  IdleOptions options;
  options.sockets = {":443", "{{address}}"};
  options.ignore = {"10.64.1.2", "10.64.1.3"};
  auto command = connections_command(web1, options);
  ASSERT_TRUE(command) << command.error();
  EXPECT_THAT(*command, HasSubstr("'( src :443 or src 10.1.2.3:8080 ) and not ( dst 10.64.1.2 or dst 10.64.1.3 )'"));
}

TEST(ConnectionsCommand, RefusesWhatTheShellWouldUnderstand) {
  for (const char* socket : {"", ":80; reboot", "':80", "$(reboot):80", ":80 or src :81"}) {
    SCOPED_TRACE(socket);
    IdleOptions options;
    options.sockets = {socket};
    EXPECT_FALSE(connections_command(web1, options));
    options.sockets = {":80"};
    options.ignore = {socket};
    EXPECT_FALSE(connections_command(web1, options));
  }
}

TEST(ConnectionsIn, CountsWhoIsConnectedButNotTheHostItself) {
  const struct {
    const char* name;
    const char* lines;
    int count;
  } rows[] = {
      {"nobody", "", 0},
      {"two users", "0      0      10.1.2.3:8080   192.0.2.1:40001\n0 20 10.1.2.3:8080 192.0.2.1:40002\n", 2},
      {"the last line cut short of its end", "0 0 10.1.2.3:8080 192.0.2.1:40001", 1},
      {"the host's own check", "0 0 127.0.0.1:8080 127.0.0.1:40001\n", 0},
      {"IPv6", "0 0 [2001:db8::3]:8080 [2001:db8::9]:40001\n", 1},
      {"IPv4 on a socket of IPv6", "0 0 [::ffff:127.0.0.1]:8080 127.0.0.1:40001\n", 0},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    auto count = connections_in(row.lines);
    ASSERT_TRUE(count) << count.error();
    EXPECT_EQ(*count, row.count);
  }
}

TEST(ConnectionsIn, RefusesWhatSsDoesNotPrint) {
  for (const char* lines : {"ss: command not found\n", "0 0 somewhere\n", "0 0 10.1.2.3 192.0.2.1\n"}) {
    SCOPED_TRACE(lines);
    EXPECT_FALSE(connections_in(lines));
  }
}

}  // namespace
}  // namespace shiftd
