#include "lb-adapters/haproxy/view_rules.hpp"

#include <algorithm>
#include <limits>
#include <string>

namespace shiftd::haproxy {
namespace {

int bounded(std::uint64_t count) {
  return static_cast<int>(std::min<std::uint64_t>(count, static_cast<std::uint64_t>(std::numeric_limits<int>::max())));
}

}  // namespace

Health health_of(const StatRow& row) {
  auto word = std::string_view(row.status).substr(0, row.status.find(' '));
  if (word == "DOWN") return Health::down;
  // Also of a drained server that is not checked: its status says DRAIN all the same.
  if (row.check_status.empty() && word != "MAINT") return Health::unchecked;
  if (word == "MAINT" || row.check_status == "INI") return Health::unknown;
  if (row.status == "UP" || row.status == "DRAIN") return Health::up;
  if (word == "UP" || word == "DRAIN" || word == "NOLB") return Health::down;
  return Health::unknown;
}

MemberView view_of(const StatRow& row, const ServerState& server, std::size_t old_workers) {
  MemberView view;
  view.health = health_of(row);
  view.connections = bounded(row.current);
  bool out = (server.admin_state & (any_maint | any_drain)) != 0 || server.weight == 0;
  if (!out) {
    view.traffic = Traffic::flowing;
    if (row.status.starts_with("UP") || row.status == "no check") view.weight = bounded(row.weight);
    return view;
  }
  view.traffic = row.current == 0 && old_workers == 0 ? Traffic::none : Traffic::draining;
  if (old_workers > 0) view.why = std::to_string(old_workers) + " worker(s) of a former configuration still run and may send requests";
  return view;
}

}  // namespace shiftd::haproxy
