#include "daemon/shiftctl/client.hpp"

#include <charconv>

#include <nlohmann/json.hpp>

#include "daemon/shiftctl/events.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration answer_limit = 2min;  // a plan asks every load balancer and host
constexpr Duration silence_limit = 45s;  // three keepalives of a feed
constexpr Duration between_tries = 250ms;
constexpr std::size_t reply_most = std::size_t{128} << 20;

Errc code_of(std::string_view word) {
  for (auto code : {Errc::bad_input, Errc::not_found, Errc::conflict, Errc::refused, Errc::unauthenticated, Errc::exhausted}) {
    if (to_string(code) == word) return code;
  }
  // The daemon answered: what it could not reach is not what we could not reach.
  return Errc::unavailable;
}

Failure refusal(const HttpReply& reply) {
  auto value = json::parse(reply.body, nullptr, false);
  if (value.is_object() && value.contains("error") && value["error"].is_object()) {
    const auto& error = value["error"];
    if (error.contains("code") && error["code"].is_string() && error.contains("what") && error["what"].is_string())
      return {code_of(error["code"].get_ref<const std::string&>()), error["what"].get<std::string>()};
  }
  return {Errc::unavailable, "it answered " + std::to_string(reply.status) + " " + reply.body.substr(0, 200)};
}

// A daemon that starts again says so for a while, in one of these ways.
bool may_pass(const Failure& failure) {
  return failure.code == Errc::unreachable || failure.code == Errc::unavailable || failure.code == Errc::timed_out;
}

}  // namespace

HttpRequest DaemonClient::request(std::string method, std::string target) const {
  HttpRequest request;
  request.method = std::move(method);
  request.address = daemon_.address;
  request.target = std::move(target);
  request.reply_body_most = reply_most;
  if (!daemon_.token.empty()) {
    request.headers.emplace_back("Authorization", "Bearer " + daemon_.token);
    request.headers.emplace_back("X-Shiftd-User", daemon_.user);
  }
  return request;
}

Task<Result<std::string>> DaemonClient::ask(std::string method, std::string target, std::string body) {
  auto asked = request(std::move(method), std::move(target));
  asked.body = std::move(body);
  auto reply = co_await http_exchange(clock_, std::move(asked), answer_limit);
  if (!reply) co_return Failure{Errc::unreachable, "shiftd at " + daemon_.address + ": " + reply.error().what};
  if (reply->status / 100 != 2) co_return refusal(*reply);
  co_return std::move(reply->body);
}

Task<Result<void>> DaemonClient::follow(Following following) {
  auto heard = clock_.steady();
  bool complete = false;
  for (;;) {
    SentEvents events;
    auto on_body = [&](std::string_view piece) {
      heard = clock_.steady();
      for (auto& event : events.take(piece)) {
        std::uint64_t number = 0;
        auto [end, error] = std::from_chars(event.id.data(), event.id.data() + event.id.size(), number);
        if (event.event == "end") complete = true;
        if (complete || error != std::errc{} || number < following.from) continue;
        following.from = number + 1;
        if (!following.record(number, std::move(event.data))) complete = true;
      }
      return !complete && !events.broken();
    };
    auto asked = request("GET", "/api/v1/rollouts/" + following.rollout + "/events?from=" + std::to_string(following.from));
    if (following.from > 0) asked.headers.emplace_back("Last-Event-ID", std::to_string(following.from - 1));
    std::function<bool(std::string_view)> body = on_body;
    auto reply = co_await http_stream(clock_, std::move(asked), std::move(body), silence_limit);
    if (complete) co_return Result<void>{};
    Failure lost{Errc::unreachable, "the feed broke off"};
    if (!reply) {
      lost.what = reply.error().what;
    } else if (reply->status / 100 != 2) {
      lost = refusal(*reply);
    }
    lost = std::move(lost).during("shiftd at " + daemon_.address);
    if (!may_pass(lost)) co_return lost;
    if (clock_.steady() - heard >= following.patience) co_return Failure{Errc::unreachable, lost.what};
    if (following.lost) following.lost(lost);
    co_await clock_.sleep_for(between_tries);
  }
}

}  // namespace shiftd
