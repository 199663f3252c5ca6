#pragma once

// One connection of the API: requests and answers in turn, and server-sent events.

#include <cstddef>
#include <memory>

#include "daemon/api/identity.hpp"
#include "daemon/driver/control.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/connect.hpp"

namespace shiftd {

struct ApiLimits {
  std::size_t connections = 256;
  std::size_t head = 16 * 1024;                  // bytes of a request's head
  std::size_t body = 1024 * 1024;                // bytes of its body
  Duration idle{std::chrono::seconds(60)};       // between requests, and for a whole head
  Duration read{std::chrono::seconds(30)};       // for a body
  Duration write{std::chrono::seconds(30)};      // for one answer, or one event
  Duration keepalive{std::chrono::seconds(15)};  // between signs of life on an event feed
};

// What all sessions share; outlives them.
struct ApiShared {
  Control& control;
  Clock& clock;
  ApiLimits limits;
  UserNames users;
};

// Talks until the other side ends it, a limit is passed or the protocol is broken. `token`: what a caller must show;
// nothing on a unix socket, where the kernel says who it is.
Task<> converse(ApiShared& shared, StreamSocket socket, std::shared_ptr<const Tokens> tokens);

}  // namespace shiftd
