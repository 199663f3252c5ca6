#pragma once

// The rolling restart: a rollout that brings no release. Every host goes through the same steps with what it already runs,
// so that drain, checks, canary and floor are those of an upgrade. A rolling reboot is one that reboots the hosts.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/release/releaser.hpp"

namespace shiftd {

// The version by which a restart is asked for, and so its identity: no host ever reports it, so every host takes part.
inline constexpr std::string_view restart_version = "restart";
inline constexpr std::string_view reboot_version = "reboot";

// A reboot is a restart, wherever it is not said otherwise.
inline bool is_restart(std::string_view digest) { return digest == restart_version || digest == reboot_version; }
inline bool is_restart(const Release& release) { return is_restart(release.digest) && release.source.empty(); }
inline bool is_reboot(const Release& release) { return release.digest == reboot_version && release.source.empty(); }

// Reboots a host as the job of that name, which is never run twice, and returns when the host has booted.
// Fails with: refused (the command failed, or the host has not come back), else as Releaser::upgrade().
// Cancelled, it stops asking; the host reboots all the same.
using Reboot = std::function<Task<Result<void>>(HostPlace host, std::string job_id)>;

// Passes everything on to `inner`, but releases for which is_restart() is true. For those:
//   check_source   refused with bad_input when it is a reboot and `reboot` is empty: nobody has said how
//   prepare        only asks what runs; refused where nothing is installed
//   upgrade        the inner revert to what the host has: nothing is swapped, and the service restarted; or `reboot`
//   prove_running  the inner proof of what the host has
std::unique_ptr<Releaser> with_restarts(std::unique_ptr<Releaser> inner, Reboot reboot = {});

}  // namespace shiftd
