#include "daemon/release/reboot.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "daemon/io/backoff.hpp"
#include "daemon/io/within.hpp"
#include "daemon/release/placeholders.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/version_question.hpp"

namespace shiftd {
namespace {

// Between two looks at a host that is on its way.
constexpr Duration look_first = std::chrono::milliseconds(200);
constexpr Duration look_most = std::chrono::seconds(5);

struct Words {
  RemoteJob job;
  std::string question;
};

Result<Words> words_of(const ReleaseOptions& options, const HostPlace& host, const std::string& job_id) {
  auto base = release_base(options, host);
  if (!base) return std::move(base).error();
  const Placeholders values{{"host", host.name}, {"address", host.address}, {"path", *base}};
  auto command = fill_placeholders_for_shell(options.reboot, values);
  if (!command) return std::move(command).error().during("reboot command");
  auto boot_id = fill_placeholders(options.boot_id, values);
  if (!boot_id) return std::move(boot_id).error().during("boot_id");
  RemoteJob job{job_id, reboot_script(*boot_id, *command), *base + "/.shiftd", options.reboot_limit, options.epoch};
  return Words{std::move(job), boot_question(*base, job_id, *boot_id)};
}

// How the job ended is not known: the connection was lost, or there was none. Who goes down or comes up may let nobody in (nologin).
bool is_lost(const Result<CommandResult>& ended) {
  return !ended &&
         (ended.error().code == Errc::timed_out || ended.error().code == Errc::unreachable || ended.error().code == Errc::unauthenticated);
}

// It went down with its host, as far as anybody can tell.
bool has_vanished(const Result<CommandResult>& ended) { return !ended && ended.error().code == Errc::unavailable; }

// A command that a signal has ended (over 128) was in the way of its own reboot.
bool has_failed(const Result<CommandResult>& ended) { return ended && ended->exit_status > 0 && ended->exit_status <= 128; }

// Fails with refused when the host answers and has not booted, else as Executor::run(). The connection of before ends with the
// host, and may not know it yet: each look opens its own.
Task<Result<void>> has_booted(Executor& host, std::string question) {
  host.close();
  auto answer = co_await host.run(std::move(question));
  if (!answer) co_return std::move(answer).error();
  if (answer->exit_status == 0) co_return Result<void>{};
  if (answer->exit_status == same_boot_status) co_return Failure{Errc::refused, "its boot id is the same still"};
  co_return Failure{Errc::refused, fmt::format("its boot id cannot be told: {}", last_words(answer->err))};
}

Task<Result<void>> reboot(Clock& clock, ReleaseOptions options, Hosts& hosts, HostPlace host, std::string job_id) {
  auto activity = "reboot " + host.name;
  auto words = words_of(options, host, job_id);
  if (!words) co_return std::move(words).error().during(activity);
  auto& executor = hosts.executor(host.name);
  auto until = clock.steady() + options.reboot_limit;
  auto ended = co_await executor.job(words->job);
  // Nothing has begun there, or all did before: whoever asks again finds out.
  if (is_lost(ended) && ended.error().code != Errc::timed_out)
    co_return Failure{Errc::unreachable, std::move(ended).error().what}.during(activity);
  Backoff backoff(look_first, look_most, std::hash<std::string>()(job_id));
  while (true) {
    if (!ended && !is_lost(ended) && !has_vanished(ended)) co_return in_a_releasers_words(std::move(ended).error()).during(activity);
    auto left = std::max<Duration>(until - clock.steady(), look_most);
    auto looking = has_booted(executor, words->question);
    auto booted = co_await within(clock, left, std::move(looking));
    if (booted) co_return booted;
    bool answers = booted.error().code == Errc::refused;
    if (answers && has_failed(ended))
      co_return Failure{Errc::refused, fmt::format("{} ended with {}: {}", activity, ended->exit_status, last_words(ended->out))};
    if (answers && is_lost(ended)) ended = co_await executor.job(words->job);
    auto now = clock.steady();
    if (now >= until) {
      co_return Failure{Errc::refused, fmt::format("{}: it has not come back within {}: {}", activity, to_string(options.reboot_limit),
                                                   booted.error().what)};
    }
    co_await clock.sleep_until(std::min(now + backoff.next(), until));
  }
}

}  // namespace

Reboot make_reboot(Clock& clock, ReleaseOptions options, Hosts& hosts) {
  if (options.reboot.empty()) return {};
  return [&clock, options = std::move(options), &hosts](HostPlace host, std::string job_id) {
    return reboot(clock, options, hosts, std::move(host), std::move(job_id));
  };
}

}  // namespace shiftd
