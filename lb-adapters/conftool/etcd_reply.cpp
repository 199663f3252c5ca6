#include "lb-adapters/conftool/etcd_reply.hpp"

#include <charconv>

#include <nlohmann/json.hpp>

namespace shiftd::conftool {
namespace {

using nlohmann::json;

// Of etcd's many error codes (its errors.go), those that are told apart.
constexpr int key_not_found = 100;
constexpr int compare_failed = 101;
constexpr int node_exists = 105;
constexpr int event_index_cleared = 401;

std::string start_of(std::string_view text) {
  constexpr std::size_t most = 120;
  std::string shown;
  for (unsigned char c : text.substr(0, most)) shown += c < ' ' || c >= 0x7f ? ' ' : static_cast<char>(c);
  return shown;
}

const json* member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const json& object, const char* name) {
  const auto* found = member(object, name);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<EtcdNode> node_of(const json& from) {
  const auto* key = member(from, "key");
  const auto* index = member(from, "modifiedIndex");
  const auto* value = member(from, "value");
  EtcdNode node;
  if (key != nullptr && key->is_string()) node.key = key->get<std::string>();
  if (index != nullptr && index->is_number_unsigned()) node.index = index->get<std::uint64_t>();
  if (value != nullptr && !value->is_string()) return std::nullopt;
  if (value != nullptr) node.value = value->get<std::string>();
  // The root directory alone has neither key nor index, and is never asked for.
  if (node.key.empty() || node.index == 0) return std::nullopt;
  return node;
}

}  // namespace

Result<EtcdReply> parse_keys(std::string_view body) {
  auto wrong = [&] { return Failure{Errc::unexpected_reply, "not an answer of etcd's v2 API: '" + start_of(body) + "'"}; };
  auto document = json::parse(body, nullptr, false);
  const auto* node = member(document, "node");
  if (node == nullptr) return wrong();
  auto parsed = node_of(*node);
  if (!parsed) return wrong();
  EtcdReply reply{std::move(*parsed), {}};
  const auto* children = member(*node, "nodes");
  if (children == nullptr) return reply;
  if (!children->is_array()) return wrong();
  for (const auto& child : *children) {
    auto inner = node_of(child);
    if (!inner) return wrong();
    reply.children.push_back(std::move(*inner));
  }
  return reply;
}

Failure failure_of(int status, std::string_view body) {
  auto document = json::parse(body, nullptr, false);
  auto message = text_of(document, "message");
  auto cause = text_of(document, "cause");
  auto what = message.empty() ? "HTTP " + std::to_string(status) : message + (cause.empty() ? "" : ": " + cause);
  const auto* number = member(document, "errorCode");
  auto code = number != nullptr && number->is_number_integer() ? number->get<std::int64_t>() : 0;
  if (code == key_not_found) return {Errc::not_found, what};
  if (code == compare_failed || code == node_exists) return {Errc::conflict, what};
  if (code == event_index_cleared) return {Errc::unavailable, what};
  if (status == 401) return {Errc::unauthenticated, what};
  if (status == 403) return {Errc::refused, what};
  if (status >= 500 && status < 600) return {Errc::unavailable, what};
  if (status >= 400 && status < 500 && code != 0) return {Errc::refused, what};
  return {Errc::unexpected_reply, what + ", '" + start_of(body) + "'"};
}

std::optional<std::uint64_t> parse_index(std::string_view text) {
  std::uint64_t index = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return index;
}

}  // namespace shiftd::conftool
