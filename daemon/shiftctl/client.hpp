#pragma once

// The daemon, as shiftctl reaches it.

#include <cstdint>
#include <functional>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/http_client.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct Daemon {
  std::string address;  // the path of its socket, or host:port
  std::string token;    // for host:port
  std::string user;     // for host:port: who we say we are
};

class DaemonClient {
 public:
  // `clock` outlives it.
  DaemonClient(Clock& clock, Daemon daemon) : clock_(clock), daemon_(std::move(daemon)) {}

  // The body of a 2xx answer.
  // Fails with: unreachable: no answer, and what stood in the way; else what the daemon said: not_found, conflict,
  // bad_input, unauthenticated, refused, unavailable.
  Task<Result<std::string>> ask(std::string method, std::string target, std::string body = "");

  struct Following {
    std::string rollout;
    std::uint64_t from = 0;                                                // the first record wanted
    Duration patience{std::chrono::seconds(60)};                           // how long the daemon may be silent
    std::function<bool(std::uint64_t number, std::string record)> record;  // false: enough
    std::function<void(const Failure&)> lost;                              // the feed broke off, and is sought again; may be empty
  };
  // Hands over the rollout's records from `from` on, each once, over any number of connections and restarts of the
  // daemon. Ends with the rollout, or when `record` has enough.
  // Fails with: unreachable: nothing was heard for `patience`; not_found ... as ask().
  Task<Result<void>> follow(Following following);

  [[nodiscard]] Clock& clock() const { return clock_; }
  [[nodiscard]] const std::string& address() const { return daemon_.address; }

 private:
  [[nodiscard]] HttpRequest request(std::string method, std::string target) const;

  Clock& clock_;
  Daemon daemon_;
};

}  // namespace shiftd
