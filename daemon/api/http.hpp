#pragma once

// One request and one answer of the control API, as everything but the sockets sees them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

struct ApiRequest {
  std::string method;
  std::string target;  // as it came: path and query
  std::string body;
  std::string last_event_id;  // the header; empty: not given
  std::string by;             // who asks, once the server knows
};

// A rollout's records from one number on, for as long as the rollout lasts.
struct Feed {
  std::string rollout;
  std::uint64_t from = 0;
};

struct ApiAnswer {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  std::string allow;         // for 405: what the path does answer
  std::optional<Feed> feed;  // then there is no body: server-sent events follow
};

// 404 for not_found, 409 for conflict ...
int http_status(Errc code);

// {"error": {"code": "not_found", "what": "no rollout 'web-7'"}}
ApiAnswer refuse(int status, std::string_view code, std::string_view what);
ApiAnswer refuse(const Failure& failure);

}  // namespace shiftd
