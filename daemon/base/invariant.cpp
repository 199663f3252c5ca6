#include "daemon/base/invariant.hpp"

#include <string_view>

namespace shiftd {

void broken_invariant(const char* condition, const std::string& what, const char* file, int line) {
  auto path = std::string_view(file);
  auto name = path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
  throw BrokenInvariant(what + " (" + condition + ", " + std::string(name) + ":" + std::to_string(line) + ")");
}

}  // namespace shiftd
