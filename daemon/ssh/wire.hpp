#pragma once

// The numbers and strings of SSH's protocols (RFC 4251, 5), as the agent and OpenSSH's multiplexing speak them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shiftd {

void put_u32(std::string& out, std::size_t number);
void put_string(std::string& out, std::string_view text);

// Both take what they give off the front of `in`. Nothing when it is not whole.
std::optional<std::uint32_t> take_u32(std::string_view& in);
std::optional<std::string> take_string(std::string_view& in);

}  // namespace shiftd
