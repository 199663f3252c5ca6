#pragma once

// The baseline's 5xx rate as the past predicts it: the last seconds, leaning on the last quarter of an hour.

#include <cmath>

#include "daemon/base/time.hpp"

namespace shiftd {

inline double seconds(Duration duration) { return static_cast<double>(duration.count()) / 1000; }

struct Prediction {
  // Sums in which what is older counts less.
  struct Sums {
    double failures = 0;
    double requests = 0;

    void add(double length_s, double half_life_s, double more_requests, double more_failures) {
      auto kept = std::exp2(-length_s / half_life_s);
      requests = requests * kept + more_requests;
      failures = failures * kept + more_failures;
    }
    bool operator==(const Sums&) const = default;
  };
  Sums recent;
  Sums lasting;

  [[nodiscard]] double rate() const {
    auto usual = (lasting.failures + 0.5) / (lasting.requests + 1);
    return (recent.failures + lean) / (recent.requests + lean / usual);
  }
  void learn(Duration length, double requests, double failures) {
    recent.add(seconds(length), 20, requests, failures);
    lasting.add(seconds(length), 900, requests, failures);
  }
  bool operator==(const Prediction&) const = default;

 private:
  // As if the lasting rate had been seen with this many failures.
  static constexpr double lean = 2;
};

}  // namespace shiftd
