#pragma once

// A web server with good and with bad manners, on a loopback port and in a thread of its own.

#include <cstdint>
#include <memory>

namespace shiftd {

enum class Manner {
  answer,      // 200
  fail,        // 500
  reject,      // 429
  reset,       // reads the request and resets the connection
  garbage,     // answers what is not HTTP
  hang,        // reads the request and says nothing
  truncate,    // promises 10 bytes, sends 5, closes
  early_hint,  // 103, then 200
};

class OriginServer {
 public:
  OriginServer();
  ~OriginServer();
  OriginServer(const OriginServer&) = delete;
  OriginServer& operator=(const OriginServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // From the next request on. Those that hang are answered with 200 when the manner changes to `answer`.
  void behave(Manner manner);
  // Closes the port (connections are refused), and opens the same one again.
  void refuse();
  void listen();
  [[nodiscard]] int requests() const;
  // Requests read and not answered.
  [[nodiscard]] int hanging() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One request on a connection of its own. The status, or 0: the connection ended without one.
int http_get(std::uint16_t port);

}  // namespace shiftd
