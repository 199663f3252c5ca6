#pragma once

// Text as it may stand in a record.

#include <string>
#include <string_view>

namespace shiftd {

// The text with whatever is no UTF-8, and control characters but line feed and tab, replaced by "?", and cut after about
// `most` bytes. What hosts and people say may hold any bytes, and any number of them; what the journal keeps must read
// the same on the day that it is folded.
std::string readable(std::string_view text, std::size_t most = 2'000);

// Whether every byte is part of well-formed UTF-8.
bool is_utf8(std::string_view text);

}  // namespace shiftd
