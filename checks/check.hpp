#pragma once

// A question about one host, answered ok, warning, critical or unknown: the Nagios contract. Unknown is not ok.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

enum class CheckStatus : std::uint8_t { ok, warning, critical, unknown };

std::string_view to_string(CheckStatus status);

struct CheckResult {
  CheckStatus status = CheckStatus::unknown;
  std::string text;  // one line for people: "GET /healthz: 503, wanted 200"
};

struct CheckTarget {
  std::string host;
  std::string address;           // "10.1.2.3:8080"; a check may name another port
  Executor* executor = nullptr;  // for checks that run on the host
};

class Check {
 public:
  virtual ~Check() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  // One attempt, which ends within the check's own timeout: what does not answer in time is critical, what could not
  // even be asked is unknown. Never fails otherwise than by its result. May be asked about many hosts at once.
  virtual Task<CheckResult> ask(CheckTarget target) = 0;
};

// How often and how long a host may be asked before the answer counts.
struct CheckPolicy {
  int attempts = 3;                             // the first good answer ends it
  Duration pause{std::chrono::seconds(1)};      // between attempts
  Duration deadline{std::chrono::seconds(30)};  // for all checks of one host together
  bool warning_is_ok = true;
};

// Asks all checks of a host at once, each with its attempts: the last answer of each, in their order.
// Fails with bad_input.
Task<Result<std::vector<CheckResult>>> ask_checks(Clock& clock, std::vector<std::shared_ptr<Check>> checks, CheckTarget target,
                                                  CheckPolicy policy);

bool good(const CheckResult& result, const CheckPolicy& policy);

// As ask_checks(). Succeeds when all are ok.
// Fails with refused, naming every check that was not, with its last answer: "healthz critical: GET /healthz: 503, wanted
// 200; disk unknown: not answered within 30s".
Task<Result<void>> run_checks(Clock& clock, std::vector<std::shared_ptr<Check>> checks, CheckTarget target, CheckPolicy policy);

// What somebody else wrote, fit for one line of ours: at most `most` bytes of the first line, control characters as '?'.
std::string one_line(std::string_view text, std::size_t most = 200);

}  // namespace shiftd
