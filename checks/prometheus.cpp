#include <charconv>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "checks/metric_source.hpp"
#include "daemon/io/http_client.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

constexpr std::size_t reply_most = std::size_t{32} << 20;  // 20,000 hosts with long labels

std::string escaped(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (unsigned char c : text) {
    bool plain = c < 0x80 && (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~');
    if (plain) {
      result += static_cast<char>(c);
    } else {
      result += {'%', digits[c >> 4U], digits[c & 15U]};
    }
  }
  return result;
}

Failure no_answer(const std::string& why) { return {Errc::unexpected_reply, "Prometheus: " + why}; }

// A sample's value is a text, as "NaN" and "+Inf" are none of JSON's numbers.
std::optional<double> number(const json& sample) {
  if (!sample.is_array() || sample.size() != 2 || !sample[1].is_string()) return std::nullopt;
  const auto& text = sample[1].get_ref<const std::string&>();
  double value = 0;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

class Prometheus final : public MetricSource {
 public:
  Prometheus(Clock& clock, PrometheusOptions options) : clock_(clock), options_(std::move(options)) {}

  Task<Result<std::map<std::string, double>>> ask(std::string query) override {
    HttpRequest request;
    request.address = options_.address;
    request.target = options_.path + "/api/v1/query?query=" + escaped(query);
    request.reply_body_most = reply_most;
    auto reply = co_await http_exchange(clock_, std::move(request), options_.timeout);
    if (!reply) co_return std::move(reply).error().during("Prometheus");
    // It says what is wrong with a query in the body of its 4xx.
    auto values = prometheus_values(reply->body, options_.label);
    if (!values && reply->status != 200 && values.error().code == Errc::unexpected_reply)
      co_return no_answer("HTTP " + std::to_string(reply->status));
    co_return values;
  }

 private:
  Clock& clock_;
  PrometheusOptions options_;
};

}  // namespace

Result<std::map<std::string, double>> prometheus_values(std::string_view body, const std::string& label) {
  constexpr std::size_t shown_most = 300;
  auto answer = json::parse(body, nullptr, false);
  if (!answer.is_object() || !answer.contains("status")) return no_answer("this is no answer of its API");
  if (answer["status"] != "success") {
    auto why = answer.contains("error") && answer["error"].is_string() ? answer["error"].get<std::string>() : "it gives no reason";
    return Failure{Errc::bad_input, "Prometheus refuses the query: " + why.substr(0, shown_most)};
  }
  auto data = answer.value("data", json());
  if (!data.is_object() || data.value("resultType", json()) != "vector" || !data.value("result", json()).is_array())
    return Failure{Errc::bad_input, "the query gives no instant vector: one number for each host is wanted"};
  std::map<std::string, double> values;
  for (const auto& series : data["result"]) {
    if (!series.is_object() || !series.contains("metric") || !series["metric"].is_object() || !series.contains("value"))
      return no_answer("a series is not as its API says");
    auto host = series["metric"].find(label);
    if (host == series["metric"].end() || !host->is_string())
      return Failure{Errc::bad_input, "the query gives a series without the label '" + label + "': write sum by (" + label + ") (...)"};
    auto value = number(series["value"]);
    if (!value) continue;
    if (!values.emplace(host->get<std::string>(), *value).second) {
      return Failure{Errc::bad_input, "the query gives several series for " + label + "=" +
                                          host->get_ref<const std::string&>().substr(0, shown_most) + ": write sum by (" + label +
                                          ") (...)"};
    }
  }
  return values;
}

std::unique_ptr<MetricSource> make_prometheus(Clock& clock, PrometheusOptions options) {
  return std::make_unique<Prometheus>(clock, std::move(options));
}

}  // namespace shiftd
