#include "daemon/config/configuration_file.hpp"

#include <algorithm>
#include <memory>

#include "daemon/config/sections.hpp"
#include "daemon/config/values.hpp"

namespace shiftd {
namespace {

constexpr std::size_t most_files = 100;
constexpr std::size_t most_variables = 1'000;
constexpr std::size_t deepest = 10;
const std::vector<std::string> facts{"service", "environment", "dc", "cluster", "host", "address"};

enum class VariableKind : std::uint8_t { text, number, flag, list, map };
using Schema = std::map<std::string, VariableKind>;

struct Manifest {
  std::vector<ConfigurationFile> files;
  std::string vars;
  std::string schema;
};

// A file beside the manifest.
std::optional<std::string> sibling(const yaml::Value& value) { return name(value); }

std::optional<std::string> host_path(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("._-+@/{}").find(c) != std::string_view::npos;
  };
  bool climbs = given->find("/../") != std::string::npos || given->ends_with("/..");
  if (given->front() != '/' || given->ends_with('/') || climbs || !std::all_of(given->begin(), given->end(), allowed))
    return value.refuse("must be a whole path on the host such as /etc/web/web.conf, of letters, digits and ._-+@, not " +
                        in_quotes(*given));
  if (!placeholders_are_known(value, *given, facts)) return std::nullopt;
  return given;
}

std::optional<std::string> file_mode(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  bool octal = given->size() == 4 && given->front() == '0' && given->find_first_not_of("01234567") == std::string::npos;
  if (!octal) return value.refuse("must be four octal digits in quotes such as \"0640\", not " + in_quotes(*given));
  return given;
}

std::optional<std::string> file_owner(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("._-:").find(c) != std::string_view::npos;
  };
  if (given->front() == '-' || given->front() == ':' || std::count(given->begin(), given->end(), ':') > 1 ||
      !std::all_of(given->begin(), given->end(), allowed))
    return value.refuse("must be a user, or user:group, not " + in_quotes(*given));
  return given;
}

void read_file(yaml::Section& at, ConfigurationFile& file) {
  at.required("template", file.template_name, sibling, "template: web.conf.mustache");
  at.required("path", file.path, host_path, "path: /etc/web/web.conf");
  at.optional("mode", file.mode, file_mode);
  at.optional("owner", file.owner, file_owner);
  auto known = facts;
  known.insert(known.end(), {"file", "path"});
  at.optional("validate", file.validate, with_placeholders(command, known));
  at.optional("secret", file.secret, true_or_false);
}

void read_manifest(yaml::Section& at, Manifest& manifest) {
  at.required("files", manifest.files, yaml::list(yaml::section(read_file), most_files, "a list of files"),
              "files: [{template: web.conf.mustache, path: /etc/web/web.conf}]");
  at.optional("vars", manifest.vars, sibling);
  at.optional("schema", manifest.schema, sibling);
}

std::optional<Variable> variable(const yaml::Value& value, std::size_t depth = 0) {
  if (depth > deepest) return value.refuse("is nested more than 10 deep");
  if (value.is_list()) {
    auto elements = value.elements(most_variables, "a list");
    if (!elements) return std::nullopt;
    Variable::List list;
    for (const auto& element : *elements)
      if (auto read = variable(element, depth + 1)) list.push_back(std::move(*read));
    return Variable{std::move(list)};
  }
  if (value.is_map()) {
    auto entries = value.entries(most_variables, "a map");
    if (!entries) return std::nullopt;
    Variable::Fields fields;
    for (const auto& [name, entry] : *entries)
      if (auto read = variable(entry, depth + 1)) fields.push_back({name, std::move(*read)});
    return Variable{std::move(fields)};
  }
  if (value.is_nothing()) return value.refuse("has no value: write \"\" for an empty text");
  auto text = value.scalar("a text");
  if (!text) return std::nullopt;
  if (*text == "true" || *text == "false") return Variable{*text == "true"};
  return Variable{std::move(*text)};
}

bool is_of(VariableKind kind, const Variable& variable) {
  const auto* text = std::get_if<std::string>(&variable.value);
  switch (kind) {
    case VariableKind::text: return text != nullptr;
    case VariableKind::number: return text != nullptr && !text->empty() && text->find_first_not_of("0123456789") == std::string::npos;
    case VariableKind::flag: return std::holds_alternative<bool>(variable.value);
    case VariableKind::list: return std::holds_alternative<Variable::List>(variable.value);
    case VariableKind::map: return std::holds_alternative<Variable::Fields>(variable.value);
  }
  return false;
}

std::string_view word_of(VariableKind kind) {
  constexpr std::string_view words[] = {"a text", "a whole number", "true or false", "a list", "a map"};
  return words[static_cast<std::size_t>(kind)];
}

void read_variables(const yaml::Value& value, const Schema* schema, Variables& variables) {
  if (value.is_nothing()) return;
  auto entries = value.entries(most_variables, "a map of variables");
  if (!entries) return;
  for (const auto& [name, entry] : *entries) {
    if (std::find(facts.begin(), facts.end(), name) != facts.end()) {
      entry.refuse("'" + name + "' is what shiftd knows of a host: choose another name");
      continue;
    }
    auto read = variable(entry);
    if (!read) continue;
    auto declared = schema != nullptr ? schema->find(name) : Schema::const_iterator{};
    if (schema != nullptr && declared == schema->end())
      entry.refuse("the schema has no variable " + in_quotes(name));
    else if (schema != nullptr && !is_of(declared->second, *read))
      entry.refuse("must be " + std::string(word_of(declared->second)) + ", as the schema says");
    variables.insert_or_assign(name, std::move(*read));
  }
}

Schema read_schema(const yaml::Value& root) {
  Schema schema;
  auto entries = root.entries(most_variables, "a map of variables and their kinds");
  if (!entries) return schema;
  auto kind = word<VariableKind>({{"text", VariableKind::text},
                                  {"number", VariableKind::number},
                                  {"flag", VariableKind::flag},
                                  {"list", VariableKind::list},
                                  {"map", VariableKind::map}});
  for (const auto& [name, entry] : *entries)
    if (auto read = kind(entry)) schema.emplace(name, *read);
  return schema;
}

using Scoped = std::map<std::string, Variables, std::less<>>;

// The whole vars file: `all` and the scopes, each by the name of what it is for.
Scopes read_scopes(const yaml::Value& root, const Schema* schema) {
  Scopes scopes;
  auto entries = root.entries(5, "a map with 'all', 'environments', 'dcs', 'clusters' and 'hosts'");
  if (!entries) return scopes;
  const std::map<std::string, Scoped*> named{
      {"environments", &scopes.environments}, {"dcs", &scopes.dcs}, {"clusters", &scopes.clusters}, {"hosts", &scopes.hosts}};
  for (const auto& [key, entry] : *entries) {
    if (key == "all") {
      read_variables(entry, schema, scopes.all);
      continue;
    }
    auto scope = named.find(key);
    if (scope == named.end()) {
      entry.refuse("is not known here: write 'all', 'environments', 'dcs', 'clusters' or 'hosts', and the variables in them");
      continue;
    }
    auto inner = entry.entries(20'000, "a map of names, each with its variables");
    if (!inner) continue;
    for (const auto& [which, variables] : *inner) read_variables(variables, schema, (*scope->second)[which]);
  }
  return scopes;
}

class Reader {
 public:
  explicit Reader(const std::string& directory) { configuration_.directory = directory; }

  Result<Configuration> read() {
    auto document = open("manifest.yaml");
    if (!document) return failed();
    auto root = document->root();
    auto manifest = root ? yaml::section(read_manifest)(*root).value_or(Manifest{}) : Manifest{};
    for (auto& file : manifest.files) {
      if (file.template_name.empty()) continue;
      if (auto text = contents(file.template_name)) {
        file.text = std::move(*text);
      } else {
        document->refuse_at("files", "the template " + in_quotes(file.template_name) + " cannot be read: " + text.error().what);
      }
    }
    configuration_.files = std::move(manifest.files);
    take_errors(*document);
    std::optional<Schema> schema;
    if (!manifest.schema.empty()) {
      if (auto file = open(manifest.schema)) {
        if (auto value = file->root()) schema = read_schema(*value);
        take_errors(*file);
      }
    }
    if (!manifest.vars.empty()) {
      if (auto file = open(manifest.vars)) {
        if (auto value = file->root(); value && !value->is_nothing())
          configuration_.scopes = read_scopes(*value, schema ? &*schema : nullptr);
        take_errors(*file);
      }
    }
    if (!errors_.empty()) return failed();
    return std::move(configuration_);
  }

 private:
  Result<std::string> contents(const std::string& name) {
    auto text = read_whole_file(configuration_.directory + "/" + name);
    if (text) configuration_.contents.insert_or_assign(name, *text);
    return text;
  }

  std::unique_ptr<yaml::Document> open(const std::string& name) {
    auto text = contents(name);
    if (!text) {
      errors_ += configuration_.directory + "/" + name + ": " + text.error().what + "\n";
      return nullptr;
    }
    return std::make_unique<yaml::Document>(configuration_.directory + "/" + name, *text);
  }

  void take_errors(const yaml::Document& document) {
    for (const auto& error : document.errors()) errors_ += to_string(error) + "\n";
  }

  Failure failed() {
    while (errors_.ends_with('\n')) errors_.pop_back();
    return {Errc::bad_input, std::move(errors_)};
  }

  Configuration configuration_;
  std::string errors_;
};

}  // namespace

Result<Configuration> read_configuration(const std::string& directory) { return Reader(directory).read(); }

}  // namespace shiftd
