// The traffic view: three questions to PyBal's instrumentation, one after the other, for one reading.

#include <utility>

#include "daemon/io/http_client.hpp"
#include "lb-adapters/pybal/pybal.hpp"
#include "lb-adapters/pybal/replies.hpp"
#include "lb-adapters/pybal/view_rules.hpp"

namespace shiftd {
namespace {

using namespace pybal;

// Bytes. /metrics speaks of every pool of the load balancer, member by member.
constexpr std::size_t pool_most = 4 * 1024 * 1024;
constexpr std::size_t metrics_most = 32 * 1024 * 1024;

class PybalView final : public TrafficView {
 public:
  PybalView(Clock& clock, PybalOptions options) : clock_(clock), options_(std::move(options)), name_(options_.name + "/" + options_.pool) {}

  const std::string& name() const override { return name_; }

  Task<Result<ViewReading>> read() override {
    auto reading = co_await look();
    if (!reading) co_return std::move(reading).error().during("view " + name_);
    co_return std::move(*reading);
  }

 private:
  Task<Result<ViewReading>> look() {
    auto servers = co_await pool();
    if (!servers) co_return std::move(servers).error();
    Answers answers;
    answers.servers = std::move(*servers);
    answers.alert = co_await alert();
    answers.metrics = co_await metrics(answers.now);
    co_return reading_of(answers, options_);
  }

  Task<Result<std::vector<Server>>> pool() {
    auto path = "/pools/" + options_.pool;
    auto reply = co_await ask_json(path);
    if (!reply && reply.error().code == Errc::not_found) {
      co_return Failure{Errc::not_found, "PyBal at " + options_.address + " has no pool '" + options_.pool + "'; curl http://" +
                                             options_.address + "/pools lists them"};
    }
    if (!reply) co_return std::move(reply).error();
    auto servers = parse_pool(reply->body);
    if (!servers) co_return std::move(servers).error().during(path);
    co_return std::move(*servers);
  }

  Task<Result<std::string>> alert() {
    auto reply = co_await ask_json("/alerts");
    if (!reply) co_return std::move(reply).error();
    auto said = parse_alert(reply->body, options_.pool);
    if (!said) co_return std::move(said).error().during("/alerts");
    co_return std::move(*said);
  }

  // `now`: when PyBal answered, by its own clock. (A start is compared with it: two machines' clocks may differ by more
  // than a round of monitors takes.)
  Task<Result<Metrics>> metrics(Instant& now) {
    auto reply = co_await ask("/metrics", {}, metrics_most);
    if (!reply) co_return std::move(reply).error();
    auto date = reply->header("Date");
    now = (date != nullptr ? parse_http_date(*date) : std::nullopt).value_or(clock_.wall());
    auto said = parse_metrics(reply->body, options_.pool);
    if (!said) co_return std::move(said).error().during("/metrics");
    co_return std::move(*said);
  }

  // PyBal answers in JSON only to this very value of Accept; to any other, in words for people.
  Task<Result<HttpReply>> ask_json(std::string path) {
    HttpHeaders headers;
    headers.emplace_back("Accept", "application/json");
    auto reply = co_await ask(path, std::move(headers), pool_most);
    if (!reply) co_return std::move(reply).error();
    auto type = reply->header("Content-Type");
    if (type == nullptr || !type->starts_with("application/json"))
      co_return Failure{Errc::unexpected_reply, "its answer is not in JSON"}.during(path);
    co_return std::move(*reply);
  }

  Task<Result<HttpReply>> ask(std::string path, HttpHeaders headers, std::size_t most) {
    HttpRequest request;
    request.address = options_.address;
    request.target = path;
    request.headers = std::move(headers);
    request.reply_body_most = most;
    auto reply = co_await http_exchange(clock_, std::move(request), options_.timeout);
    if (!reply) co_return std::move(reply).error().during(path);
    if (reply->status == 200) co_return std::move(*reply);
    auto code = reply->status == 404 ? Errc::not_found : Errc::unexpected_reply;
    co_return Failure{code, "PyBal at " + options_.address + " answered " + std::to_string(reply->status)}.during(path);
  }

  Clock& clock_;
  PybalOptions options_;
  std::string name_;
};

}  // namespace

std::unique_ptr<TrafficView> make_pybal_view(Clock& clock, PybalOptions options) {
  return std::make_unique<PybalView>(clock, std::move(options));
}

}  // namespace shiftd
