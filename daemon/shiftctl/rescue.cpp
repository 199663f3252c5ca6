#include "daemon/shiftctl/rescue.hpp"

#include <fmt/format.h>

#include "daemon/engine/codec.hpp"
#include "daemon/engine/release_on.hpp"
#include "daemon/shiftctl/words.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {
namespace {

// What is under way may have been written or not: then the original is written again, which does no harm.
bool at_original(const MemberState& member) { return member.known.bytes == member.original.bytes && member.effect == 0; }

std::string name_of(const Rollout& rollout, MemberIndex index) {
  const auto& member = rollout.plan.members[index];
  return rollout.plan.pools[member.pool].name + "/" + member.name;
}

std::string member_text(const Rollout& rollout, MemberIndex index) {
  const auto& planned = rollout.plan.members[index];
  const auto& state = rollout.members[index];
  if (state.holder == Holder::theirs)
    return fmt::format("#   {} was changed by somebody else, to {}: theirs, left alone (it was {})\n", clean(name_of(rollout, index)),
                       to_string(state.known.setting), to_string(state.original.setting));
  if (state.holder == Holder::untouched || at_original(state)) return "";
  // After a release-hold the original is what a person left there, and nobody wrote down a command for it.
  if (state.original.bytes != planned.original.bytes)
    return fmt::format("#   {} by hand, to what a person left there: {}\n", clean(name_of(rollout, index)),
                       to_string(state.original.setting));
  if (planned.restore.empty())
    return fmt::format("#   {} by hand: its adapter knows no command; it was {}\n", clean(name_of(rollout, index)),
                       to_string(state.original.setting));
  return fmt::format("# {}: {} -> {}\n{}\n", clean(name_of(rollout, index)), to_string(state.known.setting),
                     to_string(state.original.setting), planned.restore);
}

std::string release_words(const Rollout& rollout, HostIndex host) {
  const auto& wanted = rollout.plan.request.release.version;
  auto answering = release_on(rollout, host);
  if (answering == "new") return "is on " + wanted;
  if (answering == "old") return "is on the release that was found on it";
  return "may be on " + wanted + ", on its former release, or in between: look before it gets traffic";
}

std::string host_text(const Rollout& rollout, HostIndex host) {
  const auto& planned = rollout.plan.hosts[host];
  std::string members;
  for (auto index = planned.first_member; index < planned.first_member + planned.members; ++index) members += member_text(rollout, index);
  if (members.empty()) return "";
  return clean(fmt::format("# {} ({}) {}", planned.name, to_string(rollout.hosts[host].phase), release_words(rollout, host))) + "\n" +
         members;
}

}  // namespace

std::string rescue_text(const Rollout& rollout) {
  std::string hosts;
  for (HostIndex host = 0; host < rollout.hosts.size(); ++host) hosts += host_text(rollout, host);
  if (hosts.empty()) return "";
  const auto& request = rollout.request;
  auto state = rollout.phase == Phase::ended ? "ended: " + std::string(to_string(rollout.outcome)) : std::string(to_string(rollout.phase));
  return "#\n" + clean(fmt::format("# {}: {} to {}, {}", request.rollout, request.service, request.release.version, state)) + "\n" + hosts;
}

Result<std::string> rescue(const std::string& path, const std::string& rollout) {
  auto listed = list_sqlite_journal(path);
  if (!listed) return std::move(listed).error();
  std::string text;
  bool found = rollout.empty();
  for (const auto& summary : *listed) {
    if (!rollout.empty() && summary.rollout != rollout) continue;
    found = true;
    auto records = read_sqlite_journal(path, summary.rollout);
    if (!records) return std::move(records).error().during("rollout " + summary.rollout);
    Codec codec;
    auto folded = fold(*records, codec);
    if (!folded) return std::move(folded).error().during("rollout " + summary.rollout);
    text += rescue_text(*folded);
  }
  if (!found) return Failure{Errc::not_found, path + ": no rollout " + rollout};
  if (text.empty()) return std::string("# nothing to restore: every member that was touched is at its original\n");
  return "# Stop shiftd first: a running one writes against these commands. Read them, then pipe them to sh.\n" + text;
}

}  // namespace shiftd
