#include "checks/check.hpp"

#include <boost/asio/this_coro.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

// Leaves the last answer in `result`, where it is found even when the deadline ends the attempts.
Task<> attempt(Clock& clock, std::shared_ptr<Check> check, CheckTarget target, CheckPolicy policy, CheckResult& result) {
  for (int left = policy.attempts; left > 0; --left) {
    result = co_await check->ask(target);
    if (good(result, policy)) co_return;
    if (left > 1) co_await clock.sleep_for(policy.pause);
  }
}

Task<Result<void>> attempt_all(Clock& clock, const std::vector<std::shared_ptr<Check>>& checks, const CheckTarget& target,
                               const CheckPolicy& policy, std::vector<CheckResult>& results) {
  TaskGroup asking(co_await boost::asio::this_coro::executor);
  for (std::size_t i = 0; i < checks.size(); ++i) asking.start(checks[i]->name(), attempt(clock, checks[i], target, policy, results[i]));
  co_await asking.join();
  co_return Result<void>{};
}

}  // namespace

std::string_view to_string(CheckStatus status) {
  switch (status) {
    case CheckStatus::ok: return "ok";
    case CheckStatus::warning: return "warning";
    case CheckStatus::critical: return "critical";
    case CheckStatus::unknown: return "unknown";
  }
  return "unknown";
}

bool good(const CheckResult& result, const CheckPolicy& policy) {
  return result.status == CheckStatus::ok || (result.status == CheckStatus::warning && policy.warning_is_ok);
}

Task<Result<std::vector<CheckResult>>> ask_checks(Clock& clock, std::vector<std::shared_ptr<Check>> checks, CheckTarget target,
                                                  CheckPolicy policy) {
  if (policy.attempts < 1) co_return Failure{Errc::bad_input, "a check needs at least one attempt"};
  CheckResult unanswered{CheckStatus::unknown, "not answered within " + to_string(policy.deadline)};
  std::vector<CheckResult> results(checks.size(), unanswered);
  auto asked = co_await within(clock, policy.deadline, attempt_all(clock, checks, target, policy, results));
  if (!asked && asked.error().code != Errc::timed_out) co_return std::move(asked).error();
  co_return results;
}

Task<Result<void>> run_checks(Clock& clock, std::vector<std::shared_ptr<Check>> checks, CheckTarget target, CheckPolicy policy) {
  auto results = co_await ask_checks(clock, checks, std::move(target), policy);
  if (!results) co_return std::move(results).error();
  std::string bad;
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const auto& result = (*results)[i];
    if (good(result, policy)) continue;
    if (!bad.empty()) bad += "; ";
    bad += checks[i]->name() + " " + std::string(to_string(result.status)) + ": " + result.text;
  }
  if (!bad.empty()) co_return Failure{Errc::refused, bad};
  co_return Result<void>{};
}

std::string one_line(std::string_view text, std::size_t most) {
  text = text.substr(0, text.find_first_of("\r\n"));
  std::string line(text.substr(0, most));
  for (auto& c : line) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f) c = '?';
  }
  if (line.size() == text.size()) return line;
  // Not in the middle of a UTF-8 character.
  while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xc0) == 0x80) line.pop_back();
  if (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xc0) == 0xc0) line.pop_back();
  return line + "...";
}

}  // namespace shiftd
