#include "lb-adapters/conftool/member_value.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "lb-adapters/conftool/etcd_reply.hpp"

namespace shiftd::conftool {
namespace {

using nlohmann::json;

Failure wrong(std::string what) { return Failure{Errc::bad_input, std::move(what)}; }

// Where one field's value stands in the text of an object.
struct Field {
  std::string name;
  std::size_t begin = 0;
  std::size_t end = 0;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Past the string that begins at `at`.
std::size_t skip_string(std::string_view text, std::size_t at) {
  for (++at; text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
  return at + 1;
}

// Past the value that begins at `at`: to the comma or bracket that ends it.
std::size_t skip_value(std::string_view text, std::size_t at) {
  int depth = 0;
  while (true) {
    char c = text[at];
    if (depth == 0 && (c == ',' || c == '}')) return at;
    depth += c == '{' || c == '[' ? 1 : 0;
    depth -= c == '}' || c == ']' ? 1 : 0;
    at = c == '"' ? skip_string(text, at) : at + 1;
  }
}

// The object's own fields, in their order. `text` is a JSON object: a parser has said so.
std::vector<Field> fields_of(std::string_view text) {
  std::vector<Field> fields;
  auto at = text.find('{') + 1;
  while (true) {
    while (is_space(text[at]) || text[at] == ',') ++at;
    if (text[at] == '}') return fields;
    auto name_ends = skip_string(text, at);
    Field field;
    field.name = json::parse(text.substr(at, name_ends - at)).get<std::string>();
    field.begin = text.find(':', name_ends) + 1;
    while (is_space(text[field.begin])) ++field.begin;
    at = skip_value(text, field.begin);
    field.end = at;
    while (is_space(text[field.end - 1])) --field.end;
    fields.push_back(std::move(field));
  }
}

Result<Pooled> parse_pooled(const json& value) {
  if (!value.is_string()) return wrong("pooled is no text");
  const auto& word = value.get_ref<const std::string&>();
  for (auto pooled : {Pooled::yes, Pooled::no, Pooled::inactive}) {
    if (word == to_string(pooled)) return pooled;
  }
  return wrong("pooled is neither yes nor no nor inactive");
}

Result<int> parse_weight(const json& value, int most) {
  if (!value.is_number_integer()) return wrong(std::string("weight is no integer but ") + value.type_name());
  if (!value.is_number_unsigned()) return wrong("weight is negative");
  auto weight = value.get<std::uint64_t>();
  if (weight > static_cast<std::uint64_t>(most))
    return wrong("weight is " + std::to_string(weight) + ", and weight_most " + std::to_string(most));
  return static_cast<int>(weight);
}

}  // namespace

Result<Setting> parse_value(std::string_view bytes, int weight_most) {
  if (bytes.size() > value_size_most) return wrong("larger than " + std::to_string(value_size_most) + " bytes");
  auto document = json::parse(bytes, nullptr, false);
  if (!document.is_object()) return wrong(document.is_discarded() ? "no JSON" : "no JSON object");
  for (const char* name : {"pooled", "weight"}) {
    if (!document.contains(name)) return wrong(std::string(name) + " is missing");
    auto fields = fields_of(bytes);
    if (std::count_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; }) > 1)
      return wrong(std::string(name) + " is given twice");
  }
  auto pooled = parse_pooled(document["pooled"]);
  if (!pooled) return pooled.error();
  auto weight = parse_weight(document["weight"], weight_most);
  if (!weight) return weight.error();
  if (*pooled == Pooled::yes && *weight == 0) return wrong("weight 0 while pooled, which IPVS makes 1");
  return Setting{*pooled, *weight};
}

std::string with_setting(std::string_view bytes, const Setting& setting) {
  std::string out;
  std::size_t copied = 0;
  for (const auto& field : fields_of(bytes)) {
    if (field.name != "pooled" && field.name != "weight") continue;
    out += bytes.substr(copied, field.begin - copied);
    out += field.name == "weight" ? std::to_string(setting.weight) : '"' + std::string(to_string(setting.pooled)) + '"';
    copied = field.end;
  }
  return out += bytes.substr(copied);
}

std::string value_for(const Setting& setting) {
  return R"({"weight": )" + std::to_string(setting.weight) + R"(, "pooled": ")" + std::string(to_string(setting.pooled)) + "\"}";
}

std::string to_string(const Revision& revision) { return revision.epoch + ":" + std::to_string(revision.index); }

Result<Revision> parse_revision(std::string_view text) {
  auto colon = text.rfind(':');
  if (colon != std::string_view::npos && colon > 0) {
    if (auto index = parse_index(text.substr(colon + 1))) return Revision{std::string(text.substr(0, colon)), *index};
  }
  return wrong("'" + std::string(text) + "' is not a revision of an object in etcd");
}

bool is_key_part(std::string_view text) {
  auto plain = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 253 && text != "." && text != ".." && std::all_of(text.begin(), text.end(), plain);
}

}  // namespace shiftd::conftool
