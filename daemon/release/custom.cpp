#include "daemon/release/custom.hpp"

#include <utility>

#include <fmt/format.h>

#include "daemon/base/invariant.hpp"
#include "daemon/release/job_logs.hpp"
#include "daemon/release/placeholders.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/version_question.hpp"
#include "daemon/ssh/local_executor.hpp"

namespace shiftd {
namespace {

// For preparations and dry runs on shiftd's own machine.
constexpr Duration here_limit = std::chrono::minutes(5);

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

// Whole and exact: 2.4.1-1 is not 2.4.1-10.
bool is_exactly(std::string_view answer, std::string_view version) { return trimmed(answer) == version; }

class CustomReleaser final : public Releaser {
 public:
  CustomReleaser(Clock& clock, ReleaseOptions options, Hosts& hosts)
      : clock_(clock), options_(std::move(options)), hosts_(hosts), here_(make_local_executor(clock, here_limit)) {
    INVARIANT(options_.custom.has_value(), "the options have custom steps");
  }

  Task<Result<std::string>> inspect(HostPlace host) override;
  Task<Result<Release>> check_source(Release release) override;
  Task<Result<std::string>> dry_run(HostPlace host, Release release) override;
  Task<Result<Prepared>> prepare(HostPlace host, Release release) override;
  Task<> stand_by(HostPlace host) override { co_await steps(host).stand_by(); }
  Task<Result<void>> upgrade(HostPlace host, Release release, std::string job_id) override;
  Task<Result<void>> revert(HostPlace host, std::string version, std::string job_id) override;
  Task<Result<std::string>> logs(HostPlace host, std::string rollout) override;
  Task<Result<void>> prove_running(HostPlace host, std::string version) override;

 private:
  Result<Placeholders> placeholders(const HostPlace& host, const std::string& version) const;
  Task<Result<std::string>> installed(const HostPlace& host);
  Task<Result<CommandResult>> command(const HostPlace& host, const std::string& text, const std::string& version);
  Task<Result<void>> job(const HostPlace& host, const std::string& text, const std::string& version, std::string job_id);
  // Where the steps run.
  Executor& steps(const HostPlace& host) {
    return options_.custom->where == CustomSteps::Where::shiftd ? *here_ : hosts_.executor(host.name);
  }

  Clock& clock_;
  ReleaseOptions options_;
  Hosts& hosts_;
  std::unique_ptr<Executor> here_;
};

Result<Placeholders> CustomReleaser::placeholders(const HostPlace& host, const std::string& version) const {
  // Tools would take it for an option.
  if (version.starts_with('-')) return Failure{Errc::bad_input, "'" + version + "' is no version: it begins with -"};
  auto base = release_base(options_, host);
  if (!base) return base.error();
  return Placeholders{{"host", host.name}, {"address", host.address}, {"path", *base}, {"release", version}, {"version", version}};
}

Task<Result<std::string>> CustomReleaser::installed(const HostPlace& host) {
  auto values = placeholders(host, "");
  if (!values) co_return values.error();
  auto answer = co_await ask_version(clock_, options_, hosts_.executor(host.name), std::move(*values));
  if (!answer) co_return answer;
  auto version = trimmed(*answer);
  if (version.size() > 256 || version.find('\n') != std::string_view::npos) {
    co_return Failure{Errc::unexpected_reply, fmt::format("'{}' is no version: one line is wanted", version.substr(0, 200))};
  }
  co_return std::string(version);
}

Task<Result<std::string>> CustomReleaser::inspect(HostPlace host) {
  auto version = co_await installed(host);
  if (!version) co_return std::move(version).error().during("inspect " + host.name);
  co_return version;
}

Task<Result<Release>> CustomReleaser::check_source(Release release) {
  if (!release.config.empty()) {
    co_return Failure{Errc::bad_input, "this service's own commands bring its releases: a configuration goes with tarballs only"};
  }
  if (!release.source.empty() || release.digest != release.version) {
    co_return Failure{Errc::bad_input, "this service's own commands bring its releases: name the version, and no tarball or digest"};
  }
  // A version that a command must not hold is found here, and not on the first host.
  for (const auto& text : {options_.custom->run, options_.custom->prepare, options_.custom->dry_run, options_.restart}) {
    auto values = placeholders({"host", "127.0.0.1:1"}, release.version);
    if (!values) co_return values.error();
    auto filled = fill_placeholders_for_shell(text, *values);
    if (!filled) co_return filled.error();
  }
  co_return release;
}

Task<Result<CommandResult>> CustomReleaser::command(const HostPlace& host, const std::string& text, const std::string& version) {
  auto values = placeholders(host, version);
  if (!values) co_return values.error();
  auto filled = fill_placeholders_for_shell(text, *values);
  if (!filled) co_return filled.error();
  auto result = co_await steps(host).run(*filled);
  if (result && result->exit_status != 0) {
    const auto& said = trimmed(result->err).empty() ? result->out : result->err;
    co_return Failure{Errc::refused, fmt::format("ended with {}: {}", result->exit_status, last_words(said))};
  }
  co_return result;
}

Task<Result<std::string>> CustomReleaser::dry_run(HostPlace host, Release release) {
  if (options_.custom->dry_run.empty()) co_return std::string();
  auto result = co_await command(host, options_.custom->dry_run, release.version);
  if (!result) co_return std::move(result).error().during("dry_run");
  co_return std::string(last_words(result->out));
}

Task<Result<Prepared>> CustomReleaser::prepare(HostPlace host, Release release) {
  auto activity = fmt::format("prepare {} for {}", host.name, release.version);
  auto values = placeholders(host, release.version);
  if (!values) co_return std::move(values).error().during(activity);
  auto made = co_await command(host, directory_script(values->at("path")), release.version);
  if (!made) co_return std::move(made).error().during(activity);
  if (!options_.custom->prepare.empty()) {
    auto prepared = co_await command(host, options_.custom->prepare, release.version);
    if (!prepared) co_return std::move(prepared).error().during(activity);
  }
  auto version = co_await installed(host);
  if (!version) co_return std::move(version).error().during(activity);
  co_return Prepared{std::move(*version), {}};
}

Task<Result<void>> CustomReleaser::job(const HostPlace& host, const std::string& text, const std::string& version, std::string job_id) {
  auto values = placeholders(host, version);
  if (!values) co_return values.error();
  auto run = fill_placeholders_for_shell(text, *values);
  if (!run) co_return run.error();
  auto restart = fill_placeholders_for_shell(options_.restart, *values);
  if (!restart) co_return std::move(restart).error().during("restart command");
  const auto& base = values->at("path");
  RemoteJob job{std::move(job_id), steps_script(*run, *restart), base + "/.shiftd", options_.restart_limit, options_.epoch};
  auto result = co_await steps(host).job(std::move(job));
  if (!result) co_return in_a_releasers_words(std::move(result).error());
  if (result->exit_status == 0) co_return Result<void>{};
  co_return Failure{Errc::refused, fmt::format("ended with {}: {}", result->exit_status, last_words(result->out))};
}

Task<Result<void>> CustomReleaser::upgrade(HostPlace host, Release release, std::string job_id) {
  auto done = co_await job(host, options_.custom->run, release.version, std::move(job_id));
  if (!done) co_return std::move(done).error().during(fmt::format("upgrade {} to {}", host.name, release.version));
  co_return done;
}

Task<Result<void>> CustomReleaser::revert(HostPlace host, std::string version, std::string job_id) {
  auto done = co_await job(host, options_.custom->revert, version, std::move(job_id));
  if (!done) co_return std::move(done).error().during(fmt::format("revert {} to {}", host.name, version));
  co_return done;
}

Task<Result<std::string>> CustomReleaser::logs(HostPlace host, std::string rollout) {
  auto values = placeholders(host, "");
  if (!values) co_return values.error();
  co_return co_await job_logs(steps(host), values->at("path"), std::move(rollout));
}

Task<Result<void>> CustomReleaser::prove_running(HostPlace host, std::string version) {
  auto values = placeholders(host, version);
  if (!values) co_return values.error();
  auto& executor = hosts_.executor(host.name);
  auto proven = co_await prove_version(clock_, options_, executor, std::move(*values), version, is_exactly);
  if (!proven) co_return std::move(proven).error().during(fmt::format("prove that {} runs {}", host.name, version));
  co_return proven;
}

}  // namespace

std::unique_ptr<Releaser> make_custom_releaser(Clock& clock, ReleaseOptions options, Hosts& hosts) {
  return std::make_unique<CustomReleaser>(clock, std::move(options), hosts);
}

}  // namespace shiftd
