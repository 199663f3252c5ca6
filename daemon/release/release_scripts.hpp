#pragma once

// What runs on a host to look at its releases, to unpack one and to swap. Text in, text out: no I/O.
//
// The order of a swap, and what a crash in each place leaves: `previous` is set to what `current` names (crash: both name
// the running release), `current` is renamed over (crash: the new release is current and the old process still runs;
// prove_running tells), the directory is synced, the service restarted. A release directory appears complete by rename.

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

struct HostReleases {
  std::string current;  // the directory's name below releases/; empty: none yet
  bool complete = false;
  std::int64_t free_bytes = 0;
};

// Makes the layout below `base` and tells what is there.
std::string look_script(const std::string& base, const std::string& digest);
// Fails with unexpected_reply, and refused when `current` is no symbolic link into releases/.
Result<HostReleases> read_look(std::string_view out);

// Only what `current` names; changes nothing.
std::string current_script(const std::string& base);
Result<std::string> read_current(std::string_view out);

// Checks the uploaded tarball's digest, unpacks it, and removes releases beyond `keep` that nobody needs. Ends with 65 and
// the digest that it found when that is the wrong one.
inline constexpr int wrong_digest_status = 65;
std::string unpack_script(const std::string& base, const std::string& digest, int keep);

// Swaps `current` to `release` if it names another, and restarts in any case: the job's id keeps it from running twice.
// Ends with 66 when nothing was swapped because it could not be, else with the restart's status.
inline constexpr int not_swapped_status = 66;
std::string swap_script(const std::string& base, const std::string& release, const std::string& restart);

// 64 lower case hex digits.
bool is_digest(std::string_view text);

// Whether what a service says of itself names this release: the digest, or its first 12 digits and more.
bool answer_names(std::string_view answer, std::string_view digest);

}  // namespace shiftd
