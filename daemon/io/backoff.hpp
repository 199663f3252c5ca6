#pragma once

// How long to wait before trying again: doubling from `first` to `most`, each spread by up to a quarter so that many
// who failed together do not return together. Deterministic for a given seed.

#include <algorithm>
#include <cstdint>
#include <random>

#include "daemon/base/time.hpp"

namespace shiftd {

class Backoff {
 public:
  Backoff(Duration first, Duration most, std::uint64_t seed) : first_(first), most_(most), next_(first), random_(seed) {}

  Duration next() {
    auto whole = next_.count();
    next_ = std::min(next_ * 2, most_);
    return Duration(whole - static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(whole / 4 + 1)));
  }

  void reset() { next_ = first_; }

 private:
  Duration first_;
  Duration most_;
  Duration next_;
  std::mt19937_64 random_;
};

}  // namespace shiftd
