#include "daemon/api/render.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "daemon/api/plan_text.hpp"
#include "daemon/driver/plan_digest.hpp"
#include "daemon/engine/codec.hpp"
#include "daemon/engine/release_on.hpp"

namespace shiftd {
namespace {

using Json = nlohmann::ordered_json;

// Load balancers and hosts say what they like: what is no UTF-8 is replaced.
std::string text_of(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::int64_t count_of(Instant instant) { return instant.time_since_epoch().count(); }

Json release_json(const Release& release) {
  return {{"version", release.version}, {"source", release.source}, {"sha256", release.digest}, {"config", release.config}};
}

Json member_json(const Rollout& rollout, MemberIndex index) {
  const auto& planned = rollout.plan.members[index];
  const auto& state = rollout.members[index];
  return {{"pool", rollout.plan.pools[planned.pool].name},
          {"name", planned.name},
          {"pooled", to_string(state.known.setting.pooled)},
          {"weight", state.known.setting.weight},
          {"wanted_pooled", to_string(state.wanted.pooled)},
          {"wanted_weight", state.wanted.weight},
          {"original_pooled", to_string(state.original.setting.pooled)},
          {"original_weight", state.original.setting.weight},
          {"holder", to_string(state.holder)},
          {"confirmed", state.confirmed}};
}

Json host_json(const RolloutStatus& status, HostIndex index) {
  const auto& planned = status.rollout.plan.hosts[index];
  const auto& state = status.rollout.hosts[index];
  auto live = index < status.live.hosts.size() ? status.live.hosts[index] : HostLive{};
  Json members = Json::array();
  for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member)
    members.push_back(member_json(status.rollout, member));
  return {{"name", planned.name},
          {"address", planned.address},
          {"role", to_string(planned.role)},
          {"phase", to_string(state.phase)},
          {"since", count_of(state.since)},
          {"why", state.why},
          {"failed", state.failed},
          {"down", state.down > 0},
          {"erring", state.erring},
          {"release", release_on(status.rollout, index)},
          {"key", state.key},
          {"rendered", state.rendered},
          {"requests", live.requests},
          {"failures", live.failures},
          {"members", std::move(members)}};
}

Json stage_json(const PlannedStage& stage) {
  return {{"asked_bp", stage.asked.value},
          {"achievable", stage.achievable},
          {"hosts", stage.hosts},
          {"bake_ms", stage.bake.count()},
          {"gate", stage.gate == Gate::manual ? "manual" : "open"},
          {"judged", stage.judged}};
}

std::int64_t bake_remaining(const Rollout& rollout, Instant now) {
  if (rollout.phase != Phase::baking || rollout.paused) return 0;
  return std::max<std::int64_t>(0, (rollout.bake_until - now).count());
}

Json share_json(const RolloutStatus& status) {
  const auto& rollout = status.rollout;
  bool planned = rollout.stage < rollout.plan.stages.size();
  return {{"asked_bp", planned ? rollout.current_stage().asked.value : 0},
          {"achievable", planned ? rollout.current_stage().achievable : 0},
          {"served", status.live.served_share}};
}

Json member_status(const PoolMemberStatus& member, const PoolStatus& pool) {
  Json views = Json::array();
  for (std::size_t view = 0; view < member.views.size(); ++view) {
    const auto& seen = member.views[view];
    Json shown{{"view", pool.views[view].name}, {"traffic", to_string(seen.traffic)}, {"health", to_string(seen.health)},
               {"weight", seen.weight},         {"connections", seen.connections},    {"why", seen.why}};
    if (seen.taken_up) shown["taken_up"] = to_string(*seen.taken_up);
    views.push_back(std::move(shown));
  }
  Json shown{{"host", member.host}, {"member", member.member}, {"views", views}, {"drift", member.drift}};
  if (!member.malformed.empty()) shown["malformed"] = member.malformed;
  if (member.missing) shown["missing"] = true;
  if (!member.observed.revision.empty()) {
    if (member.malformed.empty()) shown["pooled"] = to_string(member.observed.setting.pooled);
    if (member.malformed.empty()) shown["weight"] = member.observed.setting.weight;
    shown["bytes"] = member.observed.bytes;
    shown["revision"] = member.observed.revision;
  }
  if (!member.holder.empty()) {
    shown["holder"] = member.holder;
    shown["original_pooled"] = to_string(member.original.setting.pooled);
    shown["original_weight"] = member.original.setting.weight;
    shown["original_bytes"] = member.original.bytes;
  }
  if (!member.restore.empty()) shown["restore"] = member.restore;
  return shown;
}

}  // namespace

std::string render(const RolloutStatus& status, Instant now, const std::vector<SinkStatus>& sinks) {
  const auto& rollout = status.rollout;
  const auto& request = rollout.request;
  const auto& live = status.live;
  Json value = {
      {"rollout", request.rollout},
      {"service", request.service},
      {"version", request.release.version},
      {"phase", to_string(rollout.phase)},
      {"outcome", to_string(rollout.outcome)},
      {"reason", rollout.reason},
      {"created", count_of(rollout.created)},
      {"changed", count_of(rollout.now)},
      {"request", {{"by", request.by}, {"reason", request.reason}, {"limit", request.limit}, {"release", release_json(request.release)}}},
      {"paused", rollout.paused},
      {"held", rollout.held},
      {"condemned", rollout.condemned},
      {"shrunk", rollout.shrunk},
      {"stage", rollout.stage},
      {"bake_remaining_ms", bake_remaining(rollout, now)},
      {"share", share_json(status)},
      {"verdict",
       {{"canary_requests", live.canary_requests},
        {"canary_failures", live.canary_failures},
        {"baseline_requests", live.baseline_requests},
        {"baseline_failures", live.baseline_failures},
        {"e_value", live.e_value},
        {"watch_ms", rollout.watched ? 0 : rollout.plan.watch.count()},
        {"watched_ms", live.watched.count()},
        {"evidence", live.evidence}}},
      {"metrics", Json::array()},
      {"lost", Json::array()},
      {"closed", Json::array()},
      {"unannounced", Json::array()},
      {"stages", Json::array()},
      {"hosts", Json::array()},
      {"notes", rollout.plan.notes},
      {"records", rollout.records}};
  for (const auto& metric : live.metrics) {
    value["metrics"].push_back({{"name", metric.name},
                                {"may", metric.may},
                                {"text", metric.text},
                                {"trouble", metric.trouble},
                                {"speaks_against", metric.speaks_against},
                                {"ignored", metric.ignored}});
  }
  for (const auto& [source, why] : rollout.lost) value["lost"].push_back({{"source", source}, {"why", why}});
  for (const auto& [pool, why] : rollout.closed) value["closed"].push_back({{"pool", rollout.plan.pools[pool].name}, {"why", why}});
  for (const auto& sink : sinks) {
    if (!sink.trouble.empty())
      value["unannounced"].push_back({{"sink", sink.name}, {"why", sink.trouble}, {"since", count_of(sink.since)}});
  }
  for (const auto& stage : rollout.plan.stages) value["stages"].push_back(stage_json(stage));
  auto& hosts = value["hosts"];
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) hosts.push_back(host_json(status, host));
  return text_of(value);
}

std::string render(const std::vector<RolloutBrief>& briefs) {
  Json list = Json::array();
  for (const auto& brief : briefs) {
    list.push_back({{"rollout", brief.rollout},
                    {"service", brief.service},
                    {"version", brief.version},
                    {"phase", brief.phase},
                    {"outcome", brief.outcome},
                    {"reason", brief.reason},
                    {"created", count_of(brief.created)},
                    {"changed", count_of(brief.changed)}});
  }
  return text_of({{"rollouts", std::move(list)}});
}

std::string render(const std::vector<PoolStatus>& pools) {
  Json all = Json::array();
  for (const auto& pool : pools) {
    Json views = Json::array();
    for (const auto& view : pool.views) views.push_back({{"name", view.name}, {"trouble", view.trouble}, {"closed", view.closed}});
    Json members = Json::array();
    for (const auto& member : pool.members) members.push_back(member_status(member, pool));
    all.push_back({{"pool", pool.pool}, {"trouble", pool.trouble}, {"rollout", pool.rollout}, {"views", views}, {"members", members}});
  }
  return text_of({{"pools", all}});
}

std::string render_services(const std::vector<std::string>& services) { return text_of({{"services", services}}); }

std::string render_started(std::string_view rollout) { return text_of({{"rollout", rollout}}); }

std::string render(const Proposal& proposal) {
  auto text = to_json(proposal.plan);
  // The plan of a large fleet is megabytes: the words are put into its text rather than reading it again.
  text.back() = ',';
  Json runs = Json::array();
  for (const auto& [hosts, what] : proposal.dry_runs) runs.push_back({{"hosts", hosts}, {"text", what}});
  text += "\"digest\":\"" + plan_digest(proposal.plan) + "\",\"dry_runs\":" + text_of(runs) + ",";
  return text + "\"text\":" + text_of(Json(plan_text(proposal))) + "}";
}

}  // namespace shiftd
