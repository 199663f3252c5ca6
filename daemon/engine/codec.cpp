#include "daemon/engine/codec.hpp"

#include <array>
#include <limits>
#include <stdexcept>

#include "daemon/engine/codec_fields.hpp"

namespace shiftd {
namespace {

// The kinds, in the order of Fact's alternatives. These words are for ever.
constexpr std::array kinds = {
    "requested",        "planned",           "host_moved",      "host_health",    "late_result",   "member_wanted", "member_set",
    "member_confirmed", "member_taken",      "member_returned", "source_lost",    "source_back",   "stage_begun",   "stage_baking",
    "stage_passed",     "gate_reached",      "gate_passed",     "held",           "shrunk",        "finishing",     "paused",
    "resumed",          "rolling_back",      "aborting",        "clock_jumped",   "quarantined",   "ended",         "pool_closed",
    "pool_opened",      "weights_due",       "scaled",          "overridden",     "member_health", "share_off",     "host_erring",
    "forced",           "threshold_changed", "watched",         "metric_ignored", "release_found"};
static_assert(kinds.size() == std::variant_size_v<Fact>);

template <std::size_t Index = 0>
Fact read_fact(std::size_t kind, FieldReader& reader) {
  if constexpr (Index < std::variant_size_v<Fact>) {
    if (kind != Index) return read_fact<Index + 1>(kind, reader);
    std::variant_alternative_t<Index, Fact> fact;
    fields(reader, fact);
    return fact;
  } else {
    throw FieldError("no such kind");
  }
}

std::size_t kind_of(std::string_view word) {
  static const auto index = [] {
    std::unordered_map<std::string_view, std::size_t> map;
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) map.emplace(kinds[kind], kind);
    return map;
  }();
  auto found = index.find(word);
  if (found == index.end()) throw FieldError("unknown kind '" + std::string(word.substr(0, 40)) + "'");
  return found->second;
}

}  // namespace

std::string Codec::encode(const Record& record) {
  learn(record);
  FieldWriter writer(names_);
  writer.begin(record_version, record.at, kinds[record.fact.index()]);
  std::visit([&](const auto& fact) { fields(writer, const_cast<std::remove_cvref_t<decltype(fact)>&>(fact)); }, record.fact);
  return writer.end();
}

Result<Record> Codec::decode(std::string_view text) {
  try {
    auto json = nlohmann::json::parse(text);
    if (!json.is_object()) return Failure{Errc::bad_input, "a record is a JSON object"};
    FieldReader reader(json, names_);
    if (auto version = reader.version(); version != record_version)
      return Failure{Errc::bad_input,
                     "record version " + std::to_string(version) + "; this shiftd reads version " + std::to_string(record_version)};
    Record record;
    reader.field("at", record.at);
    record.fact = read_fact(kind_of(reader.word("is")), reader);
    learn(record);
    return record;
  } catch (const nlohmann::json::exception& error) {
    return Failure{Errc::bad_input, std::string("record: ") + error.what()};
  } catch (const FieldError& error) {
    return Failure{Errc::bad_input, std::string("record: ") + error.what()};
  }
}

void Codec::learn(const Record& record) {
  const auto* planned = std::get_if<Planned>(&record.fact);
  if (planned == nullptr) return;
  names_ = {};
  names_.stages = planned->plan.stages.size();
  for (const auto& pool : planned->plan.pools) {
    names_.pool_index.emplace(pool.name, static_cast<PoolIndex>(names_.pools.size()));
    names_.pools.push_back(pool.name);
  }
  for (const auto& host : planned->plan.hosts) {
    names_.host_index.emplace(host.name, static_cast<HostIndex>(names_.hosts.size()));
    names_.hosts.push_back(host.name);
  }
  for (const auto& member : planned->plan.members) {
    auto name = planned->plan.pools[member.pool].name + "/" + member.name;
    names_.member_index.emplace(name, static_cast<MemberIndex>(names_.members.size()));
    names_.members.push_back(std::move(name));
  }
}

Result<Rollout> fold(const std::vector<std::string>& records, Codec& codec) {
  Rollout rollout;
  for (std::size_t number = 0; number < records.size(); ++number) {
    auto record = codec.decode(records[number]);
    if (!record) return std::move(record).error().during("record " + std::to_string(number));
    try {
      apply(rollout, *record);
    } catch (const std::out_of_range&) {
      return Failure{Errc::bad_input, "record " + std::to_string(number) + " names what the plan does not have"};
    }
  }
  return rollout;
}

std::string to_json(const Plan& plan) { return dumped(plan_to_json(plan)); }

}  // namespace shiftd
