#pragma once

// What the jobs of a rollout have said on a host, for people.

#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

inline constexpr int job_log_most = 64 * 1024;  // bytes of one job: its last ones

// What prints them on the host.
std::string job_logs_script(const std::string& base, const std::string& rollout);

// The outputs of the jobs below <base>/.shiftd/jobs whose ids begin with "<rollout>-", the oldest first, each between a
// line with its id and when it began and one with how it ended. Masked; may be called while they run. Empty: there was none.
// Fails as Executor::run().
Task<Result<std::string>> job_logs(Executor& host, std::string base, std::string rollout);

// The text with what looks like a secret replaced by ***: values of names such as password, token or secret, and passwords
// in URLs.
std::string masked(std::string_view text);

}  // namespace shiftd
