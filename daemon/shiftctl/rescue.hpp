#pragma once

// Putting everything back without a daemon: from the journal alone, the commands that write every original back.

#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/engine/rollout.hpp"

namespace shiftd {

// Only comments (#) and commands, so that it can be piped to sh once it has been read. Empty: every member that we
// touched is at its original.
std::string rescue_text(const Rollout& rollout);

// Of every rollout in the journal at `path`, or of one.
// Fails with: not_found, bad_input, unavailable, as the journal is; a record that cannot be read is named.
Result<std::string> rescue(const std::string& path, const std::string& rollout);

}  // namespace shiftd
