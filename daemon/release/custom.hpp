#pragma once

// The releaser for what other tools bring: the service's own commands install a release and go back.
//
// A release is known by its version alone, exactly as the service says it of itself; there is no tarball and no digest.
// `run` and `revert` are detached jobs on the host, below <path>/.shiftd: they outlive the connection and shiftd, and one
// job id never runs twice.

#include <memory>

#include "daemon/io/clock.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/releaser.hpp"

namespace shiftd {

// `options.custom` must be there. `restart`, when it is given, runs after a successful `run` or `revert`, in the same job.
std::unique_ptr<Releaser> make_custom_releaser(Clock& clock, ReleaseOptions options, Hosts& hosts);

}  // namespace shiftd
