#pragma once

// SHA-256, as 64 lower case hex digits: what releases, configurations and plans are known by.

#include <memory>
#include <string>
#include <string_view>

namespace shiftd {

// A digest in the making.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  // Ends it; nothing may be added afterwards.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_of(std::string_view bytes);

}  // namespace shiftd
