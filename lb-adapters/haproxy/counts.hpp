#pragma once

// Requests and failures per server out of `show stat`'s counters, which do not say them. Pure.
//
// HAProxy counts a 502, 503 or 504 that it makes itself for the backend, and not for the server that refused, reset,
// hung or answered nonsense: a canary that is quite dead shows no 5xx on its row. What its row does show is a session
// that was begun (stot) and neither answered (hrsp_*), repeated (wretr), given to another server (wredis) nor still in
// progress. So
//
//   begun - answered - repeated - given away = unanswered + in progress without a status yet
//
// and of the sessions in progress (scur) nobody says how many have their status already. Hence two bounds: unanswered is
// at least the left side minus scur, and only a growing maximum of that is reported: a failure may be reported later
// than it happened, when traffic is dense, and is never made up. Two more things keep it honest:
//  - all unanswered requests together are at most the 5xx that the backend row has and the server rows do not, so that a
//    client that hung up, or a row read while it moved, is not taken for a failure;
//  - hrsp_1xx counts informational answers too (103, then 200 is one request): it is believed only as far as the backend
//    row, which counts each request once at its end, confirms it.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "daemon/base/failure.hpp"
#include "lb-adapters/front_end.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"

namespace shiftd::haproxy {

// The counters of a row, which only grow until they are reset.
struct Columns {
  std::int64_t begun = 0;
  std::int64_t repeated = 0;  // on the same server, or given to another
  std::int64_t informational = 0;
  std::int64_t final = 0;   // 2xx to 5xx and other
  std::int64_t errors = 0;  // the 5xx among them

  bool operator==(const Columns&) const = default;
};

class RequestCounts {
 public:
  // What was counted since the last call. `rows` are all rows of one backend, read at one instant; a row whose server
  // is gone is forgotten.
  CountsReading advance(const std::string& epoch, std::span<const StatRow> rows);

  // JSON. restore() fails with bad_input, and then changes nothing.
  [[nodiscard]] std::string checkpoint() const;
  Result<void> restore(const std::string& checkpoint);

 private:
  struct Server {
    Columns last;
    Columns since;                        // the local life: since the first reading, or the last reset
    std::int64_t informational_then = 0;  // of the backend, when this life began
    std::int64_t most = 0;                // the greatest lower bound of unanswered seen in this life
    std::int64_t owed = 0;                // in progress when this life began, as far as is known
    std::int64_t settled = 0;             // unanswered in former lives
    std::int64_t unanswered = 0;          // in all, as reported; never falls

    bool operator==(const Server&) const = default;
  };

  // Adds what the columns grew by to `last` and returns it; a counter that fell was reset, and counts from 0.
  static Columns grow(Columns& last, const Columns& now, bool new_epoch, bool* reset);

  std::string epoch_;
  std::map<std::string, Server> servers_;
  Columns backend_;
  std::int64_t informational_ = 0;   // of the backend row, since the first reading
  std::int64_t made_here_ = 0;       // 5xx of the backend row that no server row has, since the first reading
  std::int64_t made_here_most_ = 0;  // its greatest value: server rows are ahead of the backend row for a moment
  std::int64_t unattributed_ = 0;    // as reported
};

}  // namespace shiftd::haproxy
