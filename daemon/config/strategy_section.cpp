#include <algorithm>

#include "daemon/config/sections.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_stages = 100;
constexpr std::size_t most_canaries = 1'000;

std::optional<HostQuota> some_hosts(const yaml::Value& value) {
  auto given = quota(value);
  if (given && given->count == 0 && (!given->percent || given->percent->value == 0)) {
    return value.refuse("0 hosts would never get anywhere: write at least 1, or a percentage above 0%");
  }
  return given;
}

std::optional<HostQuota> hosts_ahead(const yaml::Value& value) {
  auto given = value.scalar("a number of hosts such as 20, a percentage such as 10%, or all");
  if (!given) return std::nullopt;
  return *given == "all" ? every_host : some_hosts(value);
}

std::optional<CanaryChoice> canary(const yaml::Value& value) {
  if (!value.is_list()) {
    auto given = some_hosts(value);
    return given ? std::optional<CanaryChoice>(*given) : std::nullopt;
  }
  auto names = yaml::list(name, most_canaries, "a list of host names")(value);
  return names ? std::optional<CanaryChoice>(*std::move(names)) : std::nullopt;
}

std::optional<BasisPoints> stage_share(const yaml::Value& value) {
  auto given = share(value);
  if (given && given->value == 0) return value.refuse("a stage of 0% shows nothing: write more than 0%");
  return given;
}

void read_stage(yaml::Section& at, StageSpec& stage) {
  stage.bake = unsaid_bake;
  at.required("share", stage.share, stage_share, "share: 5%");
  at.optional("bake", stage.bake, duration(0s, 30 * 24h));
  at.optional("gate", stage.gate, word<Gate>({{"open", Gate::open}, {"manual", Gate::manual}}));
}

std::optional<std::vector<StageSpec>> stages(const yaml::Value& value) {
  auto given = yaml::list(yaml::section(read_stage), most_stages, "a list of stages")(value);
  if (!given) return std::nullopt;
  // A share that could not be read is 0 and has its error already.
  auto unreadable = std::any_of(given->begin(), given->end(), [](const StageSpec& stage) { return stage.share.value == 0; });
  if (unreadable) return given;
  for (std::size_t i = 1; i < given->size(); ++i) {
    auto before = (*given)[i - 1].share;
    auto share_here = (*given)[i].share;
    if (share_here > before) continue;
    value.document().refuse_at(
        value.key() + "[" + std::to_string(i) + "].share",
        to_string(share_here) + " after " + to_string(before) + " does not rise: every stage asks for more than the one before");
  }
  if (given->back().share < all_traffic) {
    value.document().refuse_at(
        value.key() + "[" + std::to_string(given->size() - 1) + "].share",
        "the last stage asks for " + to_string(given->back().share) + ": add '- {share: 100%}', so that the rollout can end");
  }
  return given;
}

std::optional<double> load_bound(const yaml::Value& value) { return factor_within(value, 1, 100); }

std::optional<double> confidence(const yaml::Value& value) {
  auto given = fraction(value);
  if (given && (*given < 0.5 || *given >= 1))
    return value.refuse("must be 50% to less than 100%, as no evidence is ever complete: write 99%");
  return given;
}

std::optional<std::uint64_t> failed_requests(const yaml::Value& value) {
  auto given = whole(0, 1'000'000'000)(value);
  if (!given) return std::nullopt;
  return static_cast<std::uint64_t>(*given);
}

}  // namespace

void read_strategy(yaml::Section& at, Strategy& strategy) {
  at.optional("canary", strategy.canary, canary);
  at.optional("stages", strategy.stages, stages);
  at.optional("batch", strategy.batch, some_hosts);
  at.optional("max_failed", strategy.max_failed, quota);
  at.optional("floor", strategy.floor, share);
  at.optional("max_load", strategy.max_load, load_bound);
  at.optional("max_load_rollback", strategy.max_load_rollback, load_bound);
  at.optional("allow_downtime", strategy.allow_downtime, true_or_false);
  at.optional("scale_pool", strategy.scale_pool, true_or_false);
  at.optional("when_busy", strategy.when_busy, word<WhenBusy>({{"refuse", WhenBusy::refuse}, {"queue", WhenBusy::queue}}));
  at.optional("depooled", strategy.depooled, word<Depooled>({{"upgrade", Depooled::upgrade}, {"skip", Depooled::skip}}));
  at.optional("max_members", strategy.max_members, whole(1, 2'000'000));
  at.optional("prepare_ahead", strategy.prepare_ahead, hosts_ahead);
  at.optional("prepare_at_once", strategy.prepare_at_once, whole(1, prepare_at_once_most));

  at.optional("confirm_limit", strategy.confirm_limit, duration(100ms, 1h));
  at.optional("drain_limit", strategy.drain_limit, duration(1s, 24h));
  at.optional("on_drain_limit", strategy.on_drain_limit,
              word<DrainDeadline>({{"give_back", DrainDeadline::give_back}, {"go_on", DrainDeadline::go_on}}));
  at.optional("rollback_drain_limit", strategy.rollback_drain_limit, duration(0s, 24h));
  at.optional("drain_grace", strategy.drain_grace, duration(0s, 1h));
  at.optional("prepare_limit", strategy.prepare_limit, duration(1s, 24h));
  at.optional("upgrade_limit", strategy.upgrade_limit, duration(1s, 24h));
  at.optional("verify_limit", strategy.verify_limit, duration(1s, 24h));
  at.optional("health_limit", strategy.health_limit, duration(1s, 24h));
  at.optional("blind_limit", strategy.blind_limit, duration(1s, 24h));
  at.optional("min_requests", strategy.min_requests, whole(0, 100'000'000));

  if (strategy.max_load && strategy.max_load_rollback < *strategy.max_load) {
    at.refuse("'max_load_rollback' is less than 'max_load': rolling back must be allowed at least the load of going forward");
  }
}

void read_verdict(yaml::Section& at, VerdictConfig& config) {
  auto& verdict = config.options;
  at.optional("tolerate", verdict.tolerate, factor(1, 100));
  at.optional("ignore_below", verdict.ignore_below, fraction);
  at.optional("confidence", verdict.confidence, confidence);
  at.optional("warm_up", verdict.warm_up, duration(0s, 24h));
  at.optional("warm_up_tolerance", verdict.warm_up_tolerance, fraction);
  at.optional("watch_first", verdict.watch_first, duration(0s, 6h));
  at.optional("min_bake", config.min_bake, duration(0s, 30 * 24h));
  at.optional("max_bake", verdict.max_bake, duration(0s, 30 * 24h));
  at.optional("at_max_bake", verdict.at_max_bake, word<AtMaxBake>({{"promote", AtMaxBake::promote}, {"hold", AtMaxBake::hold}}));
  at.optional("harm_limit", verdict.harm_limit, failed_requests);
  at.optional("ceiling", verdict.ceiling, fraction);
  if (at.has("min_bake") && at.has("max_bake") && verdict.max_bake < config.min_bake)
    at.refuse("'max_bake' is less than 'min_bake': a stage may wait for its proof no longer than it is watched in any case");
}

}  // namespace shiftd
