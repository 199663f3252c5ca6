#include "daemon/api/plan_text.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>

namespace shiftd {
namespace {

std::string hosts_word(std::size_t count) { return fmt::format("{} host{}", count, count == 1 ? "" : "s"); }

// The further lines of a note below its first.
std::string indented(std::string_view note) {
  std::string text;
  for (char c : note) text += c == '\n' ? "\n        " : std::string(1, c);
  return text;
}

std::string pools_text(const Plan& plan) {
  std::string text;
  for (const auto& pool : plan.pools) {
    text += fmt::format("  pool {}: weight {} in traffic, never under {}", pool.name, pool.weight, std::max(pool.floor, pool.least_flow));
    if (pool.floor > 0) text += fmt::format(" (floor {})", pool.floor);
    if (pool.least_serving > 0) text += fmt::format("; {} members, never under {}", pool.serving, pool.least_serving);
    if (!pool.threshold.view.empty()) text += ": needed by " + to_string(pool.threshold, pool.margin);
    text += "\n";
  }
  return text;
}

std::string stages_text(const Plan& plan) {
  std::string text;
  for (std::size_t index = 0; index < plan.stages.size(); ++index) {
    const auto& stage = plan.stages[index];
    text += fmt::format(
        "  stage {} of {}: {} asked, {} achievable: {} on the release{}, {}{}{}\n", index + 1, plan.stages.size(), to_string(stage.asked),
        percent(stage.achievable), hosts_word(stage.hosts), stage.lowered() ? " at lowered weight" : "",
        stage.bake > Duration(0) ? "bakes " + to_string(stage.bake) : "no bake", stage.judged ? "" : ", without a baseline to compare with",
        stage.gate == Gate::manual ? ", then waits for `promote`" : "");
  }
  return text;
}

constexpr std::size_t changes_most = 20;  // kinds of changes that are told
constexpr std::size_t names_most = 5;

// Digests by their beginning, as people compare them; other names of releases whole.
std::string short_name(std::string_view release) {
  if (release.empty()) return "no release";
  std::string text;
  while (release.size() >= 64 && release.find_first_not_of("0123456789abcdef") >= 64) {
    text.append(text.empty() ? "" : "-").append(release.substr(0, 12));
    release.remove_prefix(64);
    if (release.starts_with('-')) release.remove_prefix(1);
  }
  return text.append(release);
}

struct Change {
  std::string_view from;
  std::size_t hosts = 0;
  std::string names;
};

// What each host would change from, the hosts with the same former release in one line.
std::string changes_text(const Plan& plan) {
  std::vector<Change> changes;
  for (const auto& host : plan.hosts) {
    if (host.role != Role::upgrade) continue;
    auto change = std::find_if(changes.begin(), changes.end(), [&](const Change& each) { return each.from == host.digest; });
    if (change == changes.end()) change = changes.insert(change, {host.digest, 0, {}});
    if (change->hosts < names_most) change->names += (change->hosts == 0 ? "" : ", ") + host.name;
    ++change->hosts;
  }
  std::string text;
  for (std::size_t index = 0; index < std::min(changes.size(), changes_most); ++index) {
    const auto& [from, hosts, names] = changes[index];
    auto more = hosts > names_most ? fmt::format(" and {} more", hosts - names_most) : "";
    text += fmt::format("  {} -> {}: {}{}\n", short_name(from), short_name(plan.request.release.digest), names, more);
  }
  if (changes.size() > changes_most) text += fmt::format("  and hosts on {} other releases\n", changes.size() - changes_most);
  return text;
}

std::string dry_run_text(const DryRun& run) {
  std::string names;
  for (std::size_t index = 0; index < std::min(run.hosts.size(), names_most); ++index)
    names += (index == 0 ? "on " : ", ") + run.hosts[index];
  if (run.hosts.size() > names_most) names += fmt::format(" and {} more", run.hosts.size() - names_most);
  return fmt::format("  {}:\n        {}\n", names.empty() ? "on others" : names, indented(run.text));
}

std::string members_text(const Plan& plan, const PlannedHost& host) {
  std::string text;
  for (auto index = host.first_member; index < host.first_member + host.members; ++index) {
    const auto& member = plan.members[index];
    text +=
        fmt::format("{}{}/{} {}", text.empty() ? "" : "; ", plan.pools[member.pool].name, member.name, to_string(member.original.setting));
  }
  return text;
}

std::string hosts_text(const Plan& plan) {
  std::set<std::string> limit(plan.request.limit.begin(), plan.request.limit.end());
  std::string text;
  std::size_t number = 0;
  for (const auto& host : plan.hosts) {
    auto place = host.role == Role::upgrade ? fmt::format("{:>5}.", ++number) : fmt::format("{:>6}", "-");
    bool asked_for = limit.empty() || limit.contains(host.name);
    auto role = host.role == Role::already_there ? " (already there)"
                : host.returning                 ? " (out of its pools, put back at the end)"
                : host.role == Role::upgrade     ? ""
                : asked_for                      ? " (out of its pools, skipped)"
                                                 : " (outside the limit)";
    text += fmt::format("{} {}{}: {}\n", place, host.name, role, members_text(plan, host));
  }
  return text;
}

}  // namespace

std::string plan_text(const Proposal& proposal) {
  const auto& plan = proposal.plan;
  const auto& request = plan.request;
  auto text = fmt::format("{} to {}: {} of {}, {} at a time, at most {} may fail\n", request.service, request.release.version,
                          plan.hosts_to_upgrade(), hosts_word(plan.hosts.size()), plan.batch, plan.max_failed);
  text += changes_text(plan) + pools_text(plan) + stages_text(plan);
  for (const auto& run : proposal.dry_runs) text += dry_run_text(run);
  for (const auto& note : plan.notes) text += fmt::format("  note: {}\n", indented(note));
  return text + "in this order:\n" + hosts_text(plan);
}

}  // namespace shiftd
