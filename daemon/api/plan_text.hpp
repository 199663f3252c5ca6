#pragma once

// A plan in words, for people who are about to say yes to it.

#include <string>

#include "daemon/engine/plan.hpp"

namespace shiftd {

std::string plan_text(const Plan& plan);

}  // namespace shiftd
