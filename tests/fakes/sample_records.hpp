#pragma once

// One record of every kind, in an order in which they can be folded, and with awkward contents.

#include <vector>

#include "daemon/engine/record.hpp"

namespace shiftd {

Plan sample_plan();
std::vector<Record> sample_records();

}  // namespace shiftd
