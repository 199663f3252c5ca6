// Whether requests reach the release in the share that the weights give it. Weights are what we write; who steers by
// something else, or not at all, is found out here.

#include <cmath>

#include "daemon/engine/deciding.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// How far the smaller cohort's requests may be from what its weights give, as a part of that. Where the load balancer
// shares connections or hashes instead of requests, only too much is told, and twice as much is allowed.
constexpr double tolerance_of_requests = 0.5;
constexpr double tolerance_of_others = 1.0;

// -log of the chance that an honest share is called off at one look: the looks of a year make no false alarm.
constexpr double certainty = 28;
constexpr Duration silence_least = 30s;

// What a count of independent requests exceeds its mean by with no more than that chance (Bernstein's inequality, from
// its variance).
double noise(double variance) { return certainty / 3 + std::sqrt(certainty * certainty / 9 + 2 * certainty * variance); }

std::string count(double requests) { return std::to_string(std::llround(requests)); }

}  // namespace

std::string why_share_off(const Rollout& rollout, const Served& served, bool known) {
  const auto& pool = rollout.plan.pools[served.pool];
  const auto& flow = rollout.flows[served.pool];
  if (flow.canary <= 0 || flow.canary >= flow.flow) return {};
  auto share = static_cast<double>(flow.canary) / static_cast<double>(flow.flow);
  auto given = pool.name + ": the release is to have " + percent(share) + " of the requests by its weights, and ";
  if (served.without >= silence_least && share * served.all_without >= certainty)
    return given + "has had none of " + count(served.all_without) + " in " + to_string(served.without);
  bool requests = pool.capabilities.shares_requests && pool.capabilities.weights_steer;
  auto mean = share * served.all;
  auto allowed = (requests ? tolerance_of_requests : tolerance_of_others) * std::min(share, 1 - share) * served.all;
  if (!known) allowed += noise(mean * (1 - share));
  auto off = served.canary - mean;
  if (off <= allowed && (off >= -allowed || !requests)) return {};
  return given + "has " + count(served.canary) + " of " + count(served.all) + ": " + percent(served.canary / served.all);
}

}  // namespace shiftd
