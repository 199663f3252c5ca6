#pragma once

// What HAProxy's runtime socket answers, taken apart. The protocol has no status codes: a `set` that succeeded answers
// an empty line, and any text is an error; every reply ends with an empty line. Pure; the input is not trusted.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"

namespace shiftd::haproxy {

// The replies to `commands` commands that were sent joined by `;`, each without its closing empty line.
// Fails with unexpected_reply, when there are more or fewer of them or the last is cut off.
Result<std::vector<std::string>> split_replies(std::string_view text, std::size_t commands);

// Whether the reply to a `set` command means success.
// Fails with what the error text means: see failure_of().
Result<void> accepted(std::string_view reply);

// refused: we may not (`level admin`), or a static algorithm cannot. not_found: no such server or backend.
// unavailable: an old worker of a reload answered. unexpected_reply: any other text, which is quoted.
Failure failure_of(std::string_view error_text);

// What may stand in a command line as the name of a backend or server: anything else could become another command.
bool is_name(std::string_view text);

// At most 200 characters, on one line, nothing unprintable.
std::string in_quotes(std::string_view text);

}  // namespace shiftd::haproxy
