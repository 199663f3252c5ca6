#pragma once

// Reads the configuration of a release, as docs/releases.md describes its directory: manifest.yaml, the templates that it
// names, and its vars and schema files.

#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/release/configuration.hpp"

namespace shiftd {

// Fails with bad_input: every error, one a line, with file, line and column.
Result<Configuration> read_configuration(const std::string& directory);

}  // namespace shiftd
