#include "lb-adapters/pybal/replies.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

namespace shiftd::pybal {
namespace {

using nlohmann::json;

constexpr std::size_t host_most = 253;  // bytes; the longest name that DNS knows

Failure unexpected(std::string what) { return {Errc::unexpected_reply, std::move(what)}; }

bool is_host(std::string_view name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == ':';
  };
  return !name.empty() && name.size() <= host_most && std::all_of(name.begin(), name.end(), allowed);
}

// Anything but an object: it was none.
json object_of(std::string_view text) { return json::parse(text, nullptr, false); }

const Failure no_object{Errc::unexpected_reply, "its answer is no JSON object"};

Result<Server> server_of(const std::string& host, const json& state) {
  if (!is_host(host)) return unexpected("it names a server that cannot be one");
  Server server;
  server.host = host;
  if (!state.is_object()) return unexpected(host + ": no object");
  for (auto [name, flag] : {std::pair{"enabled", &server.enabled}, {"up", &server.up}, {"pooled", &server.pooled}}) {
    auto found = state.find(name);
    if (found == state.end() || !found->is_boolean()) return unexpected(host + ": '" + name + "' is missing or no boolean");
    *flag = found->get<bool>();
  }
  auto weight = state.find("weight");
  if (weight == state.end() || !weight->is_number_integer()) return unexpected(host + ": 'weight' is missing or no integer");
  // (What is larger than IPVS can hold is no weight either; unsigned ones above int64 are cut by get<double>, not wrapped.)
  auto value = weight->get<double>();
  if (value < 0 || value > std::numeric_limits<int>::max()) return unexpected(host + ": no weight that IPVS could have");
  server.weight = weight->get<int>();
  return server;
}

// "cdn_443: Servers be3 are marked down but pooled; upload_443: ...": everything that names the pool, or nobody.
std::string about(std::string_view message, std::string_view pool) {
  constexpr std::string_view held = ": Servers ";
  constexpr std::string_view held_end = " are marked down but pooled";
  constexpr std::string_view small = "Pool ";
  constexpr std::string_view small_end = " is too small to allow depooling.";
  std::string said;
  while (!message.empty()) {
    if (message.front() == ' ' || message.front() == ';') {
      message.remove_prefix(1);
      continue;
    }
    std::string_view named;
    std::size_t length = message.size();
    if (auto end = message.find(small_end); message.starts_with(small) && end != std::string_view::npos) {
      named = message.substr(small.size(), end - small.size());
      length = end + small_end.size();
    } else if (auto colon = message.find(held); colon != std::string_view::npos) {
      auto after = message.find(held_end, colon);
      if (after != std::string_view::npos) {
        named = message.substr(0, colon);
        length = after + held_end.size();
      }
    }
    if (named.empty() || named == pool) said += (said.empty() ? "" : "; ") + std::string(message.substr(0, length));
    message.remove_prefix(length);
  }
  return said;
}

// The rest of one line of Prometheus' text format, behind the metric's name: `{service="a",host="b"} 1`.
class Sample {
 public:
  explicit Sample(std::string_view text) : text_(text) {}

  // False: this is no sample.
  bool read() {
    if (!text_.empty() && text_.front() == '{' && !read_labels()) return false;
    while (!text_.empty() && text_.front() == ' ') text_.remove_prefix(1);
    text_ = text_.substr(0, text_.find(' '));  // a time may follow
    auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    return error == std::errc() && end == text_.data() + text_.size() && std::isfinite(value);
  }

  std::map<std::string, std::string, std::less<>> labels;
  double value = 0;

 private:
  bool read_labels() {
    text_.remove_prefix(1);
    while (!text_.empty() && text_.front() != '}') {
      if (text_.front() == ',' || text_.front() == ' ') {
        text_.remove_prefix(1);
        continue;
      }
      auto equals = text_.find("=\"");
      if (equals == std::string_view::npos) return false;
      auto name = std::string(text_.substr(0, equals));
      text_.remove_prefix(equals + 2);
      if (!read_quoted(labels[std::move(name)])) return false;
    }
    if (text_.empty()) return false;
    text_.remove_prefix(1);
    return true;
  }

  bool read_quoted(std::string& value_of_label) {
    while (!text_.empty()) {
      auto c = text_.front();
      text_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (text_.empty()) return false;
        c = text_.front() == 'n' ? '\n' : text_.front();
        text_.remove_prefix(1);
      }
      value_of_label += c;
    }
    return false;
  }

  std::string_view text_;
};

}  // namespace

Result<std::vector<Server>> parse_pool(std::string_view text) {
  auto pool = object_of(text);
  if (!pool.is_object()) return no_object;
  std::vector<Server> servers;
  for (const auto& [host, state] : pool.items()) {
    auto server = server_of(host, state);
    if (!server) return std::move(server).error();
    servers.push_back(std::move(*server));
  }
  std::sort(servers.begin(), servers.end(), [](const Server& a, const Server& b) { return a.host < b.host; });
  return servers;
}

Result<std::string> parse_alert(std::string_view text, std::string_view pool) {
  auto alert = object_of(text);
  if (!alert.is_object()) return no_object;
  auto status = alert.find("status");
  auto message = alert.find("msg");
  if (status == alert.end() || !status->is_string() || message == alert.end() || !message->is_string()) {
    return unexpected("'status' or 'msg' is missing or no string");
  }
  if (*status == "ok") return std::string();
  auto said = message->get<std::string>();
  if (said.empty()) return status->get<std::string>();
  return about(said, pool);
}

Result<Metrics> parse_metrics(std::string_view text, std::string_view pool) {
  Metrics metrics;
  const std::pair<std::string_view, std::optional<double>*> of_pool[] = {
      {"pybal_service_depool_threshold", &metrics.depool_threshold},
      {"pybal_service_can_depool", &metrics.can_depool},
      {"pybal_service_pooled_down_servers", &metrics.pooled_down},
  };
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto name = line.substr(0, line.find_first_of("{ "));
    auto wanted = std::find_if(std::begin(of_pool), std::end(of_pool), [&](const auto& each) { return each.first == name; });
    bool start = name == "process_start_time_seconds";
    bool monitor = name == "pybal_monitor_status";
    if (wanted == std::end(of_pool) && !start && !monitor) continue;
    Sample sample(line.substr(name.size()));
    if (!sample.read()) return unexpected(std::string(name) + ": no number");
    if (start) {
      metrics.started = sample.value;
    } else if (sample.labels["service"] != pool) {
      continue;
    } else if (monitor) {
      metrics.spoken[sample.labels["host"]].insert(sample.labels["monitor"]);
    } else {
      *wanted->second = sample.value;
    }
  }
  return metrics;
}

std::optional<Instant> parse_http_date(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return Instant(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace shiftd::pybal
