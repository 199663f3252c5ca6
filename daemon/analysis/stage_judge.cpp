#include "daemon/analysis/stage_judge.hpp"

#include <algorithm>
#include <cmath>

#include "daemon/base/basis_points.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// At the end of the longest bake so much evidence against the release is enough: it had its chance.
constexpr double enough_at_the_end = 10;
constexpr double doubt = 2;
// Recent requests below which a rate says nothing.
constexpr double few_requests = 50;
// An incident: the old release fails so much more often than it used to.
constexpr double incident_times = 5;
constexpr double incident_rate = 0.05;
constexpr double least_rate = 0.001;
// So long without a host on the old release: none will come back in a moment.
constexpr Duration alone_after = 10s;

double rate(const Prediction::Sums& sums) { return sums.requests > 0 ? sums.failures / sums.requests : 0; }

std::string whole(double number) { return std::to_string(static_cast<std::int64_t>(std::floor(number))); }

// Rounded up, so that the words change seldom.
std::string about(Duration left) {
  for (auto step : {10'000ms, 30'000ms, 60'000ms, 120'000ms, 300'000ms, 600'000ms, 1'800'000ms, 3'600'000ms, 10'800'000ms}) {
    if (left <= step) return "about " + to_string(step) + " more at this rate";
  }
  return "hours more at this rate";
}

}  // namespace

Ruling StageJudge::rule(const Moment& moment, const Verdict& verdict, const Evidence& evidence, const std::vector<HostTick>& hosts) {
  count(moment, evidence, hosts);
  for (const auto& why : {too_much_harm(), fails_by_itself(evidence)}) {
    if (!why.empty()) return {Call::roll_back, {}, why + "; " + evidence.text};
  }
  if (verdict.call == Call::roll_back) {
    // One host may be ill by itself; a second one is no chance any more.
    if (!evidence.bad_host || state_.left_out > 0) return {Call::roll_back, {}, evidence.text};
    ++state_.left_out;
    return {Call::keep_watching, evidence.bad_host, "it alone of the upgraded hosts fails: " + evidence.text};
  }
  if (auto why = incident(); !why.empty()) return {Call::keep_watching, {}, why};
  if (!moment.baking || moment.now < moment.bake_until) return {Call::keep_watching, {}, {}};
  return pass(moment, verdict, evidence);
}

void StageJudge::count(const Moment& moment, const Evidence& evidence, const std::vector<HostTick>& hosts) {
  Prediction::Sums canary;
  Prediction::Sums baseline;
  for (const auto& host : hosts) {
    if (host.cohort != Cohort::canary && host.cohort != Cohort::baseline) continue;
    auto& sum = host.cohort == Cohort::canary ? canary : baseline;
    sum.requests += static_cast<double>(host.requests);
    sum.failures += static_cast<double>(std::min(host.failures, host.requests));
  }
  auto is_baseline = [](const HostTick& host) { return host.cohort == Cohort::baseline; };
  bool compared = std::any_of(hosts.begin(), hosts.end(), is_baseline);
  state_.without_baseline = compared ? Duration(0) : state_.without_baseline + moment.length;
  // Against the baseline of the same time: what hits both is no harm of the release's.
  auto usual = std::max(state_.baseline.rate(), baseline.requests > 0 ? rate(baseline) : 0.0);
  auto tolerated = evidence.tolerated * usual + options_.ignore_below;
  state_.harm = std::max(0.0, state_.harm + canary.failures - canary.requests * tolerated);
  if (evidence.canary_requests > 0) state_.unanswered += static_cast<double>(moment.unanswered);
  state_.canary.add(seconds(moment.length), 20, canary.requests, canary.failures);
  state_.baseline.recent.add(seconds(moment.length), 20, baseline.requests, baseline.failures);
  // What it used to do follows an incident only slowly.
  auto most = std::max(incident_times * rate(state_.baseline.lasting), least_rate) * baseline.requests;
  state_.baseline.lasting.add(seconds(moment.length), 900, baseline.requests, std::min(baseline.failures, most));
}

std::string StageJudge::too_much_harm() const {
  if (options_.harm_limit == 0 || state_.harm + state_.unanswered < static_cast<double>(options_.harm_limit)) return {};
  return whole(state_.harm) + " canary requests failed beyond what is tolerated, and no host answered for " + whole(state_.unanswered) +
         ": harm_limit is " + std::to_string(options_.harm_limit);
}

// With nothing left to compare with: by the ceiling, and by what the hosts themselves used to do.
std::string StageJudge::fails_by_itself(const Evidence& evidence) const {
  bool alone = state_.without_baseline >= alone_after || state_.baseline.recent.requests < 1;
  auto now = rate(state_.canary);
  if (!alone || state_.canary.requests < few_requests) return {};
  auto fails = percent(now) + " of the canary's requests fail, ";
  const std::string nothing = "and nothing on the old release serves to compare with";
  if (now >= options_.ceiling) return fails + nothing;
  if (!evidence.former_rate || now < incident_rate || now < incident_times * *evidence.former_rate) return {};
  return fails + "of the old release's " + percent(*evidence.former_rate) + " did, " + nothing;
}

std::string StageJudge::incident() const {
  const auto& recent = state_.baseline.recent;
  if (recent.requests < few_requests) return {};
  auto now = rate(recent);
  if (now >= options_.ceiling) return "the old release itself fails: more than " + percent(options_.ceiling) + " of its requests";
  if (now < incident_rate || now < incident_times * rate(state_.baseline.lasting)) return {};
  return "the old release fails far more often than it used to: an incident, and not the new release";
}

Ruling StageJudge::pass(const Moment& moment, const Verdict& verdict, const Evidence& evidence) const {
  bool served = evidence.stage_canary_requests >= std::max<std::uint64_t>(options_.min_requests, 1);
  if (verdict.call == Call::promote && served) return {Call::promote, {}, evidence.text};
  auto limit = moment.bake_until + std::max(options_.max_bake - moment.bake, Duration(0));
  if (moment.now >= limit) {
    if (evidence.e_value >= enough_at_the_end)
      return {Call::roll_back, {}, "the longest bake is over, and much speaks against it: " + evidence.text};
    if (served && !in_doubt(evidence) && options_.at_max_bake == AtMaxBake::promote)
      return {Call::promote, {}, "weak evidence: " + evidence.text};
  }
  return {Call::keep_watching, {}, missing(evidence)};
}

// Also what fails blatantly, but too short a time for evidence.
bool StageJudge::in_doubt(const Evidence& evidence) const { return evidence.e_value >= doubt || rate(state_.canary) >= options_.ceiling; }

std::string StageJudge::missing(const Evidence& evidence) const {
  if (evidence.stage_canary_requests == 0) return "the canary has had no requests in this stage";
  if (in_doubt(evidence)) return "something speaks against the release, though not enough to roll back";
  if (state_.baseline.recent.requests < 1) return "nothing on the old release serves to compare with";
  if (evidence.until_promote) return about(*evidence.until_promote);
  if (evidence.stage_canary_requests < options_.min_requests)
    return "the canary has had fewer than " + std::to_string(options_.min_requests) + " requests in this stage";
  return "it is not proven yet that the release is as good as the old one";
}

}  // namespace shiftd
