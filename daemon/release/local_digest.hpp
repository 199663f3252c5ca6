#pragma once

// The sha256 of a file on the daemon's own machine.

#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

// 64 hex digits. Reads a piece at a time and gives the loop its turn in between.
// Fails with bad_input when the file cannot be read.
Task<Result<std::string>> sha256_of_file(std::string path);

}  // namespace shiftd
