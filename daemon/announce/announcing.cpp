#include "daemon/announce/announcing.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "daemon/engine/readable.hpp"

namespace shiftd {
namespace {

// What tcpircbot passes on has to fit into one line of IRC: 512 bytes with its sender and channel.
constexpr std::size_t most_action_bytes = 400;

std::string because(const std::string& why) { return why.empty() ? "" : ": " + why; }
std::string by(const std::string& who) { return who.empty() ? "" : " by " + who; }

// "set/pooled=no", "set/weight=10", "set/pooled=yes:weight=10": what differs, in confctl's words.
std::string set_words(const Setting& from, const Setting& to) {
  std::string words = "set/";
  if (from.pooled != to.pooled) words += fmt::format("pooled={}", to_string(to.pooled));
  if (from.weight != to.weight) words += fmt::format("{}weight={}", words.back() == '/' ? "" : ":", to.weight);
  return words;
}

std::string one_line(std::string text) {
  text = readable(text, most_action_bytes);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return text;
}

}  // namespace

Result<std::optional<Announcement>> Announcing::take(std::string_view text) {
  auto number = records_;
  auto record = codec_.decode(text);
  if (!record) return std::move(record).error().during("record " + std::to_string(number));
  ++records_;
  now_ = record->at;
  change_.reset();
  auto words = [this](const auto& fact) -> std::string {
    using Kind = std::remove_cvref_t<decltype(fact)>;
    if constexpr (std::is_same_v<Kind, Requested>) {
      request_ = fact.request;
    } else if constexpr (std::is_same_v<Kind, MemberSet>) {
      known_.at(fact.member) = fact.observed.setting;
    } else if constexpr (std::is_same_v<Kind, SourceLost>) {
      return of_rollout(fact.source + " does not answer" + because(fact.why));
    } else if constexpr (std::is_same_v<Kind, SourceBack>) {
      return of_rollout(fact.source + " answers again");
    } else if constexpr (std::is_same_v<Kind, Paused>) {
      return of_rollout("paused" + by(fact.by) + because(fact.reason));
    } else if constexpr (std::is_same_v<Kind, Resumed>) {
      return of_rollout("resumed" + by(fact.by));
    } else if constexpr (std::is_same_v<Kind, RollingBack>) {
      return of_rollout("rolling back" + by(fact.by) + because(fact.reason));
    } else if constexpr (std::is_same_v<Kind, Aborting>) {
      return of_rollout("aborting" + by(fact.by) + because(fact.reason));
    } else if constexpr (std::is_same_v<Kind, Forced>) {
      return of_rollout("goes on by force" + by(fact.by) + because(fact.reason));
    } else if constexpr (std::is_same_v<Kind, Quarantined>) {
      return of_rollout("quarantined, nothing is done any more" + because(fact.why));
    } else if constexpr (requires { this->say(fact); }) {
      return say(fact);
    }
    return {};
  };
  try {
    auto said = std::visit(words, record->fact);
    if (said.empty()) return std::optional<Announcement>();
    return std::optional(Announcement{request_.rollout, request_.service, number, now_, one_line(std::move(said)), std::move(change_)});
  } catch (const std::out_of_range&) {
    return Failure{Errc::bad_input, "record " + std::to_string(number) + " names what the plan does not have"};
  }
}

std::string Announcing::of_rollout(const std::string& words) const {
  return fmt::format("shiftd rollout {} : {}", request_.rollout, words);
}

std::string Announcing::stage(StageIndex index) const {
  return fmt::format("stage {} of {} ({})", index + 1, plan_.stages.size(), to_string(plan_.stages.at(index).asked));
}

std::string Announcing::selector(MemberIndex index) const {
  const auto& member = plan_.members.at(index);
  const auto& pool = plan_.pools.at(member.pool).name;
  auto found = selectors_.find(pool);
  return fmt::format("{},name={}", found == selectors_.end() ? "pool=" + pool : found->second, member.name);
}

std::string Announcing::say(const Planned& fact) {
  plan_ = fact.plan;
  planned_ = now_;
  known_.clear();
  for (const auto& member : plan_.members) known_.push_back(member.original.setting);
  told_ = known_;
  auto hosts = plan_.hosts_to_upgrade();
  return of_rollout(fmt::format("started{}: {}, release {}, {} host{}{}", by(request_.by), request_.service, request_.release.version,
                                hosts, hosts == 1 ? "" : "s", because(request_.reason)));
}

std::string Announcing::say(const MemberConfirmed& fact) {
  auto& told = told_.at(fact.member);
  auto known = known_.at(fact.member);
  if (told == known) return {};
  const auto& member = plan_.members.at(fact.member);
  change_ = MemberChange{plan_.pools.at(member.pool).name, member.name, told, known};
  auto words = fmt::format("conftool action : {}; selector: {} (rollout {}{})", set_words(told, known), selector(fact.member),
                           request_.rollout, request_.by.empty() ? "" : " of " + request_.by);
  told = known;
  return words;
}

std::string Announcing::say(const MemberTaken& fact) {
  told_.at(fact.member) = known_.at(fact.member) = fact.observed.setting;
  return of_rollout(
      fmt::format("{} was changed by somebody else to {}: it is left alone", selector(fact.member), to_string(fact.observed.setting)));
}

std::string Announcing::say(const MemberReturned& fact) const {
  return of_rollout(fmt::format("{} was given back to it{}{}", selector(fact.member), by(fact.by), because(fact.reason)));
}

// While it is held its reason changes with every look: people are told that it holds, and what is silent or closed.
std::string Announcing::say(const Held& fact) {
  bool was_held = std::exchange(held_, !fact.why.empty());
  if (was_held == held_) return {};
  return of_rollout(held_ ? "held: " + fact.why : "goes on");
}

std::string Announcing::say(const PoolClosed& fact) const {
  return of_rollout("nothing is written to " + plan_.pools.at(fact.pool).name + " now" + because(fact.why));
}

std::string Announcing::say(const PoolOpened& fact) const {
  return of_rollout(plan_.pools.at(fact.pool).name + " may be written to again");
}

std::string Announcing::say(const HostMoved& fact) const {
  const auto& host = plan_.hosts.at(fact.host).name;
  if (fact.phase == HostPhase::out) return of_rollout(host + " stays out of its pools and needs a person" + because(fact.why));
  return fact.failed ? of_rollout(host + " failed" + because(fact.why)) : "";
}

std::string Announcing::say(const StagePassed& fact) const { return of_rollout(stage(fact.stage) + " passed"); }

std::string Announcing::say(const GateReached& fact) const {
  return of_rollout(stage(fact.stage) + " waits at its gate for `shiftctl promote`");
}

std::string Announcing::say(const GatePassed& fact) const {
  return of_rollout(stage(fact.stage) + " promoted" + by(fact.by) + because(fact.reason));
}

std::string Announcing::say(const Overridden& fact) const {
  return of_rollout("the verdict on " + stage(fact.stage) + " is overridden" + by(fact.by) + because(fact.reason));
}

std::string Announcing::say(const Ended& fact) const {
  std::string outcome(to_string(fact.outcome));
  std::replace(outcome.begin(), outcome.end(), '_', ' ');
  auto took = plan_.hosts.empty() ? "" : " after " + to_string(Duration(std::chrono::floor<std::chrono::seconds>(now_ - planned_)));
  return of_rollout(outcome + took + because(fact.reason));
}

}  // namespace shiftd
