#pragma once

// What every journal refuses before it looks at anything that it keeps: the same for all implementations.

#include <string_view>
#include <vector>

#include "daemon/store/journal.hpp"

namespace shiftd {

// Fail with bad_input, saying what is wrong and what is allowed.
Result<void> accepted_name(std::string_view kind, std::string_view name);
Result<void> accepted_text(std::string_view kind, std::string_view text);
Result<void> accepted_records(const std::vector<std::string>& records);

// The refusals of create and append, in the same words everywhere.
Failure exists_already(std::string_view rollout);
Failure no_such_rollout(std::string_view rollout);
Failure has_ended(std::string_view rollout);
Failure not_the_next(std::string_view rollout, std::uint64_t next, std::uint64_t expected);

}  // namespace shiftd
