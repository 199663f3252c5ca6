#pragma once

// The sha256 of a file, as 64 hex digits.

#include <string>

#include "daemon/base/failure.hpp"

namespace shiftd {

// Reads the file piece by piece; blocks the caller. Fails with bad_input: there is none; unavailable: it cannot be read to its end.
Result<std::string> sha256_of_file(const std::string& path);

}  // namespace shiftd
