#pragma once

// A plan in words, for people who are about to say yes to it.

#include <string>

#include "daemon/driver/control.hpp"

namespace shiftd {

// What dry runs said is indented by eight, so that a diff can be told from the rest.
std::string plan_text(const Proposal& proposal);

}  // namespace shiftd
