#include "lb-adapters/conftool/etcd_client.hpp"

#include <string_view>
#include <utility>

#include "lb-adapters/conftool/credentials.hpp"

namespace shiftd::conftool {
namespace {

// A pool of ten thousand hosts is two megabytes.
constexpr std::size_t reply_most = 32 * 1024 * 1024;

// For application/x-www-form-urlencoded.
std::string form_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (plain)
      out += static_cast<char>(c);
    else
      out += {'%', digits[c >> 4], digits[c & 15]};
  }
  return out;
}

// An answer of etcd's own, whatever it says; anything else may be different at another endpoint.
bool is_definite(const Failure& failure) {
  return failure.code == Errc::not_found || failure.code == Errc::conflict || failure.code == Errc::unauthenticated ||
         failure.code == Errc::refused;
}

// Which of several endpoints' failures the whole has.
Failure worse_of(const Failure& one, const Failure& other) {
  auto code = one.code == Errc::unreachable ? other.code : one.code;
  return {code, one.what + "; " + other.what};
}

}  // namespace

EtcdClient::EtcdClient(Clock& clock, const ConftoolOptions& options)
    : clock_(clock), endpoints_(options.endpoints), credentials_(options.credentials), tls_(options.tls), attempt_limit_(options.timeout) {}

Result<HttpRequest> EtcdClient::addressed(HttpRequest request, const std::string& endpoint) const {
  constexpr std::string_view plain = "http://";
  constexpr std::string_view secure = "https://";
  if (endpoint.starts_with(secure)) {
    request.tls = tls_;
    request.address = endpoint.substr(secure.size());
  } else if (endpoint.starts_with(plain)) {
    request.address = endpoint.substr(plain.size());
  } else {
    return Failure{Errc::bad_input, "'" + endpoint + "' is no endpoint: write https://host:port"};
  }
  request.reply_body_most = reply_most;
  if (credentials_.empty()) return request;
  auto authorization = read_credentials(credentials_);
  if (!authorization) return std::move(authorization).error();
  request.headers.emplace_back("Authorization", std::move(*authorization));
  return request;
}

Task<Result<EtcdClient::Answer>> EtcdClient::ask_one(HttpRequest request, std::string endpoint, Duration limit) {
  auto whole = addressed(std::move(request), endpoint);
  if (!whole) co_return std::move(whole).error();
  auto reply = co_await http_exchange(clock_, std::move(*whole), limit);
  if (!reply) {
    auto failure = std::move(reply).error();
    // No certificate was accepted: of etcd itself this says nothing, and another endpoint may have a better one.
    if (failure.code == Errc::unauthenticated) failure.code = Errc::unavailable;
    co_return std::move(failure).during(endpoint);
  }
  const auto* cluster = reply->header("X-Etcd-Cluster-Id");
  if (cluster != nullptr && !cluster->empty()) {
    if (cluster_.empty()) cluster_ = *cluster;
    if (cluster_ != *cluster) {
      co_return Failure{Errc::unavailable, endpoint + ": it belongs to another etcd (cluster " + *cluster + ", and we began with " +
                                               cluster_ + "); restart shiftd if that is right"};
    }
  }
  if (reply->status != 200 && reply->status != 201) co_return failure_of(reply->status, reply->body).during(endpoint);
  auto parsed = parse_keys(reply->body);
  if (!parsed) co_return std::move(parsed).error().during(endpoint);
  const auto* index = reply->header("X-Etcd-Index");
  auto at = index == nullptr ? std::nullopt : parse_index(*index);
  if (!at || cluster == nullptr)
    co_return Failure{Errc::unexpected_reply, endpoint + ": no X-Etcd-Index and X-Etcd-Cluster-Id: is this etcd's v2 API?"};
  co_return Answer{std::move(*parsed), *at};
}

Task<Result<EtcdClient::Answer>> EtcdClient::ask(HttpRequest request, bool writes) {
  if (endpoints_.empty()) co_return Failure{Errc::bad_input, "no endpoint of etcd is given"};
  Result<Answer> last = Failure{Errc::unreachable, {}};
  bool unknown = false;
  auto first = current_;
  for (std::size_t tried = 0; tried < endpoints_.size(); ++tried) {
    auto at = (first + tried) % endpoints_.size();
    auto answer = co_await ask_one(request, endpoints_[at], attempt_limit_);
    if (answer || is_definite(answer.error())) {
      current_ = at;
      co_return answer;
    }
    auto failure = std::move(answer).error();
    unknown |= writes && failure.code != Errc::unreachable && failure.code != Errc::bad_input;
    last = tried == 0 ? std::move(failure) : worse_of(last.error(), failure);
  }
  if (unknown) co_return Failure{Errc::timed_out, last.error().what};
  co_return last;
}

Task<Result<EtcdClient::Answer>> EtcdClient::get(std::string key) {
  HttpRequest request;
  request.target = "/v2/keys" + key + "?quorum=true&recursive=true&sorted=true";
  co_return co_await ask(std::move(request), false);
}

Task<Result<EtcdClient::Answer>> EtcdClient::compare_and_swap(std::string key, std::uint64_t index, std::string value) {
  HttpRequest request;
  request.method = "PUT";
  request.target = "/v2/keys" + key + "?prevExist=true&prevIndex=" + std::to_string(index);
  request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  request.body = "value=" + form_encoded(value);
  co_return co_await ask(std::move(request), true);
}

Task<bool> EtcdClient::wait(std::string key, std::uint64_t index, Duration at_most) {
  if (endpoints_.empty()) co_return false;
  HttpRequest request;
  request.target = "/v2/keys" + key + "?recursive=true&wait=true&waitIndex=" + std::to_string(index);
  auto event = co_await ask_one(std::move(request), endpoints_[current_], at_most);
  co_return event || event.error().code == Errc::timed_out;
}

}  // namespace shiftd::conftool
