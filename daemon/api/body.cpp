#include "daemon/api/body.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <set>

#include <nlohmann/json.hpp>

namespace shiftd {
namespace {

using nlohmann::json;

constexpr std::size_t name_most = 256;
constexpr std::size_t path_most = 4096;
constexpr std::size_t reason_most = 1000;
constexpr std::size_t limit_most = 10'000;

Failure bad(const std::string& what) { return {Errc::bad_input, what}; }

std::string in_quotes(std::string_view text) { return "'" + std::string(text.substr(0, 80)) + "'"; }

// Reads the fields of one object and remembers the first thing that is wrong.
class Fields {
 public:
  Fields(const json& given, std::string path, std::initializer_list<std::string_view> known) : object_(given), path_(std::move(path)) {
    if (!object_.is_object()) fail((path_.empty() ? "the body" : in_quotes(path_)) + " must be a JSON object");
    for (const auto& [name, value] : object().items()) {
      if (std::find(known.begin(), known.end(), name) == known.end()) fail("unknown field " + in_quotes(path_ + name));
    }
  }

  std::string text(const char* name, bool required, std::size_t most) {
    auto found = object().find(name);
    if (found == object().end() || found->is_null()) {
      if (required) fail(in_quotes(path_ + name) + " is missing");
      return {};
    }
    return checked(*found, path_ + name, required, most);
  }

  bool flag(const char* name) {
    auto found = object().find(name);
    if (found == object().end() || found->is_null()) return false;
    if (!found->is_boolean()) return fail(in_quotes(path_ + name) + " must be true or false"), false;
    return found->get<bool>();
  }

  std::vector<std::string> names(const char* name) {
    std::vector<std::string> list;
    auto found = object().find(name);
    if (found == object().end() || found->is_null()) return list;
    if (!found->is_array()) return fail(in_quotes(path_ + name) + " must be a list of host names"), list;
    if (found->size() > limit_most)
      return fail(in_quotes(path_ + name) + " names more than " + std::to_string(limit_most) + " hosts"), list;
    std::set<std::string> seen;
    for (const auto& element : *found) {
      auto host = checked(element, path_ + name, true, name_most);
      if (!seen.insert(host).second) fail(in_quotes(path_ + name) + " names " + in_quotes(host) + " twice");
      list.push_back(std::move(host));
    }
    return list;
  }

  const json& nested(const char* name) {
    static const json nothing = json::object();
    auto found = object().find(name);
    if (found != object().end()) return *found;
    fail(in_quotes(path_ + name) + " is missing");
    return nothing;
  }

  void fail(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

 private:
  [[nodiscard]] const json& object() const {
    static const json nothing = json::object();
    return object_.is_object() ? object_ : nothing;
  }

  std::string checked(const json& value, const std::string& name, bool required, std::size_t most) {
    if (!value.is_string()) return fail(in_quotes(name) + " must be a text"), "";
    const auto& text = value.get_ref<const std::string&>();
    if (required && text.empty()) fail(in_quotes(name) + " must not be empty");
    if (text.size() > most) fail(in_quotes(name) + " is longer than " + std::to_string(most) + " bytes");
    if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
      fail(in_quotes(name) + " has a control character in it");
    return text;
  }

  const json& object_;
  std::string path_;
  std::string wrong_;
};

constexpr const char* no_json = "the body is no JSON";

bool is_sha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c); });
}

}  // namespace

Result<StartRequest> parse_start(std::string_view body, std::string by) {
  auto value = json::parse(body, nullptr, false);
  if (value.is_discarded()) return bad(no_json);
  StartRequest request;
  request.by = std::move(by);
  Fields fields(value, "", {"service", "release", "limit", "reason", "if_plan", "no_watch", "untested"});
  request.service = fields.text("service", true, name_most);
  request.limit = fields.names("limit");
  request.reason = fields.text("reason", false, reason_most);
  request.if_plan = fields.text("if_plan", false, 64);
  if (!request.if_plan.empty() && !is_sha256(request.if_plan)) fields.fail("'if_plan' must be the 64 hex digits of a plan's 'digest'");
  request.no_watch = fields.flag("no_watch");
  request.untested = fields.flag("untested");
  if (request.untested && request.reason.empty()) fields.fail("'untested' needs a 'reason'");
  const auto& inner = fields.nested("release");
  if (!fields.wrong().empty()) return bad(fields.wrong());

  Fields release(inner, "release.", {"version", "source", "sha256", "config", "irreversible"});
  request.release.irreversible = release.flag("irreversible");
  request.release.version = release.text("version", true, name_most);
  request.release.source = release.text("source", false, path_most);
  const auto& source = request.release.source;
  auto digest = release.text("sha256", !source.empty(), 64);
  if (!digest.empty() && !is_sha256(digest)) release.fail("'release.sha256' must be 64 hex digits");
  request.release.config = release.text("config", false, path_most);
  const auto& config = request.release.config;
  if (!config.empty() && config != "none" && !config.starts_with('/') && !is_sha256(config))
    release.fail("'release.config' must be an absolute path on the daemon's machine, the digest of a configuration, or none");
  bool somewhere = source.starts_with('/') || source.starts_with("https://") || source.starts_with("http://");
  if (!source.empty() && !somewhere) release.fail("'release.source' must be an absolute path on the daemon's machine, or an http URL");
  if (!release.wrong().empty()) return bad(release.wrong());
  std::transform(digest.begin(), digest.end(), digest.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // A release that comes as no tarball is known by its version; one that is a configuration alone, when its code is known.
  bool only_config = digest.empty() && !request.release.config.empty();
  if (!only_config) request.release.digest = digest.empty() ? request.release.version : std::move(digest);
  return request;
}

Result<CommandRequest> parse_command(Verb verb, std::string_view body, std::string by) {
  auto value = json::parse(body.empty() ? "{}" : body, nullptr, false);
  if (value.is_discarded()) return bad(no_json);
  CommandRequest request;
  request.verb = verb;
  request.by = std::move(by);
  bool for_host = verb == Verb::release_hold || verb == Verb::take;
  bool for_metric = verb == Verb::ignore_metric;
  Fields fields(value, "", {"host", "metric", "reason", "override", "force"});
  request.host = fields.text("host", for_host, name_most);
  request.metric = fields.text("metric", for_metric, name_most);
  request.instead_of_verdict = fields.flag("override");
  request.instead_of_views = fields.flag("force");
  bool explained = verb == Verb::take || for_metric || request.instead_of_verdict || request.instead_of_views;
  request.reason = fields.text("reason", explained, reason_most);
  if (request.instead_of_verdict && verb != Verb::promote) fields.fail("'override' is for promote only");
  if (request.instead_of_views && verb != Verb::roll_back) fields.fail("'force' is for rollback only");
  if (!for_metric && !request.metric.empty()) fields.fail("'metric' is for ignore-metric only");
  if (!for_host && !request.host.empty()) fields.fail("'host' is for release-hold and take only");
  if (!fields.wrong().empty()) return bad(fields.wrong());
  return request;
}

}  // namespace shiftd
