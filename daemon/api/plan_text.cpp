#include "daemon/api/plan_text.hpp"

#include <algorithm>
#include <set>

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
                : host.role == Role::upgrade     ? ""
                : asked_for                      ? " (out of its pools, skipped)"
                                                 : " (outside the limit)";
    text += fmt::format("{} {}{}: {}\n", place, host.name, role, members_text(plan, host));
  }
  return text;
}

}  // namespace

std::string plan_text(const Plan& plan) {
  const auto& request = plan.request;
  auto text = fmt::format("{} to {}: {} of {}, {} at a time, at most {} may fail\n", request.service, request.release.version,
                          plan.hosts_to_upgrade(), hosts_word(plan.hosts.size()), plan.batch, plan.max_failed);
  text += pools_text(plan) + stages_text(plan);
  for (const auto& note : plan.notes) text += fmt::format("  note: {}\n", indented(note));
  return text + "in this order:\n" + hosts_text(plan);
}

}  // namespace shiftd
