// The plan and its parts in JSON, and the words of enumerations.

#include <charconv>
#include <set>

#include "daemon/engine/codec_fields.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

template <class Enum, std::size_t Count>
Enum enum_from(const std::string& word, const char* what) {
  for (std::size_t value = 0; value < Count; ++value) {
    if (word == to_string(static_cast<Enum>(value))) return static_cast<Enum>(value);
  }
  throw FieldError(std::string(what) + " '" + word.substr(0, 40) + "' is unknown");
}

// One of two words.
bool chooses(const json& value, const char* name, std::string_view yes, std::string_view no) {
  const auto& word = value.at(name).get_ref<const std::string&>();
  if (word != yes && word != no) throw FieldError(std::string(name) + " '" + word.substr(0, 40) + "' is unknown");
  return word == yes;
}

json setting_to_json(const Setting& setting) { return {{"pooled", to_string(setting.pooled)}, {"weight", setting.weight}}; }

Setting setting_from_json(const json& json_value) {
  return {enum_from<Pooled, 3>(json_value.at("pooled"), "pooled"), integer<int>(json_value.at("weight"), "weight")};
}

json quota_to_json(const HostQuota& quota) {
  if (quota.percent) return {{"basis_points", quota.percent->value}};
  return {{"count", quota.count}};
}

HostQuota quota_from_json(const json& value) {
  if (value.contains("basis_points")) return {0, BasisPoints{integer<int>(value.at("basis_points"), "basis_points")}};
  return {integer<int>(value.at("count"), "count"), {}};
}

json strategy_to_json(const Strategy& strategy) {
  json value;
  if (const auto* names = std::get_if<std::vector<std::string>>(&strategy.canary)) {
    value["canary"] = *names;
  } else {
    value["canary"] = quota_to_json(std::get<HostQuota>(strategy.canary));
  }
  for (const auto& stage : strategy.stages) {
    value["stages"].push_back(
        {{"share_bp", stage.share.value}, {"bake_ms", stage.bake.count()}, {"gate", stage.gate == Gate::manual ? "manual" : "open"}});
  }
  value["batch"] = quota_to_json(strategy.batch);
  value["max_failed"] = quota_to_json(strategy.max_failed);
  if (strategy.floor) value["floor_bp"] = strategy.floor->value;
  if (strategy.max_load) value["max_load"] = *strategy.max_load;
  value["max_load_rollback"] = strategy.max_load_rollback;
  value["allow_downtime"] = strategy.allow_downtime;
  value["scale_pool"] = strategy.scale_pool;
  value["when_busy"] = strategy.when_busy == WhenBusy::queue ? "queue" : "refuse";
  if (strategy.depooled == Depooled::skip) value["depooled"] = "skip";
  if (strategy.max_members) value["max_members"] = *strategy.max_members;
  if (strategy.prepare_ahead) value["prepare_ahead"] = quota_to_json(*strategy.prepare_ahead);
  if (strategy.prepare_at_once) value["prepare_at_once"] = *strategy.prepare_at_once;
  if (strategy.prepare_limit) value["prepare_limit_ms"] = strategy.prepare_limit->count();
  value["confirm_limit_ms"] = strategy.confirm_limit.count();
  value["drain_limit_ms"] = strategy.drain_limit.count();
  value["on_drain_limit"] = strategy.on_drain_limit == DrainDeadline::go_on ? "go_on" : "give_back";
  value["rollback_drain_limit_ms"] = strategy.rollback_drain_limit.count();
  value["drain_grace_ms"] = strategy.drain_grace.count();
  value["upgrade_limit_ms"] = strategy.upgrade_limit.count();
  value["verify_limit_ms"] = strategy.verify_limit.count();
  value["health_limit_ms"] = strategy.health_limit.count();
  value["blind_limit_ms"] = strategy.blind_limit.count();
  value["min_requests"] = strategy.min_requests;
  return value;
}

void read_duration(const json& value, const char* name, Duration& duration) {
  if (auto found = value.find(name); found != value.end()) duration = Duration(integer<std::int64_t>(*found, name));
}

Strategy strategy_from_json(const json& value) {
  Strategy strategy;
  const auto& canary = value.at("canary");
  if (canary.is_array()) {
    strategy.canary = canary.get<std::vector<std::string>>();
  } else {
    strategy.canary = quota_from_json(canary);
  }
  if (value.contains("stages")) {
    for (const auto& stage : value.at("stages")) {
      strategy.stages.push_back({BasisPoints{integer<int>(stage.at("share_bp"), "share_bp")},
                                 Duration(integer<std::int64_t>(stage.at("bake_ms"), "bake_ms")),
                                 chooses(stage, "gate", "manual", "open") ? Gate::manual : Gate::open});
    }
  }
  strategy.batch = quota_from_json(value.at("batch"));
  strategy.max_failed = quota_from_json(value.at("max_failed"));
  if (value.contains("floor_bp")) strategy.floor = BasisPoints{integer<int>(value.at("floor_bp"), "floor_bp")};
  if (value.contains("max_load")) strategy.max_load = value.at("max_load").get<double>();
  strategy.max_load_rollback = value.at("max_load_rollback").get<double>();
  strategy.allow_downtime = value.at("allow_downtime").get<bool>();
  strategy.scale_pool = value.at("scale_pool").get<bool>();
  strategy.when_busy = chooses(value, "when_busy", "queue", "refuse") ? WhenBusy::queue : WhenBusy::refuse;
  if (value.contains("depooled")) strategy.depooled = chooses(value, "depooled", "skip", "upgrade") ? Depooled::skip : Depooled::upgrade;
  if (value.contains("max_members")) strategy.max_members = integer<int>(value.at("max_members"), "max_members");
  if (value.contains("prepare_ahead")) strategy.prepare_ahead = quota_from_json(value.at("prepare_ahead"));
  if (value.contains("prepare_at_once")) {
    strategy.prepare_at_once = integer<int>(value.at("prepare_at_once"), "prepare_at_once");
    if (*strategy.prepare_at_once < 1) throw FieldError("'prepare_at_once' is at least 1");
  }
  if (value.contains("prepare_limit_ms"))
    strategy.prepare_limit = Duration(integer<std::int64_t>(value.at("prepare_limit_ms"), "prepare_limit_ms"));
  strategy.on_drain_limit = chooses(value, "on_drain_limit", "go_on", "give_back") ? DrainDeadline::go_on : DrainDeadline::give_back;
  read_duration(value, "confirm_limit_ms", strategy.confirm_limit);
  read_duration(value, "drain_limit_ms", strategy.drain_limit);
  read_duration(value, "rollback_drain_limit_ms", strategy.rollback_drain_limit);
  read_duration(value, "drain_grace_ms", strategy.drain_grace);
  read_duration(value, "upgrade_limit_ms", strategy.upgrade_limit);
  read_duration(value, "verify_limit_ms", strategy.verify_limit);
  read_duration(value, "health_limit_ms", strategy.health_limit);
  read_duration(value, "blind_limit_ms", strategy.blind_limit);
  strategy.min_requests = integer<int>(value.at("min_requests"), "min_requests");
  return strategy;
}

json capabilities_to_json(const Capabilities& capabilities) {
  json value{{"weight_least", capabilities.weight_least},
             {"weight_most", capabilities.weight_most},
             {"weights_steer", capabilities.weights_steer},
             {"shares_requests", capabilities.shares_requests},
             {"conditional_writes", capabilities.conditional_writes},
             {"survives_restart", capabilities.survives_restart},
             {"depool_threshold", capabilities.depool_threshold}};
  // Added later: left out where it says nothing, and read as nothing where it is left out.
  if (capabilities.cuts_connections) value["cuts_connections"] = true;
  if (capabilities.writes_per_second > 0) value["writes_per_second"] = capabilities.writes_per_second;
  return value;
}

Capabilities capabilities_from_json(const json& value) {
  return {integer<int>(value.at("weight_least"), "weight_least"),
          integer<int>(value.at("weight_most"), "weight_most"),
          value.at("weights_steer").get<bool>(),
          value.at("shares_requests").get<bool>(),
          value.at("conditional_writes").get<bool>(),
          value.at("survives_restart").get<bool>(),
          value.at("depool_threshold").get<double>(),
          value.value("cuts_connections", false),
          value.value("writes_per_second", 0.0)};
}

}  // namespace

std::string dumped(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json bytes_to_json(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (unsigned char byte : bytes) {
    hex += digits[byte >> 4U];
    hex += digits[byte & 15U];
  }
  return {{"hex", std::move(hex)}};
}

std::string bytes_from_json(const json& value, const char* name) {
  if (value.is_string()) return value.get<std::string>();
  const auto& hex = value.at("hex").get_ref<const std::string&>();
  std::string bytes;
  for (std::size_t at = 0; at < hex.size(); at += 2) {
    unsigned byte = 0;
    auto [end, error] = std::from_chars(hex.data() + at, hex.data() + std::min(at + 2, hex.size()), byte, 16);
    if (error != std::errc{} || end != hex.data() + at + 2) throw FieldError(std::string("'") + name + "' is no hex");
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

namespace {

json observed_to_json(const Observed& observed) {
  auto value = setting_to_json(observed.setting);
  value["bytes"] = bytes_to_json(observed.bytes);
  value["revision"] = bytes_to_json(observed.revision);
  return value;
}

Observed observed_from_json(const json& value) {
  return {setting_from_json(value), bytes_from_json(value.at("bytes"), "bytes"), bytes_from_json(value.at("revision"), "revision")};
}

}  // namespace

json request_to_json(const Request& request) {
  json release{{"version", request.release.version}, {"digest", request.release.digest}, {"source", request.release.source}};
  if (!request.release.config.empty()) release["config"] = request.release.config;
  if (request.release.irreversible) release["irreversible"] = true;
  json value{{"rollout", request.rollout}, {"service", request.service}, {"release", std::move(release)},
             {"limit", request.limit},     {"by", request.by},           {"reason", request.reason}};
  if (request.no_watch) value["no_watch"] = true;
  if (request.untested) value["untested"] = true;
  return value;
}

Request request_from_json(const json& value) {
  const auto& release = value.at("release");
  return {value.at("rollout"),
          value.at("service"),
          {release.at("version"), release.at("digest"), release.at("source"), release.value("config", ""),
           release.value("irreversible", false)},
          value.at("limit"),
          value.at("by"),
          value.at("reason"),
          value.value("no_watch", false),
          value.value("untested", false)};
}

json threshold_to_json(const DepoolThreshold& threshold) {
  return {{"view", threshold.view}, {"share", threshold.share}, {"counted", threshold.counted}, {"others", threshold.others}};
}

DepoolThreshold threshold_from_json(const json& value) {
  return {value.at("view"), value.at("share").get<double>(), integer<std::uint32_t>(value.at("counted"), "counted"),
          integer<std::uint32_t>(value.at("others"), "others")};
}

json plan_to_json(const Plan& plan) {
  json value;
  value["request"] = request_to_json(plan.request);
  value["strategy"] = strategy_to_json(plan.strategy);
  for (const auto& pool : plan.pools) {
    value["pools"].push_back({{"name", pool.name},
                              {"capabilities", capabilities_to_json(pool.capabilities)},
                              {"weight", pool.weight},
                              {"floor", pool.floor},
                              {"least_flow", pool.least_flow},
                              {"least_flow_rollback", pool.least_flow_rollback},
                              {"serving", pool.serving},
                              {"least_serving", pool.least_serving}});
    if (pool.scale != 1) value["pools"].back()["scale"] = pool.scale;
    if (!pool.threshold.view.empty()) value["pools"].back()["threshold"] = threshold_to_json(pool.threshold);
    if (pool.margin != 1) value["pools"].back()["margin"] = pool.margin;
  }
  // The hosts hold their members, so that a person reads one host in one place.
  for (const auto& host : plan.hosts) {
    json members = json::array();
    for (auto index = host.first_member; index < host.first_member + host.members; ++index) {
      const auto& member = plan.members[index];
      members.push_back(
          {{"pool", member.pool}, {"name", member.name}, {"original", observed_to_json(member.original)}, {"restore", member.restore}});
      if (member.found) members.back()["found"] = observed_to_json(*member.found);
    }
    json planned{{"name", host.name}, {"address", host.address}, {"digest", host.digest}, {"role", to_string(host.role)}};
    if (!host.asked) planned["asked"] = false;
    if (host.returning) planned["returning"] = true;
    planned["members"] = std::move(members);
    value["hosts"].push_back(std::move(planned));
  }
  for (const auto& stage : plan.stages) {
    value["stages"].push_back({{"asked_bp", stage.asked.value},
                               {"achievable", stage.achievable},
                               {"hosts", stage.hosts},
                               {"factors", stage.factors},
                               {"bake_ms", stage.bake.count()},
                               {"gate", stage.gate == Gate::manual ? "manual" : "open"},
                               {"judged", stage.judged}});
  }
  value["batch"] = plan.batch;
  value["max_failed"] = plan.max_failed;
  if (plan.watch > Duration(0)) value["watch_ms"] = plan.watch.count();
  value["notes"] = plan.notes;
  return value;
}

Plan plan_from_json(const json& value) {
  static const json none = json::array();
  auto list = [&](const char* name) -> const json& { return value.contains(name) ? value.at(name) : none; };
  Plan plan;
  plan.request = request_from_json(value.at("request"));
  plan.strategy = strategy_from_json(value.at("strategy"));
  for (const auto& pool : list("pools")) {
    auto& planned = plan.pools.emplace_back();
    planned.name = pool.at("name");
    planned.capabilities = capabilities_from_json(pool.at("capabilities"));
    planned.weight = integer<std::int64_t>(pool.at("weight"), "weight");
    planned.floor = integer<std::int64_t>(pool.at("floor"), "floor");
    planned.least_flow = integer<std::int64_t>(pool.at("least_flow"), "least_flow");
    planned.least_flow_rollback = integer<std::int64_t>(pool.at("least_flow_rollback"), "least_flow_rollback");
    planned.serving = integer<std::uint32_t>(pool.at("serving"), "serving");
    planned.least_serving = integer<std::uint32_t>(pool.at("least_serving"), "least_serving");
    if (pool.contains("scale")) planned.scale = integer<int>(pool.at("scale"), "scale");
    if (pool.contains("threshold")) planned.threshold = threshold_from_json(pool.at("threshold"));
    if (pool.contains("margin")) planned.margin = integer<std::uint32_t>(pool.at("margin"), "margin");
    if (planned.scale < 1) throw FieldError("'scale' of a pool is at least 1");
  }
  for (const auto& host : list("hosts")) {
    auto index = static_cast<HostIndex>(plan.hosts.size());
    auto first = static_cast<MemberIndex>(plan.members.size());
    for (const auto& member : host.at("members")) {
      auto pool = integer<PoolIndex>(member.at("pool"), "pool");
      if (pool >= plan.pools.size())
        throw FieldError("host " + host.at("name").get<std::string>() + " names a pool that the plan does not have");
      auto& planned = plan.members.emplace_back();
      planned = {pool, index, member.at("name"), observed_from_json(member.at("original")), member.at("restore")};
      if (member.contains("found")) planned.found = observed_from_json(member.at("found"));
    }
    auto role = enum_from<Role, 3>(host.at("role"), "role");
    plan.hosts.push_back({host.at("name"), host.at("address"), host.at("digest"), role, first,
                          static_cast<std::uint32_t>(plan.members.size()) - first, host.value("asked", true),
                          host.value("returning", false)});
  }
  std::set<std::string> seen;
  for (const auto& host : plan.hosts) {
    if (!seen.insert("host " + host.name).second) throw FieldError("the plan names host '" + host.name.substr(0, 80) + "' twice");
  }
  for (const auto& member : plan.members) {
    if (!seen.insert("member " + plan.pools[member.pool].name + "/" + member.name).second)
      throw FieldError("the plan names member '" + member.name.substr(0, 80) + "' twice");
  }
  for (const auto& stage : list("stages")) {
    auto factors = stage.at("factors").get<std::vector<double>>();
    if (factors.size() != plan.pools.size()) throw FieldError("a stage needs one factor for each pool");
    plan.stages.push_back({BasisPoints{integer<int>(stage.at("asked_bp"), "asked_bp")}, stage.at("achievable").get<double>(),
                           integer<std::uint32_t>(stage.at("hosts"), "hosts"), std::move(factors),
                           Duration(integer<std::int64_t>(stage.at("bake_ms"), "bake_ms")),
                           chooses(stage, "gate", "manual", "open") ? Gate::manual : Gate::open, stage.at("judged").get<bool>()});
  }
  plan.batch = integer<std::uint32_t>(value.at("batch"), "batch");
  plan.max_failed = integer<std::uint32_t>(value.at("max_failed"), "max_failed");
  read_duration(value, "watch_ms", plan.watch);
  plan.notes = value.at("notes").get<std::vector<std::string>>();
  return plan;
}

void FieldReader::phase(HostPhase& value) const { value = enum_from<HostPhase, host_phases>(word("phase"), "phase"); }
void FieldReader::outcome(Outcome& value) const { value = enum_from<Outcome, 5>(word("outcome"), "outcome"); }

void FieldReader::setting(Setting& value) {
  value.pooled = enum_from<Pooled, 3>(word("pooled"), "pooled");
  value.weight = integer<int>(required("weight"), "weight");
}

// What a store or a person said may hold any bytes: control characters are escaped, and what is no UTF-8 is replaced, so
// that the record can always be read back.
void FieldWriter::quote(std::string_view value) {
  bool plain = true;
  for (unsigned char c : value) plain = plain && c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
  if (plain) {
    text_.append("\"").append(value).append("\"");
  } else {
    text_ += dumped(json(std::string(value)));
  }
}

}  // namespace shiftd
