#pragma once

// Reads one YAML file the way people's mistakes need it: every key is asked for by name, so that the keys nobody asked
// for can be reported; every error is kept with its place; nothing is thrown.
//
// Private to this folder. A section's reader is a short list of keys:
//
//   void read_gate(yaml::Section& at, Door& door) {
//     at.required("name", door.name, name, "name: front");
//     at.optional("open_for", door.open_for, duration(1s, 1h));
//   }
//
// A reader is anything that takes a Value and returns an optional: what it refused it has reported.

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "daemon/config/config.hpp"

namespace shiftd::yaml {

struct Place {
  int line = 1;
  int column = 1;
};

class Value;

class Document {
 public:
  // Reads the text of `file`. What is no YAML is an error of the document, whose root is then absent.
  Document(std::filesystem::path file, const std::string& text);
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  [[nodiscard]] std::optional<Value> root();
  [[nodiscard]] const std::filesystem::path& file() const { return file_; }
  // The absolute path that a path in this file means: relative ones start at the file's folder.
  [[nodiscard]] std::string resolve(const std::string& path) const;

  void refuse(Place place, std::string text);
  // As refuse(), at the place where `key` ("strategy.stages[2].share") is written, or else what contains it.
  void refuse_at(std::string_view key, std::string_view text);

  // Ordered by place. Past a few hundred, errors are counted and no longer kept.
  [[nodiscard]] std::vector<ConfigError> errors() const;
  // Every key that a reader asked for so far: "strategy.stages[].share".
  [[nodiscard]] const std::set<std::string>& known_keys() const { return known_keys_; }

 private:
  friend class Value;
  friend class Section;

  std::filesystem::path file_;
  YAML::Node root_;
  bool readable_ = false;
  std::vector<ConfigError> errors_;
  std::size_t errors_left_out_ = 0;
  std::map<std::string, Place, std::less<>> places_;
  std::set<std::string> known_keys_;
};

// One value of the document and the key under which it stands.
class Value {
 public:
  [[nodiscard]] Document& document() const { return *document_; }
  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] Place place() const;

  // Reports an error here: "strategy.batch: <text>". Returns nullopt, so that a reader can end with it.
  std::nullopt_t refuse(std::string_view text) const;

  [[nodiscard]] bool is_list() const { return node_.IsSequence(); }
  [[nodiscard]] bool is_map() const { return node_.IsMap(); }
  [[nodiscard]] bool is_nothing() const { return node_.IsNull(); }

  // Its text. Anything else than one scalar is refused as not being `wanted` ("a duration such as 30s").
  [[nodiscard]] std::optional<std::string> scalar(std::string_view wanted) const;
  // Its elements, of which there must be at least one and at most `most`.
  [[nodiscard]] std::optional<std::vector<Value>> elements(std::size_t most, std::string_view wanted) const;
  // Its entries as they stand, for maps whose keys are free.
  [[nodiscard]] std::optional<std::vector<std::pair<std::string, Value>>> entries(std::size_t most, std::string_view wanted) const;

 private:
  friend class Document;
  friend class Section;
  Value(Document& document, const YAML::Node& node, std::string key, std::string pattern, Place fallback);

  Document* document_;
  YAML::Node node_;
  std::string key_;      // "checks[0].http"
  std::string pattern_;  // "checks[].http"
  Place fallback_;       // of what contains it, should the node have none of its own
};

// A map whose keys are known.
class Section {
 public:
  // A value that is nothing ("port:") is an empty section; anything else than a map is refused.
  explicit Section(const Value& value);

  [[nodiscard]] bool has(std::string_view key) const { return given_.contains(key); }

  // Reads `key` into `into`, which keeps what it has when the key is absent or refused.
  template <class T, class Reader>
  void optional(const std::string& key, T& into, Reader&& read) {
    if (const Value* value = ask(key)) {
      if (auto result = read(*value)) into = std::move(*result);
    }
  }

  // As optional(); an absent key is refused, with an example of what to write.
  template <class T, class Reader>
  void required(const std::string& key, T& into, Reader&& read, std::string_view example) {
    if (!has(key)) missing(key, example);
    optional(key, into, std::forward<Reader>(read));
  }

  void refuse(std::string_view text) const { value_.refuse(text); }

  // To be called when every known key was asked for: refuses the others. Whether there were none.
  bool finish();

 private:
  const Value* ask(const std::string& key);
  void missing(const std::string& key, std::string_view example);

  Value value_;
  bool is_map_ = false;
  std::map<std::string, Value, std::less<>> given_;
  std::map<std::string, Place, std::less<>> key_places_;
  std::vector<std::string> asked_;
};

// The reader for a map with these keys. What it can read it returns, beside the errors.
template <class T>
auto section(void (*fill)(Section&, T&)) {
  return [fill](const Value& value) -> std::optional<T> {
    T result{};
    Section at(value);
    fill(at, result);
    at.finish();
    return result;
  };
}

// The reader for a list of at least one. `wanted` describes it: "a list of hosts". What cannot be read keeps its place,
// empty, so that the places of the others are those in the file.
template <class Reader>
auto list(Reader read, std::size_t most, std::string wanted) {
  using Element = typename std::invoke_result_t<Reader, const Value&>::value_type;
  return [read, most, wanted = std::move(wanted)](const Value& value) -> std::optional<std::vector<Element>> {
    auto elements = value.elements(most, wanted);
    if (!elements) return std::nullopt;
    std::vector<Element> result;
    for (const auto& element : *elements) result.push_back(read(element).value_or(Element{}));
    return result;
  };
}

// One of several kinds of the same thing, each with a section of its own: `http: {path: /healthz}`.
template <class Variant>
struct Kind {
  std::string key;
  std::function<std::optional<Variant>(const Value&)> read;
};

template <class Variant, class T>
Kind<Variant> kind(std::string key, void (*fill)(Section&, T&)) {
  auto read = [fill](const Value& value) -> std::optional<Variant> { return section(fill)(value); };
  return {std::move(key), read};
}

// The reader for a map that names exactly one of the kinds.
template <class Variant>
auto one_of(std::string what, std::vector<Kind<Variant>> kinds) {
  return [what = std::move(what), kinds = std::move(kinds)](const Value& value) -> std::optional<Variant> {
    std::string words;
    for (const auto& each : kinds) words += (words.empty() ? "" : ", ") + each.key;
    if (!value.is_map()) return value.refuse("must be a " + what + ", a map with one of these keys: " + words);
    Section at(value);
    std::optional<Variant> result;
    int given = 0;
    for (const auto& each : kinds) {
      given += at.has(each.key) ? 1 : 0;
      at.optional(each.key, result, each.read);
    }
    auto all_known = at.finish();
    if (given > 1) return value.refuse("must name one " + what + ", not " + std::to_string(given) + ": keep one");
    if (given == 0 && all_known) return value.refuse("names no " + what + ": write one of " + words);
    return result;
  };
}

}  // namespace shiftd::yaml
