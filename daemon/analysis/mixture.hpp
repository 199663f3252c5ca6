#pragma once

// Bets against several alternatives at once, of which copies are started over time.
//
// Each bet is kept as the logarithm of what it has become. The value is their mean, plus what has not been staked yet: an
// e-process if each bet is one, whatever the times at which copies start.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace shiftd {

inline constexpr double never_started = -std::numeric_limits<double>::infinity();

inline double log_add(double a, double b) {
  if (a == never_started) return b;
  if (b == never_started) return a;
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

// The logarithm of the mean of exp(values).
template <std::size_t N>
double log_mean(const std::array<double, N>& values) {
  auto most = *std::max_element(values.begin(), values.end());
  if (most == never_started) return never_started;
  double sum = 0;
  for (auto value : values) sum += std::exp(value - most);
  return most + std::log(sum / static_cast<double>(N));
}

template <std::size_t N>
struct Mixture {
  static constexpr double exponent_most = 600;

  std::array<double, N> log_e = filled(never_started);
  double unstarted = 1;

  // Starts fresh copies that carry `mass` of the whole: they have not seen what came before, so that a long good past
  // cannot hide a late fault. All masses together are at most 1.
  void start(double mass) {
    mass = std::min(mass, unstarted);
    if (mass <= 0) return;
    for (auto& bet : log_e) bet = log_add(bet, std::log(mass));
    unstarted -= mass;
  }

  // The mean of the bets and what has not been started. Capped at e^600.
  [[nodiscard]] double value() const { return std::exp(std::min(log_mean(log_e), exponent_most)) + unstarted; }

  bool operator==(const Mixture&) const = default;

 private:
  static constexpr std::array<double, N> filled(double value) {
    std::array<double, N> all{};
    for (auto& one : all) one = value;
    return all;
  }
};

}  // namespace shiftd
