#include "daemon/api/routes.hpp"

#include <array>
#include <optional>

#include "daemon/api/query.hpp"

namespace shiftd {
namespace {

constexpr std::array table = {
    RouteLine{"GET", "/-/healthy", Route::healthy},
    RouteLine{"GET", "/-/ready", Route::ready},
    RouteLine{"GET", "/metrics", Route::metrics},
    RouteLine{"GET", "/api/v1/services", Route::services},
    RouteLine{"GET", "/api/v1/services/{service}/pools", Route::pools},
    RouteLine{"GET", "/api/v1/services/{service}/history", Route::history},
    RouteLine{"GET", "/api/v1/services/{service}/desired", Route::desired},
    RouteLine{"POST", "/api/v1/plan", Route::plan},
    RouteLine{"GET", "/api/v1/rollouts", Route::list},
    RouteLine{"POST", "/api/v1/rollouts", Route::start},
    RouteLine{"GET", "/api/v1/rollouts/{rollout}", Route::show},
    RouteLine{"GET", "/api/v1/rollouts/{rollout}/events", Route::events},
    RouteLine{"GET", "/api/v1/rollouts/{rollout}/logs", Route::logs},
    RouteLine{"GET", "/api/v1/rollouts/{rollout}/trace", Route::trace},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/pause", Route::command, Verb::pause},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/resume", Route::command, Verb::resume},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/promote", Route::command, Verb::promote},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/rollback", Route::command, Verb::roll_back},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/abort", Route::command, Verb::abort},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/release-hold", Route::command, Verb::release_hold},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/take", Route::command, Verb::take},
    RouteLine{"POST", "/api/v1/rollouts/{rollout}/ignore-metric", Route::command, Verb::ignore_metric},
};

// The name in the path when it fits; empty text when the pattern has none.
std::optional<std::string> fits(std::string_view pattern, std::string_view path) {
  auto at = pattern.find('{');
  if (at == std::string_view::npos) return pattern == path ? std::optional<std::string>("") : std::nullopt;
  auto tail = pattern.substr(pattern.find('}') + 1);
  if (path.size() <= at + tail.size() || path.substr(0, at) != pattern.substr(0, at)) return std::nullopt;
  if (path.substr(path.size() - tail.size()) != tail) return std::nullopt;
  auto segment = path.substr(at, path.size() - at - tail.size());
  if (segment.find('/') != std::string_view::npos) return std::nullopt;
  auto name = percent_decoded(segment);
  if (!name || name->empty() || name->size() > 256) return std::nullopt;
  return name;
}

}  // namespace

std::span<const RouteLine> routes() { return table; }

std::variant<Routed, NoSuchPath, WrongMethod> find_route(std::string_view method, std::string_view path) {
  std::string allow;
  for (const auto& line : table) {
    auto name = fits(line.path, path);
    if (!name) continue;
    if (line.method == method) return Routed{&line, std::move(*name)};
    allow.append(allow.empty() ? "" : ", ").append(line.method);
  }
  if (allow.empty()) return NoSuchPath{};
  return WrongMethod{std::move(allow)};
}

}  // namespace shiftd
