#pragma once

// Chance, the same on every machine: the standard's distributions are not, so these are our own.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "daemon/base/time.hpp"

namespace shiftd::simulator {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // splitmix64
  std::uint64_t next() {
    auto z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  bool chance(double probability) { return fraction() < probability; }
  // Both ends included.
  int pick(int least, int most) { return least + static_cast<int>(next() % static_cast<std::uint64_t>(most - least + 1)); }
  std::size_t index(std::size_t count) { return static_cast<std::size_t>(next() % count); }
  template <class T>
  const T& one_of(const std::vector<T>& values) {
    return values[index(values.size())];
  }
  // Evenly over the magnitudes.
  double spread(double least, double most) { return least * std::pow(most / least, fraction()); }
  Duration between(Duration least, Duration most) {
    return least + Duration(static_cast<std::int64_t>(fraction() * static_cast<double>((most - least).count())));
  }
  // Of events that happen on average this often.
  Duration until_next(Duration mean) {
    return Duration(1 + static_cast<std::int64_t>(-std::log(1 - fraction()) * static_cast<double>(mean.count())));
  }
  std::uint64_t poisson(double mean) {
    if (mean <= 0) return 0;
    if (mean > 50) {
      auto normal = std::sqrt(-2 * std::log(1 - fraction())) * std::cos(2 * 3.14159265358979 * fraction());
      return static_cast<std::uint64_t>(std::max(0.0, std::round(mean + std::sqrt(mean) * normal)));
    }
    std::uint64_t count = 0;
    for (double left = fraction(), limit = std::exp(-mean); left > limit; left *= fraction()) ++count;
    return count;
  }

 private:
  std::uint64_t state_;
};

}  // namespace shiftd::simulator
