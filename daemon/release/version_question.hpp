#pragma once

// Which release runs on a host, by the service's own word. And words that every releaser shares.

#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/placeholders.hpp"

namespace shiftd {

// Asks `version_url`, or `version_command` on the host, once.
// Fails with unavailable (no good answer), bad_input (what is configured cannot be asked), and as the executor does.
Task<Result<std::string>> ask_version(Clock& clock, const ReleaseOptions& options, Executor& host, Placeholders values);

// Asks until the answer `names` the release or `prove_limit` has passed: the old process may answer for a moment.
// Fails with: refused (another release answers: says which), timed_out, unreachable, bad_input.
using Names = bool (*)(std::string_view answer, std::string_view release);
Task<Result<void>> prove_version(Clock& clock, const ReleaseOptions& options, Executor& host, Placeholders values, std::string release,
                                 Names names);

// The end of an output, for people.
std::string_view last_words(std::string_view output);

// What Executor::job says, in the words of Releaser::upgrade: a job that was not let in has done nothing; one that vanished
// may have done all; one that was ended at its limit has failed.
Failure in_a_releasers_words(Failure failure);

}  // namespace shiftd
