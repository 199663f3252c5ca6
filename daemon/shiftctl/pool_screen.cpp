#include "daemon/shiftctl/pool_screen.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "daemon/shiftctl/table.hpp"
#include "daemon/shiftctl/words.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

std::string setting_words(const json& value, const std::string& prefix) {
  auto pooled = field(value, (prefix + "pooled").c_str());
  return pooled.empty() ? "" : pooled + " " + std::to_string(value.value(prefix + "weight", 0));
}

std::string store_words(const json& member) {
  if (member.value("missing", false)) return "missing";
  if (!field(member, "malformed").empty()) return "malformed";
  auto words = setting_words(member, "");
  return words.empty() ? "?" : words;
}

// "flowing 100 up", "draining, 3 left", "cannot tell"
std::string view_words(const json& view) {
  auto traffic = field(view, "traffic");
  std::replace(traffic.begin(), traffic.end(), '_', ' ');
  auto words = traffic;
  if (traffic == "flowing") words += " " + std::to_string(view.value("weight", 0));
  if (auto connections = view.value("connections", 0); traffic == "draining" && connections > 0)
    words += ", " + std::to_string(connections) + " left";
  if (auto health = field(view, "health"); traffic != "cannot tell" && (health == "up" || health == "down")) words += " " + health;
  return words;
}

std::string hand_words(const std::string& holder, const std::string& rollout) {
  if (holder == "ours") return rollout;
  if (holder == "theirs") return "somebody else";
  return holder.empty() ? "" : "-";
}

Row row_of(const json& member, const std::string& rollout) {
  auto host = field(member, "host");
  auto name = field(member, "member");
  Row row{host.empty() ? name + " (no host of ours)" : name, store_words(member)};
  for (const auto& view : member.at("views")) row.push_back(view_words(view));
  if (rollout.empty()) return row;
  row.push_back(hand_words(field(member, "holder"), rollout));
  row.push_back(setting_words(member, "original_"));
  return row;
}

std::string page_of(const json& pool) {
  auto rollout = field(pool, "rollout");
  auto page = field(pool, "pool") + (rollout.empty() ? "" : "  in the hands of " + rollout) + "\n";
  if (auto trouble = field(pool, "trouble"); !trouble.empty()) page += "  its store does not answer: " + trouble + "\n";
  Row head{"MEMBER", "STORE"};
  for (const auto& view : pool.at("views")) {
    auto name = field(view, "name");
    if (auto trouble = field(view, "trouble"); !trouble.empty()) page += "  " + name + " does not answer: " + trouble + "\n";
    for (const auto& why : view.at("closed")) page += "  " + name + " wants nothing written now: " + clean(why.get<std::string>()) + "\n";
    head.push_back(name);
  }
  if (!rollout.empty()) head.insert(head.end(), {"IN THE HANDS OF", "ORIGINAL"});
  std::vector<Row> rows{head};
  std::string below;
  for (const auto& member : pool.at("members")) {
    rows.push_back(row_of(member, rollout));
    auto name = field(member, "member");
    if (auto malformed = field(member, "malformed"); !malformed.empty())
      below += "  malformed " + name + ": " + malformed + ": " + field(member, "bytes") + "\n";
    for (const auto& drift : member.at("drift")) below += "  drift " + name + ": " + clean(drift.get<std::string>()) + "\n";
  }
  for (const auto& member : pool.at("members")) {
    if (auto restore = field(member, "restore"); !restore.empty()) below += "  restore " + field(member, "member") + ": " + restore + "\n";
  }
  return page + table_of(rows, "  ") + below;
}

}  // namespace

Result<std::string> draw_pools(std::string_view pools) {
  try {
    std::string page;
    const auto answer = json::parse(pools);
    for (const auto& pool : answer.at("pools")) page += (page.empty() ? "" : "\n") + page_of(pool);
    return page;
  } catch (const json::exception& error) {
    return Failure{Errc::unexpected_reply, std::string("shiftd answered something else than its pools: ") + error.what()};
  }
}

}  // namespace shiftd
