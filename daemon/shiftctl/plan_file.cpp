#include "daemon/shiftctl/plan_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace shiftd {
namespace {

using nlohmann::json;

std::string text_at(const json& value, const char* name) {
  auto found = value.find(name);
  return found != value.end() && found->is_string() ? found->get<std::string>() : "";
}

const json& part(const json& value, const char* name) {
  static const json none;
  auto found = value.is_object() ? value.find(name) : value.end();
  return found == value.end() ? none : *found;
}

std::string shortly(const json& value) {
  auto text = value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
  constexpr std::size_t most = 120;
  return text.size() > most ? text.substr(0, most) + "..." : text;
}

class Differences {
 public:
  void compare(const std::string& what, const json& saved, const json& now) {
    if (saved != now) lines.push_back(fmt::format("{}: was {}, is {}", what, shortly(saved), shortly(now)));
  }
  void compare_hosts(const json& saved, const json& now) {
    auto before = by_name(saved);
    auto after = by_name(now);
    for (const auto& [name, host] : before) {
      if (auto found = after.find(name); found != after.end())
        compare_host(name, *host, *found->second);
      else
        lines.push_back(name + " is no host of the service any more");
    }
    for (const auto& [name, host] : after)
      if (!before.contains(name)) lines.push_back(name + " is a new host of the service");
    if (lines.empty() && saved != now && order(saved) != order(now)) lines.emplace_back("the hosts' order");
  }

  std::vector<std::string> lines;

 private:
  static std::map<std::string, const json*> by_name(const json& hosts) {
    std::map<std::string, const json*> named;
    for (const auto& host : hosts) named.emplace(text_at(host, "name"), &host);
    return named;
  }
  static std::vector<std::string> order(const json& hosts) {
    std::vector<std::string> names;
    for (const auto& host : hosts) names.push_back(text_at(host, "name"));
    return names;
  }
  void compare_host(const std::string& name, const json& saved, const json& now) {
    for (const auto* field : {"digest", "address", "role"})
      compare(name + (field == std::string_view("digest") ? ": release" : fmt::format(": {}", field)), part(saved, field),
              part(now, field));
    const auto& before = part(saved, "members");
    const auto& after = part(now, "members");
    if (before.size() != after.size()) return lines.push_back(name + ": it is in other pools"), void();
    for (std::size_t index = 0; index < before.size(); ++index) {
      auto member = name + " as " + text_at(before[index], "name");
      for (const auto* field : {"pool", "name", "restore"})
        compare(member + ": " + field, part(before[index], field), part(after[index], field));
      for (const auto* field : {"pooled", "weight", "bytes"})
        compare(member + ": " + field, part(part(before[index], "original"), field), part(part(after[index], "original"), field));
    }
  }
};

}  // namespace

Result<void> save_plan(const std::string& path, std::string_view answer) {
  auto wrong = [&] { return Failure{Errc::bad_input, "cannot write " + path + ": " + std::generic_category().message(errno)}; };
  auto partial = path + ".partial";
  {
    std::ofstream file(partial, std::ios::binary | std::ios::trunc);
    file << answer << '\n';
    if (!file.flush()) return wrong();
  }
  if (std::rename(partial.c_str(), path.c_str()) != 0) return wrong();
  return {};
}

Result<SavedPlan> read_plan(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Failure{Errc::bad_input, "cannot read " + path + ": " + std::generic_category().message(errno)};
  SavedPlan plan;
  plan.answer.assign(std::istreambuf_iterator<char>(file), {});
  auto value = json::parse(plan.answer, nullptr, false);
  const auto& request = part(value, "request");
  const auto& release = part(request, "release");
  if (!release.is_object()) return Failure{Errc::bad_input, path + " holds no plan: save one with `shiftctl plan ... --out FILE`"};
  plan.digest = text_at(value, "digest");
  json asked_release{{"version", part(release, "version")}};
  for (const auto* field : {"source", "config"})
    if (!text_at(release, field).empty()) asked_release[field] = text_at(release, field);
  // <code>-<configuration>, <code>, or a version.
  auto digest = text_at(release, "digest");
  if (digest != text_at(release, "version")) asked_release["sha256"] = digest.substr(0, 64);
  plan.request = json{{"service", part(request, "service")}, {"release", asked_release}, {"limit", part(request, "limit")}}.dump();
  return plan;
}

std::string start_of(const SavedPlan& plan, std::string_view reason) {
  auto body = json::parse(plan.request);
  body["reason"] = reason;
  body["if_plan"] = plan.digest;
  return body.dump();
}

Result<bool> has_changes(std::string_view answer) {
  auto value = json::parse(answer, nullptr, false);
  const auto& hosts = part(value, "hosts");
  if (!hosts.is_array()) return Failure{Errc::unexpected_reply, "shiftd's plan names no hosts"};
  return std::any_of(hosts.begin(), hosts.end(), [](const json& host) { return text_at(host, "role") == "upgrade"; });
}

std::string coloured_plan(std::string_view text) {
  constexpr std::string_view indent = "        ";
  std::string coloured;
  for (std::size_t end = 0; !text.empty(); text.remove_prefix(std::min(end + 1, text.size()))) {
    end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    auto mark = line.starts_with(indent) && line.size() > indent.size() ? line[indent.size()] : ' ';
    auto colour = mark == '+' ? "\033[32m" : mark == '-' ? "\033[31m" : mark == '@' ? "\033[36m" : "";
    coloured.append(colour).append(line).append(*colour != '\0' ? "\033[0m\n" : "\n");
  }
  return coloured;
}

std::vector<std::string> plan_differences(std::string_view saved_text, std::string_view now_text, std::size_t most) {
  auto saved = json::parse(saved_text, nullptr, false);
  auto now = json::parse(now_text, nullptr, false);
  Differences found;
  found.compare("the release", part(part(saved, "request"), "release"), part(part(now, "request"), "release"));
  found.compare_hosts(part(saved, "hosts"), part(now, "hosts"));
  for (const auto* field : {"pools", "strategy", "stages", "batch", "max_failed"})
    if (part(saved, field) != part(now, field)) found.lines.push_back(fmt::format("the plan's {}", field));
  if (found.lines.size() > most) {
    auto more = found.lines.size() - most;
    found.lines.resize(most);
    found.lines.push_back(fmt::format("and {} more", more));
  }
  return std::move(found.lines);
}

}  // namespace shiftd
