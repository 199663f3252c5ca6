#pragma once

// A connection to whoever listens at an address as people write it: "web3:8080", "10.1.2.3:8080", "[::1]:8080", or the
// path of a unix socket, "/run/shiftd.sock".

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct Address {
  std::string host;  // a name or an address, without brackets; empty for a unix socket
  std::uint16_t port = 0;
  std::string path;  // of a unix socket

  bool operator==(const Address&) const = default;
};

// Characters of a unix socket's path: sockaddr_un holds 108 bytes, the last of them a zero.
inline constexpr std::size_t unix_path_most = 107;

// Fails with bad_input, saying what was given and what would be right.
Result<Address> parse_address(std::string_view text);

// The way back: brackets around what has a colon in it.
std::string to_string(const Address& address);

using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

// Where a host listens: its address if it is one, else all that its name leads to.
// Fails with unreachable: the name is unknown.
// Cancelled: unwinds at once, also while the name is being resolved.
Task<Result<Endpoints>> endpoints_of(std::string host, std::uint16_t port);

using StreamSocket = boost::asio::generic::stream_protocol::socket;

// Connects to the first of the host's addresses that answers. It has no limit of its own: await it `within` one.
// Fails with: unreachable (nobody listens there, or the name is unknown), refused (no permission for the unix socket).
// Cancelled: unwinds at once, also while a name is being resolved.
Task<Result<StreamSocket>> connect_to(Address address);

}  // namespace shiftd
