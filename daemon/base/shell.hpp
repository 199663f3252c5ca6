#pragma once

// Words for a POSIX shell on the other side.

#include <string>
#include <string_view>

namespace shiftd {

// `text` as one word that a shell passes on unchanged, whatever it holds: it's -> 'it'\''s'.
std::string shell_quote(std::string_view text);

}  // namespace shiftd
