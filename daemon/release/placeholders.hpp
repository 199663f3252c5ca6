#pragma once

// {{host}}, {{address}} and their kind in paths, commands and URLs.

#include <map>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

using Placeholders = std::map<std::string, std::string, std::less<>>;

// `text` with each {{name}} replaced.
// Fails with bad_input: a name that is not in `values`, or braces that do not close.
Result<std::string> fill_placeholders(std::string_view text, const Placeholders& values);

// The same for a text that a shell reads. A value may stand inside quotes of any kind or none, so none is quoted here:
// one that holds anything a shell could take for more than itself is refused with bad_input.
Result<std::string> fill_placeholders_for_shell(std::string_view text, const Placeholders& values);

}  // namespace shiftd
