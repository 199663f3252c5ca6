#pragma once

// Records as server-sent events: "id: 7", "event: host_moved", "data: {...}".

#include <cstdint>
#include <string>
#include <string_view>

namespace shiftd {

// The word in the record's "is". Looks only at the start, where the codec writes it: a record may be a large plan.
std::string_view kind_of_record(std::string_view record);

std::string event_text(std::uint64_t number, std::string_view record);

inline constexpr std::string_view feed_begin = "retry: 1000\n\n";
inline constexpr std::string_view feed_keepalive = ": keepalive\n\n";
inline constexpr std::string_view feed_end = "event: end\ndata: {}\n\n";

}  // namespace shiftd
