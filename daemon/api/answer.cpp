#include "daemon/api/answer.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/api/body.hpp"
#include "daemon/api/query.hpp"
#include "daemon/api/render.hpp"
#include "daemon/api/routes.hpp"
#include "daemon/metrics/metrics.hpp"

namespace shiftd {
namespace {

constexpr std::size_t list_default = 50;
constexpr std::size_t list_most = 1000;

ApiAnswer json_answer(std::string body, int status = 200) { return {status, "application/json", std::move(body), "", {}}; }

ApiAnswer text_answer(std::string body, int status = 200) { return {status, "text/plain; charset=utf-8", std::move(body), "", {}}; }

ApiAnswer ready(const Control& control) {
  auto ready = control.ready();
  return ready ? text_answer("ready\n") : text_answer(ready.error().what + "\n", 503);
}

// Refuses parameters that nobody reads: a misspelt one would be ignored.
Result<void> only(const Target& target, std::string_view known) {
  for (const auto& [name, value] : target.query) {
    if (name != known) return Failure{Errc::bad_input, fmt::format("unknown query parameter '{}'", name.substr(0, 80))};
  }
  return {};
}

Result<std::uint64_t> number(const Target& target, const std::string& name, std::uint64_t otherwise) {
  auto found = target.query.find(name);
  if (found == target.query.end()) return otherwise;
  auto value = parse_number(found->second);
  if (!value) return Failure{Errc::bad_input, fmt::format("'{}' must be a number, not '{}'", name, found->second.substr(0, 80))};
  return *value;
}

Task<ApiAnswer> plan(Control& control, ApiRequest request) {
  auto asked = parse_start(request.body, request.by);
  if (!asked) co_return refuse(asked.error());
  auto made = co_await control.plan(std::move(*asked));
  co_return made ? json_answer(render(*made)) : refuse(made.error());
}

Task<ApiAnswer> start(Control& control, ApiRequest request) {
  auto asked = parse_start(request.body, request.by);
  if (!asked) co_return refuse(asked.error());
  auto rollout = co_await control.start(std::move(*asked));
  co_return rollout ? json_answer(render_started(*rollout), 201) : refuse(rollout.error());
}

Task<ApiAnswer> list(Control& control, Target target) {
  auto most = number(target, "most", list_default);
  if (!most) co_return refuse(most.error());
  auto briefs = co_await control.list(std::min<std::size_t>(*most, list_most));
  co_return briefs ? json_answer(render(*briefs)) : refuse(briefs.error());
}

Task<ApiAnswer> pools(Control& control, std::string service) {
  auto found = co_await control.pools(std::move(service));
  if (!found) co_return refuse(found.error());
  co_return json_answer(render(*found));
}

ApiAnswer said(Result<std::string> text) { return text ? text_answer(std::move(*text)) : refuse(text.error()); }

Task<ApiAnswer> show(Control& control, Clock& clock, std::string rollout) {
  auto status = co_await control.show(std::move(rollout));
  co_return status ? json_answer(render(*status, clock.wall(), control.stats().sinks)) : refuse(status.error());
}

Task<ApiAnswer> command(Control& control, Verb verb, std::string rollout, ApiRequest request) {
  auto asked = parse_command(verb, request.body, request.by);
  if (!asked) co_return refuse(asked.error());
  auto done = co_await control.command(rollout, std::move(*asked));
  co_return done ? json_answer(render_started(rollout)) : refuse(done.error());
}

Task<ApiAnswer> logs(Control& control, std::string rollout, Target target) {
  auto host = target.query.find("host");
  if (host == target.query.end() || host->second.empty()) co_return refuse(Failure{Errc::bad_input, "'host' is missing: ?host=web1"});
  co_return said(co_await control.logs(std::move(rollout), host->second));
}

// A client that comes back says the last number it has seen; that wins over `from`.
Task<ApiAnswer> events(Control& control, std::string rollout, Target target, std::string last_event_id) {
  auto from = number(target, "from", 0);
  if (!from) co_return refuse(from.error());
  if (!last_event_id.empty()) {
    auto last = parse_number(last_event_id);
    if (!last) co_return refuse(Failure{Errc::bad_input, "Last-Event-ID must be the number of a record"});
    from = *last + 1;
  }
  auto there = co_await control.follow(rollout, *from, Duration(0));
  if (!there) co_return refuse(there.error());
  ApiAnswer reply{200, "text/event-stream", "", "", Feed{std::move(rollout), *from}};
  co_return reply;
}

}  // namespace

int http_status(Errc code) {
  switch (code) {
    case Errc::bad_input: return 400;
    case Errc::unauthenticated: return 401;
    case Errc::refused: return 403;
    case Errc::not_found: return 404;
    case Errc::conflict: return 409;
    case Errc::unreachable:
    case Errc::unexpected_reply: return 502;
    case Errc::exhausted:
    case Errc::unavailable: return 503;
    case Errc::timed_out: return 504;
  }
  return 500;
}

ApiAnswer refuse(int status, std::string_view code, std::string_view what) {
  nlohmann::ordered_json value = {{"error", {{"code", code}, {"what", what}}}};
  return json_answer(value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), status);
}

ApiAnswer refuse(const Failure& failure) { return refuse(http_status(failure.code), to_string(failure.code), failure.what); }

bool needs_name(const ApiRequest& request) { return request.method == "POST"; }

Task<ApiAnswer> answer(Control& control, Clock& clock, ApiRequest request) {
  auto target = parse_target(request.target);
  if (!target) co_return refuse(target.error());
  auto found = find_route(request.method, target->path);
  if (auto* wrong = std::get_if<WrongMethod>(&found)) {
    auto reply = refuse(405, to_string(Errc::bad_input), fmt::format("{} answers {}", target->path, wrong->allow));
    reply.allow = wrong->allow;
    co_return reply;
  }
  auto* routed = std::get_if<Routed>(&found);
  if (routed == nullptr) co_return refuse(Failure{Errc::not_found, fmt::format("no such path: {}", target->path.substr(0, 200))});
  const auto& line = *routed->line;
  auto known = only(*target, line.route == Route::list     ? "most"
                             : line.route == Route::events ? "from"
                             : line.route == Route::logs   ? "host"
                                                           : "");
  if (!known) co_return refuse(known.error());

  switch (line.route) {
    case Route::healthy: co_return text_answer("healthy\n");
    case Route::ready: co_return ready(control);
    case Route::metrics: co_return ApiAnswer{200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(control), "", {}};
    case Route::services: co_return json_answer(render_services(control.services()));
    case Route::pools: co_return co_await pools(control, std::move(routed->name));
    case Route::plan: co_return co_await plan(control, std::move(request));
    case Route::list: co_return co_await list(control, std::move(*target));
    case Route::start: co_return co_await start(control, std::move(request));
    case Route::show: co_return co_await show(control, clock, std::move(routed->name));
    case Route::command: co_return co_await command(control, line.verb, std::move(routed->name), std::move(request));
    case Route::logs: co_return co_await logs(control, std::move(routed->name), std::move(*target));
    case Route::events: co_return co_await events(control, std::move(routed->name), std::move(*target), std::move(request.last_event_id));
    case Route::trace: co_return said(co_await control.trace(std::move(routed->name)));
    case Route::history: co_return said(co_await control.history(std::move(routed->name)));
    case Route::desired: co_return said(co_await control.desired(std::move(routed->name)));
  }
  co_return refuse(500, "unexpected", "this route has no answer");
}

}  // namespace shiftd
