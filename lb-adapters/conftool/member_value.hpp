#pragma once

// What a conftool object says of a host: {"weight": 10, "pooled": "yes"}, with whatever else stands in it. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/engine/member.hpp"

namespace shiftd::conftool {

// conftool writes a hundred bytes or so; etcd takes megabytes.
inline constexpr std::size_t value_size_most = 64 * 1024;

// Fails with bad_input, saying what is wrong with it: what PyBal would ignore, or understand otherwise than it reads (a
// weight that is no integer; weight 0 while pooled, which the kernel makes 1), is no value.
Result<Setting> parse_value(std::string_view bytes, int weight_most);

// The same value with both fields set; everything else in it stays as it is, byte by byte.
// `bytes` was understood by parse_value().
std::string with_setting(std::string_view bytes, const Setting& setting);

// A value that conftool itself would write.
std::string value_for(const Setting& setting);

// "<etcd's cluster id>:<modifiedIndex>"
struct Revision {
  std::string epoch;
  std::uint64_t index = 0;
};
std::string to_string(const Revision& revision);
// Fails with bad_input.
Result<Revision> parse_revision(std::string_view text);

// Whether `text` can stand between two slashes of a key as it is, without escapes: letters, digits, '.', '_', '-'.
bool is_key_part(std::string_view text);

}  // namespace shiftd::conftool
