#pragma once

// Configuration as a part of the release: it is rendered for each host while that serves, and goes and comes back with the
// code, by the same swap.

#include <functional>
#include <memory>
#include <string>

#include "daemon/release/configuration_store.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/releaser.hpp"

namespace shiftd {

// Passes everything on to `tarballs`, but for releases with a configuration (parts_of()):
//   check_source  keeps a copy of the configuration that Release::config names
//   complete      names the release by both digests; what was left out is what every host has now
//   dry_run       the difference between what stands on the host and what would
//   prepare       brings the code, then makes the release of it and of the rendered files, validated by the host
// `facts` gives what templates may say of a host. `store` outlives it.
std::unique_ptr<Releaser> with_configurations(std::unique_ptr<Releaser> tarballs, ReleaseOptions options, Hosts& hosts,
                                              std::shared_ptr<ConfigurationStore> store, std::function<HostFacts(const HostPlace&)> facts);

}  // namespace shiftd
