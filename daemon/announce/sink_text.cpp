#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/announce/sink.hpp"

namespace shiftd {
namespace {

// The log's own time is that of arrival: what comes later than this says when it was.
constexpr Duration late = std::chrono::minutes(1);

nlohmann::ordered_json json_of(const Setting& setting) { return {{"pooled", to_string(setting.pooled)}, {"weight", setting.weight}}; }

}  // namespace

std::string log_line(const Announcement& announcement, const std::string& from, Instant now) {
  auto line = fmt::format("!log {} {}", from, announcement.action);
  return now - announcement.at > late ? line + " (at " + to_string(announcement.at) + ")" : line;
}

std::string to_json(const Announcement& announcement, const std::string& from) {
  nlohmann::ordered_json json = {{"id", fmt::format("{}/{}", announcement.rollout, announcement.record)},
                                 {"at", to_string(announcement.at)},
                                 {"rollout", announcement.rollout},
                                 {"service", announcement.service},
                                 {"text", from + " " + announcement.action}};
  if (announcement.change) {
    const auto& change = *announcement.change;
    json["change"] = {{"pool", change.pool}, {"member", change.member}, {"from", json_of(change.from)}, {"to", json_of(change.to)}};
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::unique_ptr<Sink> make_sink(Clock& clock, SinkOptions options, std::string from) {
  switch (options.to.index()) {
    case 0: return make_tcpircbot(clock, std::move(options), std::move(from));
    case 1: return make_webhook(clock, std::move(options), std::move(from));
    default: return make_file_sink(std::move(options), std::move(from));
  }
}

}  // namespace shiftd
