#include "tests/fakes/fleets.hpp"

#include <charconv>
#include <stdexcept>

namespace shiftd {

Observed observed(Setting setting, const std::string& revision) {
  auto bytes = "{\"pooled\":\"" + std::string(to_string(setting.pooled)) + "\",\"weight\":" + std::to_string(setting.weight) + "}";
  return {setting, std::move(bytes), revision};
}

Fleet fleet_of(const FleetSpec& spec) {
  Fleet fleet;
  auto threshold = spec.threshold;
  if (threshold.counted == 0) threshold.counted = static_cast<std::uint32_t>(spec.hosts);
  if (threshold.view.empty()) threshold = {};
  for (const auto& pool : spec.pools) fleet.pools.push_back({pool, spec.capabilities, 0, threshold});
  for (int number = 1; number <= spec.hosts; ++number) {
    auto name = "web" + std::to_string(number);
    auto digest = std::string(spec.already.contains(number) ? new_digest : old_digest);
    fleet.hosts.push_back({name, "10.0.0." + std::to_string(number), digest});
    if (spec.without.contains(number)) continue;
    for (std::size_t pool = 0; pool < spec.pools.size(); ++pool) {
      const auto& weights = pool < spec.pool_weights.size() ? spec.pool_weights[pool] : spec.weights;
      auto weight = weights[static_cast<std::size_t>(number - 1) % weights.size()];
      bool missed = spec.missed.contains(number);
      auto pooled = missed || spec.depooled.contains(number) ? Pooled::no : Pooled::yes;
      fleet.members.push_back({name, spec.pools[pool], name, observed({pooled, weight}), "restore " + name});
      if (missed) fleet.members.back().owed = observed({Pooled::yes, weight});
    }
  }
  return fleet;
}

Duration duration_of(std::string_view text) {
  std::int64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  auto unit = std::string_view(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc{}) throw std::invalid_argument("not a duration: " + std::string(text));
  if (unit == "ms") return Duration(count);
  if (unit == "s") return std::chrono::seconds(count);
  if (unit == "m") return std::chrono::minutes(count);
  throw std::invalid_argument("not a duration: " + std::string(text));
}

std::vector<StageSpec> stages_of(std::string_view text) {
  std::vector<StageSpec> stages;
  while (!text.empty()) {
    auto word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    StageSpec stage;
    if (word.ends_with('!')) {
      stage.gate = Gate::manual;
      word.remove_suffix(1);
    }
    if (auto at = word.find('@'); at != std::string_view::npos) {
      stage.bake = duration_of(word.substr(at + 1));
      word = word.substr(0, at);
    }
    stage.share = parse_share(word).value();
    stages.push_back(stage);
  }
  return stages;
}

Request request_for(std::vector<std::string> limit) {
  Request request;
  request.rollout = "r-1";
  request.service = "web";
  request.release = {"2.0", std::string(new_digest), "/srv/web-2.0.tar"};
  request.limit = std::move(limit);
  request.by = "ada";
  return request;
}

Rollout asked_for(const Request& request, Instant at) {
  Rollout rollout;
  apply(rollout, {at, Requested{request}});
  return rollout;
}

}  // namespace shiftd
