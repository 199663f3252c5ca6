#include "daemon/release/version_question.hpp"

#include <utility>

#include <fmt/format.h>

#include "daemon/io/http_url.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

constexpr Duration one_answer = std::chrono::seconds(3);
// Between two questions to a service that is starting.
constexpr Duration prove_pause_first = std::chrono::milliseconds(20);
constexpr Duration prove_pause_most = std::chrono::milliseconds(320);

// Plain HTTP: it is asked of the host itself.
Result<HttpRequest> request_of(std::string_view url) {
  if (!url.starts_with("http://")) return Failure{Errc::bad_input, "version_url '" + std::string(url) + "' must begin with http://"};
  auto request = http_request_to(url);
  if (!request) return std::move(request).error().during("version_url '" + std::string(url) + "'");
  request->reply_body_most = 4096;
  return request;
}

// What an answer that does not name the release leaves to say, should no better one come before the limit.
Failure no_proof_yet(const Result<std::string>& answer) {
  // The old process may still be the one that answers.
  if (answer) return {Errc::refused, fmt::format("another release answers: '{}'", last_words(*answer).substr(0, 100))};
  auto failure = answer.error();
  if (failure.code != Errc::unreachable) failure.code = Errc::timed_out;
  return failure;
}

bool asking_again_is_useless(const Result<std::string>& answer) {
  return !answer && (answer.error().code == Errc::bad_input || answer.error().code == Errc::unauthenticated);
}

}  // namespace

Task<Result<std::string>> ask_version(Clock& clock, const ReleaseOptions& options, Executor& host, Placeholders values) {
  if (!options.version_url.empty()) {
    auto url = fill_placeholders(options.version_url, values);
    if (!url) co_return std::move(url).error().during("version_url");
    auto request = request_of(*url);
    if (!request) co_return request.error();
    auto reply = co_await http_exchange(clock, std::move(*request), one_answer);
    if (!reply) co_return std::move(reply).error().during(*url);
    if (reply->status != 200) co_return Failure{Errc::unavailable, fmt::format("{}: status {}", *url, reply->status)};
    co_return std::move(reply->body);
  }
  auto command = fill_placeholders_for_shell(options.version_command, values);
  if (!command) co_return std::move(command).error().during("version_command");
  if (command->empty()) co_return Failure{Errc::bad_input, "neither version_url nor version_command is given"};
  auto result = co_await host.run(*command);
  if (!result) co_return std::move(result).error().during("version_command");
  if (result->exit_status != 0) {
    co_return Failure{Errc::unavailable, fmt::format("version_command ended with {}: {}", result->exit_status, last_words(result->err))};
  }
  co_return std::move(result->out);
}

Task<Result<void>> prove_version(Clock& clock, const ReleaseOptions& options, Executor& host, Placeholders values, std::string release,
                                 Names names) {
  auto deadline = clock.steady() + options.prove_limit;
  auto pause = prove_pause_first;
  auto last = Failure{Errc::timed_out, "no answer within " + to_string(options.prove_limit)};
  for (auto now = clock.steady(); now < deadline; now = clock.steady()) {
    auto asking = ask_version(clock, options, host, values);
    auto answer = co_await within(clock, deadline - now, std::move(asking));
    if (answer && names(*answer, release)) co_return Result<void>{};
    if (asking_again_is_useless(answer)) co_return answer.error();
    // An answer cut off by the limit says less than the one before it.
    if (clock.steady() < deadline) last = no_proof_yet(answer);
    co_await clock.sleep_until(std::min(clock.steady() + pause, deadline));
    pause = std::min(pause * 2, prove_pause_most);
  }
  co_return last;
}

std::string_view last_words(std::string_view output) {
  while (output.ends_with('\n')) output.remove_suffix(1);
  constexpr std::size_t most = 2000;
  return output.substr(output.size() - std::min(output.size(), most));
}

Failure in_a_releasers_words(Failure failure) {
  if (failure.code == Errc::refused)
    failure.code = Errc::unavailable;
  else if (failure.code == Errc::unavailable)
    failure.code = Errc::timed_out;
  else if (failure.code == Errc::exhausted)
    failure.code = Errc::refused;
  return failure;
}

}  // namespace shiftd
