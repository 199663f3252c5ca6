#pragma once

// Where a network check asks: the host's own address, or another port of it.

#include "checks/check.hpp"
#include "daemon/io/connect.hpp"

namespace shiftd {

inline bool is_port_or_none(int port) { return port >= 0 && port <= 65535; }

// Fails with bad_input: the target's address is none.
inline Result<Address> address_of(const CheckTarget& target, int port) {
  auto address = parse_address(target.address);
  if (address && port != 0) address->port = static_cast<std::uint16_t>(port);
  return address;
}

}  // namespace shiftd
