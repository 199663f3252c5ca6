#include "daemon/config/capacity.hpp"

namespace shiftd {

std::vector<CapacityProblem> check_capacity(const ServiceConfig&) { return {}; }

}  // namespace shiftd
