#pragma once

// INVARIANT(condition, "what must hold"): checks what we ourselves decided, given what we had observed. It never asserts
// on what the world said. It stays on in release builds. The driver catches BrokenInvariant, quarantines the rollout
// in which it was thrown, and keeps the rest of the daemon up.

#include <stdexcept>
#include <string>

namespace shiftd {

class BrokenInvariant : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void broken_invariant(const char* condition, const std::string& what, const char* file, int line);

}  // namespace shiftd

#define INVARIANT(condition, what)                                        \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::shiftd::broken_invariant(#condition, (what), __FILE__, __LINE__); \
  } while (false)
