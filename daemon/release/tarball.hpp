#pragma once

// The releaser for tarballs: code comes as a .tar.gz with its sha256 and is swapped in by a symbolic link.

#include <memory>

#include "daemon/io/clock.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/releaser.hpp"

namespace shiftd {

std::unique_ptr<Releaser> make_tarball_releaser(Clock& clock, ReleaseOptions options, Hosts& hosts);

}  // namespace shiftd
