#include "daemon/release/configuration.hpp"

#include "daemon/io/sha256.hpp"

namespace shiftd {

std::string digest_of(const Configuration& configuration) {
  Sha256 digest;
  digest.add("shiftd configuration 1\n");
  for (const auto& [name, bytes] : configuration.contents) {
    digest.add(name + " " + std::to_string(bytes.size()) + "\n");
    digest.add(bytes);
  }
  return digest.hex();
}

ReleaseParts parts_of(const std::string& release) {
  constexpr std::size_t digits = 64;
  bool both = release.size() == 2 * digits + 1 && release[digits] == '-';
  if (!both) return {release, ""};
  return {release.substr(0, digits), release.substr(digits + 1)};
}

std::string name_of(const ReleaseParts& parts) { return parts.configuration.empty() ? parts.code : parts.code + "-" + parts.configuration; }

}  // namespace shiftd
