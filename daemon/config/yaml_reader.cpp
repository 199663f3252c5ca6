#include "daemon/config/yaml_reader.hpp"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <tuple>

#include <yaml-cpp/eventhandler.h>

#include "daemon/config/units.hpp"

namespace shiftd::yaml {
namespace {

constexpr std::size_t errors_kept = 500;
constexpr std::size_t longest_key = 100;

Place place_of(const YAML::Mark& mark, Place otherwise) {
  if (mark.is_null()) return otherwise;
  return Place{mark.line + 1, mark.column + 1};
}

// How many letters must be changed, added, left out or swapped with their neighbour to make one of the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> steps(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) steps[i][0] = i;
  std::iota(steps[0].begin(), steps[0].end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      auto change = steps[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      steps[i][j] = std::min({change, steps[i - 1][j] + 1, steps[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) steps[i][j] = std::min(steps[i][j], steps[i - 2][j - 2] + 1);
    }
  }
  return steps[a.size()][b.size()];
}

std::string suggestion(std::string_view unknown, const std::vector<std::string>& known) {
  if (known.empty()) return "nothing may stand here";
  const std::string* nearest = nullptr;
  auto least = std::max<std::size_t>(1, unknown.size() / 3) + 1;
  for (const auto& candidate : known) {
    auto distance = unknown.size() > longest_key ? least : edit_distance(unknown, candidate);
    if (distance < least) {
      least = distance;
      nearest = &candidate;
    }
  }
  if (nearest) return "did you mean " + in_quotes(*nearest) + "?";
  std::string all;
  for (const auto& candidate : known) all += (all.empty() ? "" : ", ") + candidate;
  return "known here: " + all;
}

std::string kind_of(const YAML::Node& node) {
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a map";
  if (node.IsNull()) return "nothing";
  return in_quotes(node.Scalar());
}

class DocumentStart : public YAML::EventHandler {
 public:
  Place place;

  void OnDocumentStart(const YAML::Mark& mark) override { place = place_of(mark, {}); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// YAML::Load leaves unread what follows the first document, and YAML::LoadAll of 0.7 never ends on ",- a". So the
// documents are counted here, as far as the second.
std::optional<Place> place_of_second_document(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStart start;
  parser.HandleNextDocument(start);
  if (!parser.HandleNextDocument(start)) return std::nullopt;
  return start.place;
}

}  // namespace

Document::Document(std::filesystem::path file, const std::string& text) : file_(std::move(file)) {
  try {
    auto second = place_of_second_document(text);
    root_.reset(YAML::Load(text));
    readable_ = !root_.IsNull() && !second;
    if (root_.IsNull()) refuse({}, "there is nothing in this file: docs/configuration.md says what belongs in it");
    if (second) refuse(*second, "a second YAML document begins here: write one per file, without a '---' line");
  } catch (const YAML::Exception& problem) {
    refuse(place_of(problem.mark, {}), "this is not YAML: " + problem.msg);
  }
}

std::optional<Value> Document::root() {
  if (!readable_) return std::nullopt;
  return Value(*this, root_, "", "", Place{});
}

std::string Document::resolve(const std::string& path) const {
  return (std::filesystem::absolute(file_).parent_path() / path).lexically_normal().string();
}

void Document::refuse(Place place, std::string text) {
  if (errors_.size() == errors_kept) {
    ++errors_left_out_;
    return;
  }
  errors_.push_back({file_.string(), place.line, place.column, std::move(text)});
}

void Document::refuse_at(std::string_view key, std::string_view text) {
  auto message = (key.empty() ? "" : std::string(key) + ": ") + std::string(text);
  for (auto around = key;;) {
    if (auto found = places_.find(around); found != places_.end()) return refuse(found->second, message);
    auto end = around.find_last_of(".[");
    if (end == std::string_view::npos) return refuse({}, message);
    around = around.substr(0, end);
  }
}

std::vector<ConfigError> Document::errors() const {
  auto sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const ConfigError& a, const ConfigError& b) { return std::tie(a.line, a.column) < std::tie(b.line, b.column); });
  if (errors_left_out_ > 0) {
    auto last = sorted.back();
    last.text = "and " + std::to_string(errors_left_out_) + " more errors: correct these first";
    sorted.push_back(last);
  }
  return sorted;
}

Value::Value(Document& document, const YAML::Node& node, std::string key, std::string pattern, Place fallback)
    : document_(&document), node_(node), key_(std::move(key)), pattern_(std::move(pattern)), fallback_(fallback) {
  if (!key_.empty()) document.places_.emplace(key_, place());
}

Place Value::place() const { return place_of(node_.Mark(), fallback_); }

std::nullopt_t Value::refuse(std::string_view text) const {
  document_->refuse(place(), (key_.empty() ? "" : key_ + ": ") + std::string(text));
  return std::nullopt;
}

std::optional<std::string> Value::scalar(std::string_view wanted) const {
  if (node_.IsNull()) return refuse("has no value: write " + std::string(wanted));
  if (!node_.IsScalar()) return refuse("must be " + std::string(wanted) + ", not " + kind_of(node_));
  return node_.Scalar();
}

std::optional<std::vector<Value>> Value::elements(std::size_t most, std::string_view wanted) const {
  if (!node_.IsSequence()) return refuse("must be " + std::string(wanted) + " ('- ' before each, or [a, b]), not " + kind_of(node_));
  if (node_.size() == 0) return refuse("is empty: write " + std::string(wanted) + " with at least one");
  if (node_.size() > most) {
    return refuse("has " + std::to_string(node_.size()) + " elements: at most " + std::to_string(most) + " are possible");
  }
  std::vector<Value> result;
  for (const auto& element : node_) {
    result.push_back(Value(*document_, element, key_ + "[" + std::to_string(result.size()) + "]", pattern_ + "[]", place()));
  }
  return result;
}

std::optional<std::vector<std::pair<std::string, Value>>> Value::entries(std::size_t most, std::string_view wanted) const {
  if (!node_.IsMap()) return refuse("must be " + std::string(wanted) + ", not " + kind_of(node_));
  if (node_.size() > most)
    return refuse("has " + std::to_string(node_.size()) + " keys: at most " + std::to_string(most) + " are possible");
  std::vector<std::pair<std::string, Value>> result;
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    auto where = place_of(entry.first.Mark(), place());
    if (!entry.first.IsScalar() || entry.first.Scalar().size() > longest_key) {
      document_->refuse(where, "a key must be one short word, not " + kind_of(entry.first));
      continue;
    }
    const auto& name = entry.first.Scalar();
    if (!seen.insert(name).second) {
      document_->refuse(where, in_quotes(name) + " stands here twice: keep one");
      continue;
    }
    result.emplace_back(name, Value(*document_, entry.second, (key_.empty() ? "" : key_ + ".") + name, pattern_, where));
  }
  return result;
}

Section::Section(const Value& value) : value_(value) {
  if (value.is_nothing()) {
    is_map_ = true;
    return;
  }
  constexpr std::size_t more_than_any_section_knows = 200;
  auto entries = value.entries(more_than_any_section_knows, "a map of keys and values");
  if (!entries) return;
  is_map_ = true;
  for (const auto& entry : value.node_) {
    if (entry.first.IsScalar()) key_places_.emplace(entry.first.Scalar(), place_of(entry.first.Mark(), value.place()));
  }
  for (auto& [key, entry] : *entries) given_.emplace(key, entry);
}

const Value* Section::ask(const std::string& key) {
  asked_.push_back(key);
  auto pattern = (value_.pattern_.empty() ? "" : value_.pattern_ + ".") + key;
  value_.document_->known_keys_.insert(pattern);
  auto found = given_.find(key);
  if (found == given_.end()) return nullptr;
  found->second.pattern_ = pattern;
  return &found->second;
}

void Section::missing(const std::string& key, std::string_view example) {
  if (is_map_) value_.refuse(in_quotes(key) + " is missing: write for example '" + std::string(example) + "'");
}

bool Section::finish() {
  auto all_known = true;
  for (const auto& [key, value] : given_) {
    if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) continue;
    all_known = false;
    auto hint = key == "<<" ? "merge keys are not supported, write the keys out" : suggestion(key, asked_);
    auto where = value_.key().empty() ? "" : value_.key() + ": ";
    value_.document_->refuse(key_places_.at(key), where + "unknown key " + in_quotes(key) + ": " + hint);
  }
  return all_known;
}

}  // namespace shiftd::yaml
