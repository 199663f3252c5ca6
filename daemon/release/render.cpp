#include "daemon/release/render.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include <fmt/format.h>
#include <kainjow/mustache.hpp>

#include "daemon/io/sha256.hpp"
#include "daemon/release/placeholders.hpp"

namespace shiftd {
namespace {

namespace mustache = kainjow::mustache;

mustache::data data_of(const Variable& variable) {
  if (const auto* text = std::get_if<std::string>(&variable.value)) return mustache::data(*text);
  if (const auto* flag = std::get_if<bool>(&variable.value)) return mustache::data(*flag);
  if (const auto* list = std::get_if<Variable::List>(&variable.value)) {
    mustache::data all(mustache::data::type::list);
    for (const auto& element : *list) all.push_back(data_of(element));
    return all;
  }
  mustache::data all(mustache::data::type::object);
  for (const auto& [name, value] : std::get<Variable::Fields>(variable.value)) all.set(name, data_of(value));
  return all;
}

// Remembers the first name that it was asked for in vain.
class StrictContext final : public mustache::context<std::string> {
 public:
  explicit StrictContext(const mustache::data* data) : context(data) {}
  const mustache::data* get(const std::string& name) const override {
    const auto* found = context::get(name);
    if (found == nullptr && unknown.empty()) unknown = name;
    return found;
  }
  const mustache::data* get_partial(const std::string& name) const override {
    if (unknown.empty()) unknown = "> " + name;
    return nullptr;
  }

  mutable std::string unknown;
};

struct Tag {
  char kind = ' ';  // '#', '^', '/', '>', '!', '=' or ' ' for a value
  std::string name;
  std::size_t line = 1;
};

// The tags of a template, for messages and for what the library does not look at. (Where a template changes its
// delimiters, those that follow are not seen here.)
std::vector<Tag> tags_of(std::string_view text) {
  std::vector<Tag> tags;
  std::size_t line = 1;
  std::size_t counted = 0;
  for (auto open = text.find("{{"); open != std::string_view::npos; open = text.find("{{", open + 2)) {
    auto close = text.find("}}", open);
    if (close == std::string_view::npos) break;
    line += static_cast<std::size_t>(
        std::count(text.begin() + static_cast<std::ptrdiff_t>(counted), text.begin() + static_cast<std::ptrdiff_t>(open), '\n'));
    counted = open;
    auto inside = text.substr(open + 2, close - open - 2);
    constexpr std::string_view blank = " \t\r\n";
    Tag tag{' ', "", line};
    while (!inside.empty() && blank.find(inside.front()) != std::string_view::npos) inside.remove_prefix(1);
    if (!inside.empty() && std::string_view("#^/>!=&{").find(inside.front()) != std::string_view::npos) {
      if (inside.front() != '&' && inside.front() != '{') tag.kind = inside.front();
      inside.remove_prefix(1);
    }
    for (char c : inside)
      if (blank.find(c) == std::string_view::npos) tag.name += c;
    tags.push_back(std::move(tag));
    open = close;
  }
  return tags;
}

std::size_t line_of(const std::vector<Tag>& tags, std::string_view name) {
  bool partial = name.starts_with("> ");
  if (partial) name.remove_prefix(2);
  auto found = std::find_if(tags.begin(), tags.end(), [&](const Tag& tag) { return tag.name == name && (tag.kind == '>') == partial; });
  return found == tags.end() ? 1 : found->line;
}

// The library says where in characters: "Unclosed tag at 17".
std::size_t line_in_message(const std::string& message, std::string_view text) {
  auto space = message.rfind(' ');
  std::size_t at = 0;
  if (space != std::string::npos) std::from_chars(message.data() + space + 1, message.data() + message.size(), at);
  at = std::min(at, text.size());
  return 1 + static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

void put(Variables& into, const Variables& from) {
  for (const auto& [name, value] : from) into.insert_or_assign(name, value);
}

void put(Variables& into, const std::map<std::string, Variables, std::less<>>& from, const std::string& which) {
  if (auto found = from.find(which); found != from.end()) put(into, found->second);
}

Placeholders known_facts(const HostFacts& facts) {
  Placeholders known;
  for (const auto& [name, value] :
       {std::pair("service", &facts.service), std::pair("environment", &facts.environment), std::pair("dc", &facts.dc),
        std::pair("cluster", &facts.cluster), std::pair("host", &facts.host), std::pair("address", &facts.address)})
    if (!value->empty()) known.emplace(name, *value);
  return known;
}

Variables variables_for(const Scopes& scopes, const HostFacts& facts) {
  auto all = scopes.all;
  put(all, scopes.environments, facts.environment);
  put(all, scopes.dcs, facts.dc);
  put(all, scopes.clusters, facts.cluster);
  put(all, scopes.hosts, facts.host);
  // What a host is cannot be said otherwise by a file.
  for (const auto& [name, value] : known_facts(facts)) all.insert_or_assign(name, Variable{value});
  return all;
}

Result<std::string> render_text(const ConfigurationFile& file, const std::string& place, const Variables& variables,
                                const mustache::data& data) {
  auto tags = tags_of(file.text);
  auto wrong = [&](std::size_t line, const std::string& what) {
    return Failure{Errc::bad_input, fmt::format("{}:{}: {}", place, line, what)};
  };
  for (const auto& tag : tags) {
    auto found = tag.kind == ' ' ? variables.find(tag.name) : variables.end();
    if (found != variables.end() && !std::holds_alternative<std::string>(found->second.value))
      return wrong(tag.line, fmt::format("{{{{{0}}}}} is no text: write {{{{#{0}}}}}...{{{{/{0}}}}}", tag.name));
  }
  mustache::mustache parsed(file.text);
  if (!parsed.is_valid()) return wrong(line_in_message(parsed.error_message(), file.text), parsed.error_message());
  parsed.set_custom_escape([](const std::string& text) { return text; });
  StrictContext context(&data);
  auto text = parsed.render(static_cast<mustache::basic_context<std::string>&>(context));
  if (context.unknown.starts_with("> "))
    return wrong(line_of(tags, context.unknown), "a template cannot hold another one: {{" + context.unknown + "}}");
  if (!context.unknown.empty()) return wrong(line_of(tags, context.unknown), "unknown variable {{" + context.unknown + "}}");
  if (!parsed.is_valid()) return wrong(1, parsed.error_message());
  if (text.size() > rendered_most) return wrong(1, fmt::format("becomes {} bytes; at most {} are possible", text.size(), rendered_most));
  return text;
}

}  // namespace

Result<std::vector<RenderedFile>> render(const Configuration& configuration, const HostFacts& facts) {
  auto variables = variables_for(configuration.scopes, facts);
  mustache::data data(mustache::data::type::object);
  for (const auto& [name, value] : variables) data.set(name, data_of(value));
  std::vector<RenderedFile> files;
  std::set<std::string> paths;
  std::size_t bytes = 0;
  for (const auto& file : configuration.files) {
    auto place = configuration.directory + "/" + file.template_name;
    auto text = render_text(file, place, variables, data);
    if (!text) return std::move(text).error().during("render for " + facts.host);
    auto path = fill_placeholders(file.path, known_facts(facts));
    if (!path) return std::move(path).error().during(place + ": its path");
    if (!paths.insert(*path).second) return Failure{Errc::bad_input, place + ": another file has its path " + *path};
    bytes += text->size();
    if (bytes > rendered_most_all)
      return Failure{Errc::bad_input, fmt::format("{}: the files of a host become more than {} bytes", place, rendered_most_all)};
    auto digest = sha256_of(*text);
    files.push_back({sha256_of(*path).substr(0, 16), *path, std::move(*text), digest, file.mode, file.owner, file.validate, file.secret});
  }
  return files;
}

std::string digest_of(const std::vector<RenderedFile>& files) {
  Sha256 digest;
  for (const auto& file : files) digest.add(file.path + " " + file.mode + " " + file.owner + " " + file.digest + "\n");
  return digest.hex();
}

}  // namespace shiftd
