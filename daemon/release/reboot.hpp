#pragma once

// How one host is rebooted. What tells one boot from another is the host's boot id: a reboot is over when that has changed,
// whatever its command has said and however the connection has ended.

#include "daemon/io/clock.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/restart.hpp"

namespace shiftd {

// Runs `options.reboot` as a job of the host's, which writes down the boot id first, and asks until another boot id answers. `clock`
// and `hosts` outlive it. Empty when the options name no such command.
Reboot make_reboot(Clock& clock, ReleaseOptions options, Hosts& hosts);

}  // namespace shiftd
