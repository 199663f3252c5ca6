#include "checks/checks.hpp"

namespace shiftd {

Result<std::shared_ptr<Check>> make_check(Clock& clock, CheckSpec spec) {
  return std::visit([&](auto& of_a_kind) { return make_check(clock, std::move(of_a_kind)); }, spec);
}

}  // namespace shiftd
