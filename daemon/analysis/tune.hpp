#pragma once

// The verdict's settings by the words of the service file's `verdict:`, for traces and for people who try other ones.

#include <string>

#include "daemon/analysis/options.hpp"
#include "daemon/base/failure.hpp"

namespace shiftd {

// "tolerate=1.3x", "confidence=99.9%", "warm_up=60s".
// Fails with bad_input: no such word (names those that there are), or a value that it cannot have.
Result<void> tune(AnalysisOptions& options, const std::string& setting);

// Every setting that tune() knows, with single spaces between them; numbers read back exactly.
std::string settings_text(const AnalysisOptions& options);

}  // namespace shiftd
