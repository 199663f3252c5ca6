#pragma once

// The rolling restart: a rollout that brings no release. Every host goes through the same steps with what it already runs,
// so that drain, checks, canary and floor are those of an upgrade.

#include <memory>
#include <string_view>

#include "daemon/release/releaser.hpp"

namespace shiftd {

// The version by which a restart is asked for, and so its identity: no host ever reports it, so every host takes part.
inline constexpr std::string_view restart_version = "restart";

inline bool is_restart(const Release& release) { return release.digest == restart_version && release.source.empty(); }

// Passes everything on to `inner`, but releases for which is_restart() is true. For those:
//   prepare        only asks what runs; refused where nothing is installed
//   upgrade        the inner revert to what the host has: nothing is swapped, and the service restarted
//   prove_running  the inner proof of what the host has
std::unique_ptr<Releaser> with_restarts(std::unique_ptr<Releaser> inner);

}  // namespace shiftd
