#include "lb-adapters/haproxy/stat_csv.hpp"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <optional>
#include <span>

#include "lb-adapters/haproxy/runtime_reply.hpp"

namespace shiftd::haproxy {
namespace {

// More rows than any HAProxy has servers.
constexpr std::size_t rows_most = 100'000;

std::string_view take_line(std::string_view& text) {
  auto end = text.find('\n');
  auto line = text.substr(0, end);
  text.remove_prefix(end == std::string::npos ? text.size() : end + 1);
  return line;
}

template <std::unsigned_integral T>
std::optional<T> number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A field is plain, or in double quotes with inner ones doubled; a quoted one may hold commas and line ends.
std::vector<std::string> take_csv_record(std::string_view& text) {
  std::vector<std::string> fields(1);
  bool quotes = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    char c = text[at];
    if (quotes) {
      if (c != '"') {
        fields.back() += c;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        fields.back() += '"';
        ++at;
      } else {
        quotes = false;
      }
    } else if (c == '"') {
      quotes = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      break;
    } else {
      fields.back() += c;
    }
  }
  text.remove_prefix(std::min(at + 1, text.size()));
  return fields;
}

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> out;
  while (!line.empty()) {
    auto end = line.find(' ');
    if (end != 0) out.emplace_back(line.substr(0, end));
    line.remove_prefix(end == std::string::npos ? line.size() : end + 1);
  }
  return out;
}

// A table's rows by column name. The first fault is kept, so that a row can be read in one go and judged once.
class Columns {
 public:
  explicit Columns(std::vector<std::string> header) : header_(std::move(header)) {}

  std::optional<std::size_t> find(std::string_view column) const {
    auto found = std::find(header_.begin(), header_.end(), column);
    if (found == header_.end()) return std::nullopt;
    return static_cast<std::size_t>(found - header_.begin());
  }

  Result<void> require(std::span<const std::string_view> columns) const {
    for (auto column : columns) {
      if (!find(column)) return Failure{Errc::unexpected_reply, "HAProxy's table has no column " + std::string(column)};
    }
    return {};
  }

  void row(std::vector<std::string> fields) { fields_ = std::move(fields); }

  std::string text(std::string_view column) const {
    auto at = find(column);
    return at && *at < fields_.size() ? fields_[*at] : std::string();
  }

  std::uint64_t count(std::string_view column) {
    auto field = text(column);
    if (field.empty()) return 0;
    auto value = number<std::uint64_t>(field);
    if (!value && fault_.empty()) fault_ = std::string(column) + " is " + in_quotes(field);
    return value.value_or(0);
  }

  Result<void> sound() const {
    if (fault_.empty()) return {};
    return Failure{Errc::unexpected_reply, "HAProxy's table: " + fault_};
  }

 private:
  std::vector<std::string> header_;
  std::vector<std::string> fields_;
  std::string fault_;
};

}  // namespace

Result<std::vector<StatRow>> parse_stat(std::string_view text) {
  if (!text.starts_with("# pxname,")) return failure_of(text);
  text.remove_prefix(2);
  Columns columns(take_csv_record(text));
  static constexpr std::array<std::string_view, 14> needed{"pxname",   "svname",   "status",   "scur",      "stot",
                                                           "wretr",    "wredis",   "weight",   "hrsp_1xx",  "hrsp_2xx",
                                                           "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"};
  if (auto complete = columns.require(needed); !complete) return complete.error();
  std::vector<StatRow> rows;
  while (!text.empty()) {
    auto fields = take_csv_record(text);
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (rows.size() == rows_most) return Failure{Errc::unexpected_reply, "HAProxy's table is longer than any pool"};
    columns.row(std::move(fields));
    StatRow row;
    row.proxy = columns.text("pxname");
    row.server = columns.text("svname");
    row.status = columns.text("status");
    row.check_status = columns.text("check_status");
    row.mode = columns.text("mode");
    row.algorithm = columns.text("algo");
    row.current = columns.count("scur");
    row.total = columns.count("stot");
    row.retries = columns.count("wretr");
    row.redispatches = columns.count("wredis");
    row.weight = columns.count("weight");
    for (std::size_t at = 0; at < row.responses.size(); ++at) row.responses[at] = columns.count(needed[needed.size() - 6 + at]);
    // HAProxy itself takes no other names.
    if (!is_name(row.proxy) || !is_name(row.server)) return Failure{Errc::unexpected_reply, "HAProxy's table has a row without a name"};
    rows.push_back(std::move(row));
  }
  if (auto sound = columns.sound(); !sound) return sound.error();
  return rows;
}

Result<std::vector<ServerState>> parse_servers_state(std::string_view text) {
  if (!text.starts_with("1\n#")) return failure_of(text);
  take_line(text);
  auto header = words(take_line(text).substr(1));
  Columns columns(std::move(header));
  static constexpr std::array<std::string_view, 6> needed{"be_name",         "srv_name",    "srv_op_state",
                                                          "srv_admin_state", "srv_uweight", "srv_iweight"};
  if (auto complete = columns.require(needed); !complete) return complete.error();
  std::vector<ServerState> servers;
  while (!text.empty()) {
    auto fields = words(take_line(text));
    if (fields.empty()) continue;
    if (servers.size() == rows_most) return Failure{Errc::unexpected_reply, "HAProxy's table is longer than any pool"};
    columns.row(std::move(fields));
    ServerState server;
    server.backend = columns.text("be_name");
    server.server = columns.text("srv_name");
    if (!is_name(server.backend) || !is_name(server.server)) {
      return Failure{Errc::unexpected_reply, "HAProxy's list of servers has a line without a name"};
    }
    std::array<std::uint64_t, 4> numbers{};
    for (std::size_t at = 0; at < numbers.size(); ++at) {
      if (columns.text(needed[at + 2]).empty()) return Failure{Errc::unexpected_reply, "HAProxy's list of servers has a short line"};
      numbers[at] = columns.count(needed[at + 2]);
      if (numbers[at] > 0xffff)
        return Failure{Errc::unexpected_reply, "HAProxy's list of servers: impossible " + std::string(needed[at + 2])};
    }
    server.op_state = static_cast<unsigned>(numbers[0]);
    server.admin_state = static_cast<unsigned>(numbers[1]);
    server.weight = static_cast<int>(numbers[2]);
    server.initial_weight = static_cast<int>(numbers[3]);
    servers.push_back(std::move(server));
  }
  if (auto sound = columns.sound(); !sound) return sound.error();
  return servers;
}

Result<ProcessInfo> parse_info(std::string_view text) {
  if (!text.starts_with("Name:")) return failure_of(text);
  std::optional<std::uint64_t> pid;
  std::optional<std::uint64_t> start_time;
  std::optional<std::uint64_t> dropped_logs;
  while (!text.empty()) {
    auto line = take_line(text);
    auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    auto key = line.substr(0, colon);
    auto value = number<std::uint64_t>(line.substr(colon + 2));
    if (key == "Pid") pid = value;
    if (key == "Start_time_sec") start_time = value;
    if (key == "DroppedLogs") dropped_logs = value;
  }
  if (!pid || !start_time)
    return Failure{Errc::unexpected_reply, "`show info` has no Pid or no Start_time_sec: HAProxy 2.6 or newer is needed"};
  return ProcessInfo{*pid, *start_time, dropped_logs.value_or(0)};
}

Result<std::size_t> parse_old_workers(std::string_view text) {
  if (!text.starts_with("#<PID>")) return failure_of(text);
  bool old = false;
  std::size_t count = 0;
  while (!text.empty()) {
    auto line = take_line(text);
    if (line.starts_with("#")) {
      old = line.starts_with("# old workers");
    } else if (old && !line.empty()) {
      ++count;
    }
  }
  return count;
}

}  // namespace shiftd::haproxy
