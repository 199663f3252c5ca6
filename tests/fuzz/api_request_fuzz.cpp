// Any bytes, as a request target and as the bodies of the API: accepted within the bounds or refused with a reason, and
// nothing else happens.

#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/api/body.hpp"
#include "daemon/api/query.hpp"
#include "daemon/api/routes.hpp"

namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (auto start = shiftd::parse_start(text, "fuzz")) {
    const auto& release = start->release;
    check(!start->service.empty() && !release.digest.empty());
    check(release.source.empty() ||
          (release.digest.size() == 64 && (release.source.starts_with('/') || release.source.starts_with("http"))));
  } else {
    check(!start.error().what.empty());
  }
  for (auto verb : {shiftd::Verb::pause, shiftd::Verb::take}) {
    auto command = shiftd::parse_command(verb, text, "fuzz");
    if (command) check(command->host.empty() == (verb == shiftd::Verb::pause));
  }
  if (auto target = shiftd::parse_target(text)) {
    auto found = shiftd::find_route("GET", target->path);
    if (auto* routed = std::get_if<shiftd::Routed>(&found)) check(routed->name.size() <= 256);
  }
  return 0;
}
