// The checkpoint of the canary test: one JSON object, of version 2. Numbers are written so that they read back exactly.
// Each part lists its fields once, for both directions.

#include <array>
#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "daemon/analysis/number_text.hpp"
#include "daemon/analysis/verdict.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

constexpr int version = 2;

[[noreturn]] void refuse(const char* what) { throw std::invalid_argument(what); }

// Straight into the text: a tree of it would take several times as long.
class Writer {
 public:
  std::string out = "{";

  template <class T>
  void operator()(const char* name, const T& value) {
    if (out.back() != '{') out += ',';
    out.append("\"").append(name).append("\":");
    put(value);
  }

 private:
  void put(double value) {
    // JSON has no infinities; the only one that is kept is "never started".
    if (std::isfinite(value)) {
      append_number(out, value + 0.0);  // -0 would come back as a whole number
    } else {
      out += "null";
    }
  }
  void put(bool value) { out += value ? "true" : "false"; }
  template <std::integral T>
  void put(T value) {
    append_number(out, value);
  }
  template <class T>
  requires std::is_enum_v<T>
  void put(T value) { append_number(out, static_cast<int>(value)); }
  void put(Duration value) { append_number(out, value.count()); }
  void put(Instant value) { append_number(out, value.time_since_epoch().count()); }
  template <class T>
  void put(const std::optional<T>& value) {
    if (value) {
      put(*value);
    } else {
      out += "null";
    }
  }
  template <class T, std::size_t N>
  void put(const std::array<T, N>& values) {
    put_list(values);
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put_list(values);
  }
  template <class T>
  requires std::is_class_v<T>
  void put(const T& value) {
    out += '{';
    fields(*this, const_cast<T&>(value));  // the same list serves the reader, which writes into it
    out += '}';
  }

  template <class List>
  void put_list(const List& values) {
    out += '[';
    for (const auto& value : values) {
      if (out.back() != '[') out += ',';
      put(value);
    }
    out += ']';
  }
};

class Reader {
 public:
  explicit Reader(const json& from) : from_(from) {}

  void operator()(const char* name, double& value) { value = number(from_.at(name)); }
  void operator()(const char* name, bool& value) { value = from_.at(name).get<bool>(); }
  template <std::integral T>
  void operator()(const char* name, T& value) {
    value = static_cast<T>(
        whole(from_.at(name), 0, static_cast<std::int64_t>(std::min<std::uint64_t>(std::numeric_limits<T>::max(), INT64_MAX))));
  }
  template <class T>
  requires std::is_enum_v<T>
  void operator()(const char* name, T& value) { value = static_cast<T>(whole(from_.at(name), 0, 3)); }
  void operator()(const char* name, Duration& value) { value = Duration(whole(from_.at(name), 0, INT64_MAX / 2)); }
  void operator()(const char* name, Instant& value) { value = Instant(Duration(whole(from_.at(name), INT64_MIN, INT64_MAX / 2))); }
  template <class T>
  void operator()(const char* name, std::optional<T>& value) {
    value.reset();
    if (!from_.at(name).is_null()) (*this)(name, value.emplace());
  }
  template <std::size_t N>
  void operator()(const char* name, std::array<double, N>& values) {
    const auto& list = from_.at(name);
    if (!list.is_array() || list.size() != N) refuse("a list has another length");
    for (std::size_t i = 0; i < N; ++i) values[i] = number(list[i]);
  }
  template <class T>
  void operator()(const char* name, std::vector<T>& values) {
    const auto& list = from_.at(name);
    if (!list.is_array()) refuse("a list is missing");
    values.clear();
    for (const auto& item : list) {
      const json wrapped = json::object({{"", item}});
      Reader one(wrapped);
      one("", values.emplace_back());
    }
  }
  template <class T>
  requires std::is_class_v<T>
  void operator()(const char* name, T& value) {
    Reader inner(from_.at(name));
    fields(inner, value);
  }

 private:
  static double number(const json& value) {
    if (value.is_null()) return never_started;
    if (!value.is_number()) refuse("a number is missing");
    auto result = value.get<double>();
    if (!(std::abs(result) <= 1e300)) refuse("a number is out of range");
    return result;
  }
  static std::int64_t whole(const json& value, std::int64_t least, std::int64_t most) {
    if (!value.is_number_integer()) refuse("a whole number is missing");
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
      refuse("a number is out of range");
    auto result = value.get<std::int64_t>();
    if (result < least || result > most) refuse("a number is out of range");
    return result;
  }

  const json& from_;
};

// One function for each part: what it consists of.
template <class Visitor, std::size_t N>
void fields(Visitor& visit, Mixture<N>& of) {
  visit("log_e", of.log_e);
  visit("unstarted", of.unstarted);
}
template <class Visitor>
void fields(Visitor& visit, StartSchedule& of) {
  visit("began", of.began);
  visit("last_start", of.last_start);
  visit("warm_up_starts", of.warm_up_starts);
  visit("warmed_up", of.warmed_up);
  visit("restarts", of.restarts);
}
template <class Visitor>
void fields(Visitor& visit, WarmUp& of) {
  visit("excess", of.excess);
  visit("weight", of.weight);
}
template <class Visitor>
void fields(Visitor& visit, Comparison::Waiting& of) {
  visit("baseline_requests", of.baseline_requests);
  visit("baseline_failures", of.baseline_failures);
  visit("warm_requests", of.warm_requests);
  visit("age_ms", of.age);
}
template <class Visitor>
void fields(Visitor& visit, Comparison::Member& of) {
  visit("requests", of.requests);
  visit("failures", of.failures);
  visit("gained", of.gained);
}
template <class Visitor>
void fields(Visitor& visit, Comparison& of) {
  visit("process", of.process);
  visit("schedule", of.schedule);
  visit("warm_up", of.warm_up);
  visit("waiting", of.waiting);
  visit("members", of.members);
}
template <class Visitor>
void fields(Visitor& visit, CanaryTest::Canary& of) {
  visit("host", of.host);
  visit("first_request", of.first_request);
  visit("after_burst", of.after_burst);
  visit("alone", of.alone);
}
template <class Visitor>
void fields(Visitor& visit, BurstTest& of) {
  visit("process", of.process);
  visit("value", of.value);
}
template <class Visitor>
void fields(Visitor& visit, WinsorisedTest& of) {
  visit("process", of.process);
  visit("value", of.value);
}
template <class Visitor>
void fields(Visitor& visit, PromoteTest& of) {
  visit("log_e", of.log_e);
  visit("log_value", of.log_value);
  visit("stage", of.stage);
  visit("since", of.since);
  visit("requests", of.requests);
}
template <class Visitor>
void fields(Visitor& visit, Dispersion& of) {
  visit("squares", of.squares);
  visit("expected", of.expected);
}
template <class Visitor>
void fields(Visitor& visit, Persistence& of) {
  visit("bursts", of.bursts);
  visit("stayed", of.stayed);
}
template <class Visitor>
void fields(Visitor& visit, Prediction::Sums& of) {
  visit("failures", of.failures);
  visit("requests", of.requests);
}
template <class Visitor>
void fields(Visitor& visit, Prediction& of) {
  visit("recent", of.recent);
  visit("lasting", of.lasting);
}
template <class Visitor>
void fields(Visitor& visit, HostHistory& of) {
  visit("failures", of.failures);
  visit("expected", of.expected);
  visit("failures_all", of.failures_all);
  visit("expected_all", of.expected_all);
  visit("bursts", of.bursts);
  visit("blocks", of.blocks);
  visit("broken_for", of.broken_for);
  visit("in_burst", of.in_burst);
  visit("broken", of.broken);
}
template <class Visitor>
void fields(Visitor& visit, History& of) {
  visit("hosts", of.hosts);
  visit("blocks", of.blocks);
  visit("long_blocks", of.long_blocks);
  visit("calm", of.calm);
  visit("winsorised", of.winsorised);
  visit("persistence", of.persistence);
  visit("baseline_failures", of.baseline_failures);
  visit("winsorised_rate", of.winsorised_rate);
}
template <class Visitor>
void fields(Visitor& visit, HostBlock& of) {
  visit("requests", of.requests);
  visit("failures", of.failures);
}
template <class Visitor>
void fields(Visitor& visit, CanaryTest::UnderWay& of) {
  visit("hosts", of.hosts);
  visit("length_ms", of.length);
}
template <class Visitor>
void fields(Visitor& visit, Comparison::Used& of) {
  visit("floor", of.floor);
  visit("requests", of.requests);
}
template <class Visitor>
void fields(Visitor& visit, StageCounts& of) {
  visit("stage", of.stage);
  visit("canary_requests", of.counts.canary_requests);
  visit("canary_failures", of.counts.canary_failures);
  visit("baseline_requests", of.counts.baseline_requests);
  visit("baseline_failures", of.counts.baseline_failures);
}
template <class Visitor>
void fields(Visitor& visit, Evidence& of) {
  visit("canary_requests", of.canary_requests);
  visit("canary_failures", of.canary_failures);
  visit("baseline_requests", of.baseline_requests);
  visit("baseline_failures", of.baseline_failures);
  visit("stage_canary_requests", of.stage_canary_requests);
}
template <class Visitor>
void fields(Visitor& visit, CanaryTest::State& of) {
  visit("cohort", of.cohort);
  visit("canaries", of.canaries);
  visit("bursts", of.bursts);
  visit("winsorised", of.winsorised);
  visit("promote", of.promote);
  visit("history", of.history);
  visit("baseline", of.baseline);
  visit("block", of.block);
  visit("long_block", of.long_block);
  visit("block_floor", of.block_floor);
  visit("began", of.began);
  visit("season", of.season);
  visit("cohorts", of.cohorts);
  visit("counted", of.counted);
  visit("log_e", of.log_e);
  visit("highest_log_e", of.highest_log_e);
  visit("watched_ms", of.watched);
  visit("strata", of.strata);
  visit("tolerated", of.tolerated);
  visit("last", of.last);
}

// Sizes that have to fit each other, whatever a damaged file says.
void check(const CanaryTest::State& state) {
  auto hosts = state.cohorts.size();
  bool fits = state.history.hosts.size() == hosts && state.block.hosts.size() == hosts && state.long_block.hosts.size() == hosts &&
              state.cohort.members.size() == state.canaries.size();
  for (const auto& canary : state.canaries) fits = fits && canary.host < hosts && canary.alone.members.size() == 1;
  if (!fits) refuse("its lists do not fit each other");
  auto sound = [](const auto& process) { return process.unstarted >= 0 && process.unstarted <= 1; };
  bool all_sound = sound(state.cohort.process) && sound(state.bursts.process) && sound(state.winsorised.process);
  for (const auto& canary : state.canaries) all_sound = all_sound && sound(canary.alone.process);
  if (!all_sound) refuse("more has been started than there is");
}

}  // namespace

std::string CanaryTest::checkpoint() const {
  Writer writer;
  writer("version", version);
  writer("state", state_);
  return writer.out + "}";
}

Result<void> CanaryTest::restore(const std::string& checkpoint) {
  try {
    auto given = json::parse(checkpoint);
    Reader reader(given);
    int written = 0;
    reader("version", written);
    if (written != version) refuse("it is of another version");
    State state;
    reader("state", state);
    check(state);
    state_ = std::move(state);
  } catch (const std::exception& error) {
    return Failure{Errc::bad_input, std::string("not a checkpoint of the canary test: ") + error.what()};
  }
  return {};
}

}  // namespace shiftd
