#pragma once

// The command by which a person writes an original back. Pure.

#include <string>
#include <string_view>

#include "lb-adapters/conftool/conftool.hpp"

namespace shiftd::conftool {

// One line for sh, with curl, at the first endpoint. It holds no secret: the password goes from its file through a pipe.
std::string restore_command(const ConftoolOptions& options, std::string_view key, std::string_view value);

}  // namespace shiftd::conftool
