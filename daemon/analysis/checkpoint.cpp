// The checkpoint of the canary test: one JSON object, of version 1. Numbers are written so that they read back exactly.

#include <cmath>

#include <nlohmann/json.hpp>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

constexpr int version = 1;

// JSON has no infinities.
json log_to_json(double value) { return value == EProcess::never_started ? json(nullptr) : json(value); }

json instant_to_json(Instant instant) { return instant.time_since_epoch().count(); }

[[noreturn]] void refuse(const char* what) { throw std::invalid_argument(what); }

double number(const json& value, double least, double most) {
  if (!value.is_number()) refuse("a number is missing");
  auto result = value.get<double>();
  if (!(result >= least && result <= most)) refuse("a number is out of range");
  return result;
}

double amount(const json& value) { return number(value, 0, 1e300); }

std::int64_t whole(const json& value, std::int64_t least, std::int64_t most) {
  if (!value.is_number_integer()) refuse("a whole number is missing");
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) refuse("a number is out of range");
  auto result = value.get<std::int64_t>();
  if (result < least || result > most) refuse("a number is out of range");
  return result;
}

std::uint64_t count(const json& value) { return static_cast<std::uint64_t>(whole(value, 0, INT64_MAX)); }

Instant instant(const json& value) { return Instant(Duration(whole(value, 0, INT64_MAX / 2))); }

EProcess process_from(const json& value) {
  std::array<double, alternatives.size()> log_e{};
  const auto& given = value.at("log_e");
  if (!given.is_array() || given.size() != log_e.size()) refuse("log_e has another length");
  for (std::size_t j = 0; j < log_e.size(); ++j) log_e[j] = given[j].is_null() ? EProcess::never_started : number(given[j], -1e300, 1e300);
  return {log_e, number(value.at("unstarted"), 0, 1)};
}

StartSchedule schedule_from(const json& value) {
  StartSchedule schedule;
  if (!value.at("began").is_null()) schedule.began = instant(value.at("began"));
  schedule.last_start = instant(value.at("last_start"));
  schedule.warm_up_starts = static_cast<int>(whole(value.at("warm_up_starts"), 0, 1'000'000));
  schedule.warmed_up = value.at("warmed_up").get<bool>();
  schedule.restarts = static_cast<int>(whole(value.at("restarts"), 0, 1'000'000));
  return schedule;
}

}  // namespace

std::string CanaryTest::checkpoint() const {
  auto log_e = json::array();
  for (auto value : state_.process.log_e()) log_e.push_back(log_to_json(value));
  const auto& schedule = state_.schedule;
  const auto& waiting = state_.waiting;
  const auto& counted = state_.counted;
  auto remembered = [](const Remembered& of) { return json{{"requests", of.requests}, {"failures", of.failures}}; };
  return json{
      {"version", version},
      {"process", {{"log_e", log_e}, {"unstarted", state_.process.unstarted()}}},
      {"schedule",
       {{"began", schedule.began ? instant_to_json(*schedule.began) : json(nullptr)},
        {"last_start", instant_to_json(schedule.last_start)},
        {"warm_up_starts", schedule.warm_up_starts},
        {"warmed_up", schedule.warmed_up},
        {"restarts", schedule.restarts}}},
      {"waiting",
       {{"canary_requests", waiting.counts.canary_requests},
        {"canary_failures", waiting.counts.canary_failures},
        {"baseline_requests", waiting.counts.baseline_requests},
        {"baseline_failures", waiting.counts.baseline_failures},
        {"extra_failures", waiting.extra_failures},
        {"age_ms", waiting.age.count()}}},
      {"recent", remembered(state_.recent)},
      {"lasting", remembered(state_.lasting)},
      {"counted",
       {{"canary_requests", counted.canary_requests},
        {"canary_failures", counted.canary_failures},
        {"baseline_requests", counted.baseline_requests},
        {"baseline_failures", counted.baseline_failures},
        {"stage_canary_requests", counted.stage_canary_requests}}},
      {"highest_e", state_.highest_e},
  }
      .dump();
}

Result<void> CanaryTest::restore(const std::string& checkpoint) {
  auto remembered = [](const json& value) {
    Remembered result;
    result.requests = amount(value.at("requests"));
    result.failures = amount(value.at("failures"));
    return result;
  };
  try {
    auto given = json::parse(checkpoint);
    if (whole(given.at("version"), 0, 1'000'000) != version) refuse("it is of another version");
    State state;
    state.process = process_from(given.at("process"));
    state.schedule = schedule_from(given.at("schedule"));
    const auto& waiting = given.at("waiting");
    state.waiting.counts = {amount(waiting.at("canary_requests")), amount(waiting.at("canary_failures")),
                            amount(waiting.at("baseline_requests")), amount(waiting.at("baseline_failures"))};
    state.waiting.extra_failures = amount(waiting.at("extra_failures"));
    state.waiting.age = Duration(whole(waiting.at("age_ms"), 0, INT64_MAX / 2));
    state.recent = remembered(given.at("recent"));
    state.lasting = remembered(given.at("lasting"));
    const auto& counted = given.at("counted");
    state.counted.canary_requests = count(counted.at("canary_requests"));
    state.counted.canary_failures = count(counted.at("canary_failures"));
    state.counted.baseline_requests = count(counted.at("baseline_requests"));
    state.counted.baseline_failures = count(counted.at("baseline_failures"));
    state.counted.stage_canary_requests = count(counted.at("stage_canary_requests"));
    state.highest_e = amount(given.at("highest_e"));
    state_ = state;
  } catch (const std::exception& error) {
    return Failure{Errc::bad_input, std::string("not a checkpoint of the canary test: ") + error.what()};
  }
  return {};
}

}  // namespace shiftd
