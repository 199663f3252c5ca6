#include "lb-adapters/haproxy/counts.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include <nlohmann/json.hpp>

#include "lb-adapters/haproxy/runtime_reply.hpp"

namespace shiftd::haproxy {
namespace {

// A count that no HAProxy reaches: sums of a few of these do not overflow.
constexpr std::uint64_t believable = std::uint64_t{1} << 48;

std::int64_t bounded(std::uint64_t count) { return static_cast<std::int64_t>(std::min(count, believable)); }

Columns columns_of(const StatRow& row) {
  Columns columns;
  columns.begun = bounded(row.total);
  columns.repeated = bounded(row.retries) + bounded(row.redispatches);
  columns.informational = bounded(row.responses[informational]);
  for (std::size_t at = 1; at < row.responses.size(); ++at) columns.final += bounded(row.responses[at]);
  columns.errors = bounded(row.responses[server_errors]);
  return columns;
}

std::uint64_t count(std::int64_t value) { return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0)); }

}  // namespace

Columns RequestCounts::grow(Columns& last, const Columns& now, bool new_epoch, bool* reset) {
  bool fell = now.begun < last.begun || now.informational < last.informational || now.final < last.final || now.errors < last.errors;
  *reset = new_epoch || fell;
  auto before = *reset ? Columns{} : last;
  last = now;
  return {now.begun - before.begun, std::max<std::int64_t>(now.repeated - before.repeated, 0), now.informational - before.informational,
          now.final - before.final, now.errors - before.errors};
}

CountsReading RequestCounts::advance(const std::string& epoch, std::span<const StatRow> rows) {
  CountsReading reading;
  reading.first = epoch_.empty();
  bool new_epoch = !reading.first && epoch != epoch_;
  epoch_ = epoch;
  reading.reset = new_epoch;

  auto is_backend = [](const StatRow& row) { return row.server == "BACKEND"; };
  auto backend = std::find_if(rows.begin(), rows.end(), is_backend);
  Columns grown_here;
  if (backend != rows.end()) {
    bool reset = false;
    grown_here = grow(backend_, columns_of(*backend), new_epoch, &reset);
    if (reading.first) grown_here = {};
    reading.reset |= reset && !reading.first;
  }
  informational_ += grown_here.informational;

  // First what each row grew by: how much HAProxy answered itself takes all of them.
  struct Growth {
    Server* server;
    Columns columns;
  };
  std::map<std::string, Server> known;
  std::map<std::string, Growth> growths;
  std::int64_t errors_of_servers = 0;
  for (const auto& row : rows) {
    if (is_backend(row)) continue;
    auto before = servers_.find(row.server);
    bool is_new = before == servers_.end();
    auto& server = known[row.server];
    if (!is_new) server = before->second;
    bool reset = false;
    auto grown = grow(server.last, columns_of(row), new_epoch, &reset);
    auto current = bounded(row.current);
    if (reading.first) {
      grown = {};
      server.most = -current;
    } else if (is_new || reset) {
      reading.reset |= reset && !is_new;
      server.settled += std::max<std::int64_t>(server.most + server.owed, 0);
      server.since = {};
      server.informational_then = informational_ - (reset ? grown_here.informational : 0);
      server.most = std::numeric_limits<std::int64_t>::min() / 2;
      server.owed = 0;
    }
    errors_of_servers += grown.errors;
    growths[row.server] = {&server, grown};

    auto& since = server.since;
    since.begun += grown.begun;
    since.repeated += grown.repeated;
    since.informational += grown.informational;
    since.final += grown.final;
    since.errors += grown.errors;
    auto confirmed = std::clamp<std::int64_t>(informational_ - server.informational_then, 0, since.informational);
    auto open = since.begun - since.repeated - since.final - confirmed;
    server.most = std::max(server.most, open - current);
    server.owed = std::max(server.owed, -open);
  }
  made_here_ += grown_here.errors - errors_of_servers;
  made_here_most_ = std::max(made_here_most_, made_here_);

  std::int64_t attributed = 0;
  for (auto& [name, growth] : growths) {
    auto& server = *growth.server;
    auto least = server.settled + std::max<std::int64_t>(server.most + server.owed, 0);
    auto unanswered = std::max(server.unanswered, std::min(least, made_here_most_));
    auto failed_here = unanswered - std::exchange(server.unanswered, unanswered);
    attributed += unanswered;
    reading.hosts.push_back({name, count(growth.columns.final + failed_here), count(growth.columns.errors + failed_here)});
  }
  servers_ = std::move(known);
  auto unattributed = std::max(unattributed_, made_here_most_ - attributed);
  reading.unattributed = count(unattributed - std::exchange(unattributed_, unattributed));
  return reading;
}

namespace {

using Json = nlohmann::json;

Json to_json(const Columns& columns) {
  return Json::array({columns.begun, columns.repeated, columns.informational, columns.final, columns.errors});
}

// Throws Json's exceptions, or out_of_range.
std::int64_t believable_number(const Json& json) {
  auto value = json.get<std::int64_t>();
  if (std::abs(value / 4) > bounded(believable)) throw std::out_of_range("a count is impossible");
  return value;
}

Columns columns_from(const Json& json) {
  if (!json.is_array() || json.size() != 5) throw std::out_of_range("a row is not five columns");
  return {believable_number(json[0]), believable_number(json[1]), believable_number(json[2]), believable_number(json[3]),
          believable_number(json[4])};
}

}  // namespace

std::string RequestCounts::checkpoint() const {
  auto servers = Json::object();
  for (const auto& [name, server] : servers_) {
    servers[name] = {
        {"last", to_json(server.last)}, {"since", to_json(server.since)}, {"then", server.informational_then}, {"most", server.most},
        {"owed", server.owed},          {"settled", server.settled},      {"unanswered", server.unanswered}};
  }
  Json json = {{"version", 1},
               {"epoch", epoch_},
               {"backend", to_json(backend_)},
               {"informational", informational_},
               {"made_here", made_here_},
               {"made_here_most", made_here_most_},
               {"unattributed", unattributed_},
               {"servers", std::move(servers)}};
  return json.dump();
}

Result<void> RequestCounts::restore(const std::string& checkpoint) {
  RequestCounts restored;
  try {
    auto json = Json::parse(checkpoint);
    if (json.at("version") != 1) return Failure{Errc::bad_input, "checkpoint of HAProxy's counts: another version"};
    restored.epoch_ = json.at("epoch").get<std::string>();
    restored.backend_ = columns_from(json.at("backend"));
    restored.informational_ = believable_number(json.at("informational"));
    restored.made_here_ = believable_number(json.at("made_here"));
    restored.made_here_most_ = believable_number(json.at("made_here_most"));
    restored.unattributed_ = believable_number(json.at("unattributed"));
    for (const auto& [name, row] : json.at("servers").items()) {
      Server server;
      server.last = columns_from(row.at("last"));
      server.since = columns_from(row.at("since"));
      server.informational_then = believable_number(row.at("then"));
      server.most = believable_number(row.at("most"));
      server.owed = believable_number(row.at("owed"));
      server.settled = believable_number(row.at("settled"));
      server.unanswered = believable_number(row.at("unanswered"));
      restored.servers_.emplace(name, server);
    }
  } catch (const std::exception& error) {
    return Failure{Errc::bad_input, "checkpoint of HAProxy's counts: " + in_quotes(error.what())};
  }
  *this = std::move(restored);
  return {};
}

}  // namespace shiftd::haproxy
