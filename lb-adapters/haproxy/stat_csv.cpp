#include "lb-adapters/haproxy/stat_csv.hpp"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <deque>
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

// One row, as views of the text; what was in quotes is kept apart, without them. Used for row after row, so that it is laid out once.
struct Fields {
  std::vector<std::string_view> all;
  std::deque<std::string> unquoted;

  void clear() {
    all.clear();
    unquoted.clear();
  }
};

// Of a field in which a double quote stands: an inner one is doubled, and between quotes commas and line ends are text.
std::string_view take_quoted_field(std::string_view& text, Fields& fields) {
  auto& field = fields.unquoted.emplace_back();
  bool quotes = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    char c = text[at];
    if (c == '"') {
      bool doubled = quotes && at + 1 < text.size() && text[at + 1] == '"';
      if (doubled) field += text[++at];
      if (!doubled) quotes = !quotes;
    } else if (!quotes && (c == ',' || c == '\n')) {
      break;
    } else {
      field += c;
    }
  }
  text.remove_prefix(at);
  return field;
}

std::string_view take_field(std::string_view& text, Fields& fields) {
  std::size_t end = 0;
  while (end < text.size() && text[end] != ',' && text[end] != '\n' && text[end] != '"') ++end;
  if (end < text.size() && text[end] == '"') return take_quoted_field(text, fields);
  auto field = text.substr(0, end);
  text.remove_prefix(end);
  return field;
}

void take_csv_record(std::string_view& text, Fields& fields) {
  fields.clear();
  fields.all.push_back(take_field(text, fields));
  while (text.starts_with(',')) {
    text.remove_prefix(1);
    fields.all.push_back(take_field(text, fields));
  }
  if (!text.empty()) text.remove_prefix(1);
}

void take_words(std::string_view line, Fields& fields) {
  fields.clear();
  while (!line.empty()) {
    auto end = line.find(' ');
    if (end != 0) fields.all.push_back(line.substr(0, end));
    line.remove_prefix(end == std::string::npos ? line.size() : end + 1);
  }
}

// A table's rows by their columns, each of which is looked for in the header once. The first fault is kept, so that a row can
// be read in one go and judged once. Columns are named by their place among those that are read; the first `needed` have to be there.
class TableColumns {
 public:
  TableColumns(std::span<const std::string_view> names, std::size_t needed)
      : names_(names), needed_(needed), places_(names.size(), nowhere) {}

  Result<void> find_in(const Fields& header) {
    for (std::size_t column = 0; column < names_.size(); ++column) {
      auto found = std::ranges::find(header.all, names_[column]);
      if (found != header.all.end()) places_[column] = static_cast<std::size_t>(found - header.all.begin());
      if (places_[column] == nowhere && column < needed_)
        return Failure{Errc::unexpected_reply, "HAProxy's table has no column " + std::string(names_[column])};
    }
    return {};
  }

  [[nodiscard]] std::string_view text(const Fields& row, std::size_t column) const {
    return places_[column] < row.all.size() ? row.all[places_[column]] : std::string_view();
  }

  std::uint64_t count(const Fields& row, std::size_t column) {
    auto field = text(row, column);
    if (field.empty()) return 0;
    auto value = number<std::uint64_t>(field);
    if (!value && fault_.empty()) fault_ = std::string(names_[column]) + " is " + in_quotes(field);
    return value.value_or(0);
  }

  [[nodiscard]] Result<void> sound() const {
    if (fault_.empty()) return {};
    return Failure{Errc::unexpected_reply, "HAProxy's table: " + fault_};
  }

 private:
  static constexpr std::size_t nowhere = std::string_view::npos;

  std::span<const std::string_view> names_;
  std::size_t needed_;
  std::vector<std::size_t> places_;
  std::string fault_;
};

enum StatColumn : std::uint8_t {
  pxname,
  svname,
  status,
  scur,
  stot,
  wretr,
  wredis,
  weight,
  hrsp,  // the first of six
  check_status = hrsp + 6,
  mode,
  algo,
};
constexpr std::array<std::string_view, 17> stat_columns{"pxname",   "svname",     "status",       "scur",     "stot",     "wretr",
                                                        "wredis",   "weight",     "hrsp_1xx",     "hrsp_2xx", "hrsp_3xx", "hrsp_4xx",
                                                        "hrsp_5xx", "hrsp_other", "check_status", "mode",     "algo"};

enum StateColumn : std::uint8_t { be_name, srv_name, op_state };
constexpr std::array<std::string_view, 6> state_columns{"be_name",         "srv_name",    "srv_op_state",
                                                        "srv_admin_state", "srv_uweight", "srv_iweight"};

}  // namespace

Result<std::vector<StatRow>> parse_stat(std::string_view text) {
  if (!text.starts_with("# pxname,")) return failure_of(text);
  text.remove_prefix(2);
  Fields fields;
  take_csv_record(text, fields);
  TableColumns columns(stat_columns, check_status);
  if (auto complete = columns.find_in(fields); !complete) return complete.error();
  std::vector<StatRow> rows;
  while (!text.empty()) {
    take_csv_record(text, fields);
    if (fields.all.size() == 1 && fields.all[0].empty()) continue;
    if (rows.size() == rows_most) return Failure{Errc::unexpected_reply, "HAProxy's table is longer than any pool"};
    auto& row = rows.emplace_back();
    row.proxy = columns.text(fields, pxname);
    row.server = columns.text(fields, svname);
    row.status = columns.text(fields, status);
    row.check_status = columns.text(fields, check_status);
    row.mode = columns.text(fields, mode);
    row.algorithm = columns.text(fields, algo);
    row.current = columns.count(fields, scur);
    row.total = columns.count(fields, stot);
    row.retries = columns.count(fields, wretr);
    row.redispatches = columns.count(fields, wredis);
    row.weight = columns.count(fields, weight);
    for (std::size_t at = 0; at < row.responses.size(); ++at) row.responses[at] = columns.count(fields, hrsp + at);
    // HAProxy itself takes no other names.
    if (!is_name(row.proxy) || !is_name(row.server)) return Failure{Errc::unexpected_reply, "HAProxy's table has a row without a name"};
  }
  if (auto sound = columns.sound(); !sound) return sound.error();
  return rows;
}

Result<std::vector<ServerState>> parse_servers_state(std::string_view text) {
  if (!text.starts_with("1\n#")) return failure_of(text);
  take_line(text);
  Fields fields;
  take_words(take_line(text).substr(1), fields);
  TableColumns columns(state_columns, state_columns.size());
  if (auto complete = columns.find_in(fields); !complete) return complete.error();
  std::vector<ServerState> servers;
  while (!text.empty()) {
    take_words(take_line(text), fields);
    if (fields.all.empty()) continue;
    if (servers.size() == rows_most) return Failure{Errc::unexpected_reply, "HAProxy's table is longer than any pool"};
    auto& server = servers.emplace_back();
    server.backend = columns.text(fields, be_name);
    server.server = columns.text(fields, srv_name);
    if (!is_name(server.backend) || !is_name(server.server)) {
      return Failure{Errc::unexpected_reply, "HAProxy's list of servers has a line without a name"};
    }
    std::array<std::uint64_t, 4> numbers{};
    for (std::size_t at = 0; at < numbers.size(); ++at) {
      auto column = op_state + at;
      if (columns.text(fields, column).empty()) return Failure{Errc::unexpected_reply, "HAProxy's list of servers has a short line"};
      numbers[at] = columns.count(fields, column);
      if (numbers[at] > 0xffff)
        return Failure{Errc::unexpected_reply, "HAProxy's list of servers: impossible " + std::string(state_columns[column])};
    }
    server.op_state = static_cast<unsigned>(numbers[0]);
    server.admin_state = static_cast<unsigned>(numbers[1]);
    server.weight = static_cast<int>(numbers[2]);
    server.initial_weight = static_cast<int>(numbers[3]);
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
