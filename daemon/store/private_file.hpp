#pragma once

// The files of the journal belong to the daemon's user alone: they hold commands, addresses and reasons.

#include <string>

#include "daemon/base/failure.hpp"

namespace shiftd {

// Makes an empty file of mode 0600, or takes that much from a file that others may read, with its WAL. Never opens an
// existing one: closing it would drop the locks that SQLite holds on it in this process.
// Fails with: unavailable, exhausted.
Result<void> make_private_file(const std::string& path);

}  // namespace shiftd
