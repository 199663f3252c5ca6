#pragma once

// Who we are to etcd.

#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd::conftool {

// The value of the Authorization header, from the text of a file like conftool's etcdrc: a line `username: ...` and a
// line `password: ...`, in quotes or without; other lines are left alone. Pure.
// Fails with bad_input, without a word of the text.
Result<std::string> parse_credentials(std::string_view text);

// Reads the file anew, so that a changed password counts from the next request on.
// Fails with: bad_input (it cannot be read, or others than its owner and group may read it).
Result<std::string> read_credentials(const std::string& path);

}  // namespace shiftd::conftool
