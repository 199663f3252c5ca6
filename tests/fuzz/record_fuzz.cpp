// Whatever lies in a journal: decode, fold and encode never throw, never overstep memory, and agree with one another.
//
// The input is lines, as of a journal; replayed over its corpus in every test run.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "daemon/engine/codec.hpp"
#include "daemon/engine/decide.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shiftd;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> lines;
  while (!rest.empty()) {
    auto line = rest.substr(0, rest.find('\n'));
    lines.emplace_back(line);
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  Codec codec;
  Codec again;
  for (const auto& line : lines) {
    auto record = codec.decode(line);
    if (!record) continue;
    auto read = again.decode(codec.encode(*record));
    if (!read || !(*read == *record)) std::abort();
  }
  Codec folding;
  if (auto rollout = fold(lines, folding)) (void)effects_of(*rollout, Record{});
  return 0;
}
