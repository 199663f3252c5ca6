// What the verdict rests on, in numbers and words for people.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "daemon/analysis/verdict.hpp"
#include "daemon/base/basis_points.hpp"

namespace shiftd {
namespace {

// A single host is to blame only while every other one gives less than this reason to doubt.
constexpr double blameless = 2;

std::string few_digits(double value) {
  std::array<char, 32> text{};
  if (value >= 1e6) return "over 1000000";
  std::snprintf(text.data(), text.size(), value < 10 ? "%.2g" : "%.0f", value);
  return text.data();
}

double rate(std::uint64_t failures, std::uint64_t requests) { return static_cast<double>(failures) / static_cast<double>(requests); }

std::string failed_of(std::uint64_t failures, std::uint64_t requests) {
  return std::to_string(failures) + " of " + std::to_string(requests) + " requests failed (" + percent(rate(failures, requests)) + ")";
}

std::string between(const RatioInterval& ratio) {
  if (ratio.low <= 0 && !ratio.high) return {};
  if (!ratio.high) return " (at least " + few_digits(ratio.low) + "x)";
  if (ratio.low <= 0) return " (at most " + few_digits(*ratio.high) + "x)";
  return " (" + few_digits(ratio.low) + "x to " + few_digits(*ratio.high) + "x)";
}

std::string comparison(const Evidence& seen) {
  if (seen.canary_requests == 0) return "no canary requests yet";
  auto text = "canary " + failed_of(seen.canary_failures, seen.canary_requests);
  if (seen.baseline_requests == 0) return text + ", no baseline requests to compare with";
  text += ", baseline " + std::to_string(seen.baseline_failures) + " of " + std::to_string(seen.baseline_requests) + " (" +
          percent(rate(seen.baseline_failures, seen.baseline_requests)) + ")";
  if (seen.canary_failures == 0 || seen.baseline_failures == 0) return text;
  auto times = rate(seen.canary_failures, seen.canary_requests) / rate(seen.baseline_failures, seen.baseline_requests);
  return text + ": " + few_digits(times) + "x" + between(seen.ratio);
}

// Requests by which the old release's own rate is known.
constexpr double enough_to_know = 1000;

}  // namespace

std::string_view to_string(Call call) {
  switch (call) {
    case Call::keep_watching: return "keep_watching";
    case Call::promote: return "promote";
    case Call::roll_back: return "roll_back";
  }
  return "keep_watching";
}

std::optional<std::uint32_t> CanaryTest::bad_host(const Terms& terms) const {
  if (!judges_hosts() || present_ < 2 || terms.worst_place >= state_.canaries.size()) return std::nullopt;
  for (std::size_t place = 0; place < state_.canaries.size(); ++place) {
    auto alone = state_.canaries[place].alone.process.value();
    if (place == terms.worst_place ? alone < std::exp(roll_back_at()) : alone >= blameless) return std::nullopt;
  }
  return state_.canaries[terms.worst_place].host;
}

// As fast as the proof has grown so far.
std::optional<Duration> CanaryTest::until_promote() const {
  const auto& promote = state_.promote;
  auto wanted = -std::log(1 - options_.promote_confidence);
  if (!promote.stage || promote.log_value <= 0.1) return std::nullopt;
  auto so_far = seconds(state_.last - promote.since);
  auto left = std::max(so_far * (wanted / promote.log_value - 1), 0.0);
  if (auto had = static_cast<double>(state_.counted.stage_canary_requests); had > 0 && had < static_cast<double>(options_.min_requests)) {
    left = std::max(left, so_far * (static_cast<double>(options_.min_requests) / had - 1));
  }
  return Duration(static_cast<std::int64_t>(std::min(left, 1e6) * 1000));
}

Evidence CanaryTest::evidence(const std::vector<HostTick>& hosts) const {
  auto result = state_.counted;
  auto all = terms();
  result.e_value = state_.log_e == never_started ? 1 : all.sum();
  result.promote_e_value = std::exp(state_.promote.log_value);
  result.tolerated = state_.tolerated;
  if (const auto& lasting = state_.baseline.lasting; lasting.requests >= enough_to_know)
    result.former_rate = (lasting.failures + 0.5) / (lasting.requests + 1);
  result.ratio = ratio_interval(state_.strata, options_.confidence, state_.history.dispersion());
  result.bad_host = bad_host(all);
  result.until_promote = until_promote();
  result.strongest = "cohort";
  auto most = all.cohort;
  if (all.bursts > most) most = all.bursts, result.strongest = "bursts";
  if (all.winsorised > most) most = all.winsorised, result.strongest = "winsorised";
  if (all.worst > most) result.strongest = "host " + hosts[state_.canaries[all.worst_place].host].host;

  result.text = comparison(result) + "; evidence " + few_digits(result.e_value);
  bool rolls_back = state_.highest_log_e >= roll_back_at();
  if (rolls_back && state_.log_e < roll_back_at()) result.text += " (it was " + few_digits(std::exp(state_.highest_log_e)) + ")";
  result.text += ", rolls back at " + few_digits(std::exp(roll_back_at()));
  if (rolls_back && result.strongest != "cohort") result.text += ", most of it from " + result.strongest;
  return result;
}

}  // namespace shiftd
