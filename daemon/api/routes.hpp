#pragma once

// Every path that the API answers, in one table. openapi.yaml describes the same ones: a test compares them.

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "daemon/engine/event.hpp"

namespace shiftd {

enum class Route : std::uint8_t {
  healthy,
  ready,
  metrics,
  services,
  pools,
  plan,
  list,
  start,
  show,
  command,
  events,
  logs,
  trace,
  history,
  desired
};

struct RouteLine {
  std::string_view method;
  std::string_view path;  // "{rollout}" or "{service}" stands for one path segment
  Route route;
  Verb verb = Verb::pause;  // for Route::command
};

std::span<const RouteLine> routes();

struct Routed {
  const RouteLine* line = nullptr;
  std::string name;  // of the rollout or the service; empty where the path names none
};
struct NoSuchPath {};
struct WrongMethod {
  std::string allow;  // "GET, POST"
};

// `path` is without its query. Percent escapes in the named segment are resolved.
std::variant<Routed, NoSuchPath, WrongMethod> find_route(std::string_view method, std::string_view path);

}  // namespace shiftd
