#include "daemon/driver/connections.hpp"

#include <algorithm>
#include <sstream>

namespace shiftd {
namespace {

// What ss takes for an address and a port, and a shell for a word: digits, hex, ':', '.', '[', ']', '*'.
bool is_plain(std::string_view text) {
  constexpr std::string_view allowed = "0123456789abcdefABCDEF:.[]*";
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

// More than this is busy however many they are.
constexpr const char* lines_most = "1000";

// "10.1.2.3:443" without its port; IPv4 in IPv6 as IPv4.
std::string address_in(std::string_view socket) {
  auto address = socket.substr(0, socket.rfind(':'));
  if (address.starts_with("[::ffff:") && address.ends_with("]")) address = address.substr(8, address.size() - 9);
  return std::string(address);
}

}  // namespace

Result<std::string> connections_command(const HostPlace& place, const IdleOptions& options) {
  auto sockets = options.sockets;
  if (sockets.empty()) sockets.push_back(":" + place.address.substr(place.address.rfind(':') + 1));
  std::string filter;
  for (auto& socket : sockets) {
    if (socket == "{{address}}") socket = place.address;
    if (!is_plain(socket)) return Failure{Errc::bad_input, "'" + socket + "' is no local address of ss"};
    filter += (filter.empty() ? "( src " : " or src ") + socket;
  }
  filter += " )";
  std::string ignored;
  for (const auto& address : options.ignore) {
    if (!is_plain(address)) return Failure{Errc::bad_input, "'" + address + "' is no address"};
    ignored += (ignored.empty() ? " and not ( dst " : " or dst ") + address;
  }
  if (!ignored.empty()) ignored += " )";
  // Without pipefail in sh: what ss says of a failure is told apart by its exit status, written last.
  return std::string("out=$(ss -Htn state established '") + filter + ignored + "') || exit $?; printf '%s' \"$out\" | head -n " +
         lines_most;
}

Result<int> connections_in(std::string_view lines) {
  int count = 0;
  std::istringstream in{std::string(lines)};
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string received;
    std::string sent;
    std::string local;
    std::string peer;
    if (!(words >> received)) continue;
    words >> sent >> local >> peer;
    if (peer.find(':') == std::string::npos || local.find(':') == std::string::npos)
      return Failure{Errc::unexpected_reply, "ss printed '" + line.substr(0, 80) + "'"};
    if (address_in(local) != address_in(peer)) ++count;
  }
  return count;
}

Task<Result<int>> count_connections(Executor& executor, const HostPlace& place, const IdleOptions& options) {
  auto command = connections_command(place, options);
  if (!command) co_return std::move(command).error();
  auto ran = co_await executor.run(std::move(*command));
  if (!ran) co_return std::move(ran).error().during("count connections");
  if (ran->exit_status != 0) {
    co_return Failure{Errc::refused, "ss on the host failed with exit status " + std::to_string(ran->exit_status) +
                                         (ran->err.empty() ? "" : ": " + ran->err.substr(0, 200))};
  }
  co_return connections_in(ran->out);
}

}  // namespace shiftd
