#pragma once

// A plain HTTP/1.1 client: one request on a connection of its own, and every wait bounded. What checks, adapters and
// shiftctl speak to others with.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/io/tls.hpp"

namespace shiftd {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string address;  // "host:port", "[IPv6]:port" or the path of a unix socket
  std::string target = "/";
  HttpHeaders headers;  // Host, User-Agent, Content-Length and Connection are added where they are not given
  std::string body;
  std::size_t reply_body_most = 1024 * 1024;   // bytes
  std::optional<TlsFiles> tls = std::nullopt;  // given: https, with the other side's certificate verified
};

struct HttpReply {
  int status = 0;
  HttpHeaders headers;  // as they came
  std::string body;

  // The first header of that name, whatever its case; nullptr when there is none.
  [[nodiscard]] const std::string* header(std::string_view name) const;
};

// Asks once. Any status is a success: what it means is the caller's business. Redirects are not followed.
// Fails with: bad_input (a request that cannot be written down), unreachable (nobody listens: nothing was done), refused
// (no permission for the unix socket), unauthenticated (TLS: one side did not accept the other's certificate), timed_out (no complete
// answer within `limit`), unexpected_reply (no HTTP, or it ended early), exhausted (a body larger than `reply_body_most`).
Task<Result<HttpReply>> http_exchange(Clock& clock, HttpRequest request, Duration limit);

// As http_exchange, but hands over the body of a 2xx answer piece by piece as it comes, for answers that do not end
// (server-sent events). Ends when the other side ends the body, or when `on_body` returns false. The reply then holds
// the head only; an answer other than 2xx is returned with its body, and `on_body` is never called.
// Fails as http_exchange; timed_out when nothing came for `idle_limit`, and for the head of the answer.
Task<Result<HttpReply>> http_stream(Clock& clock, HttpRequest request, std::function<bool(std::string_view chunk)> on_body,
                                    Duration idle_limit);

}  // namespace shiftd
