#include "daemon/release/tarball.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "daemon/release/job_logs.hpp"
#include "daemon/release/local_digest.hpp"
#include "daemon/release/placeholders.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/version_question.hpp"
#include "daemon/ssh/remote_job.hpp"

namespace shiftd {
namespace {

// A tarball, what it unpacks to (about twice that), what jobs leave, and no more must fit.
constexpr std::int64_t space_factor = 3;
constexpr std::int64_t space_besides = 1 << 20;
// Unpacking says nothing for as long as it takes.
constexpr Duration unpack_limit = std::chrono::minutes(10);

Failure why_not_brought(const CommandResult& result, const std::string& base, const std::string& digest, std::int64_t room) {
  auto said = last_words(result.err);
  auto has = [&](std::string_view text) { return said.find(text) != std::string::npos; };
  switch (result.exit_status) {
    case wrong_digest_status:
      return {Errc::bad_input,
              fmt::format("the tarball arrived with the digest {}, and the release says {}", read_found(result.out), digest)};
    case not_fetched_status: return {Errc::unavailable, std::string(said)};
    case still_nice_status: return {Errc::unavailable, "it is unpacked; the shell that did it could not have its niceness back, and ended"};
    case busy_status: return {Errc::unavailable, "the lock is held by an unpacking that began earlier"};
    case outdated_status: return outdated(read_epoch(result.out));
    case no_room_status:
      return {Errc::exhausted, fmt::format("{} has {} MB free and needs {} MB ({} times the tarball, and one)", base,
                                           read_free(result.out) >> 20, (room >> 20) + 1, space_factor)};
    default: break;
  }
  bool full = has("No space left") || has("quota exceeded") || has("File too large");
  return {full ? Errc::exhausted : Errc::refused, fmt::format("ended with {}: {}", result.exit_status, said)};
}

bool is_url(std::string_view source) { return source.starts_with("https://") || source.starts_with("http://"); }

// A password in it would end in the journal and in the host's list of processes.
Result<void> check_url(const std::string& url) {
  auto from = url.find("//") + 2;
  auto authority = std::string_view(url).substr(from, url.find_first_of("/?#", from) - from);
  if (authority.empty()) return Failure{Errc::bad_input, "the source's URL names no host"};
  if (authority.find('@') == std::string_view::npos) return {};
  return Failure{Errc::bad_input, "the source's URL must not hold a user or password: use a server that needs none, or a file"};
}

class TarballReleaser final : public Releaser {
 public:
  TarballReleaser(Clock& clock, ReleaseOptions options, Hosts& hosts) : clock_(clock), options_(std::move(options)), hosts_(hosts) {}

  Task<Result<std::string>> inspect(HostPlace host) override;
  Task<Result<Release>> check_source(Release release) override;
  Task<Result<Prepared>> prepare(HostPlace host, Release release) override;
  Task<> stand_by(HostPlace host) override { co_await hosts_.executor(host.name).stand_by(); }
  Task<Result<void>> upgrade(HostPlace host, Release release, std::string job_id) override;
  Task<Result<void>> revert(HostPlace host, std::string digest, std::string job_id) override;
  Task<Result<void>> note_success(HostPlace host, std::string digest, std::string rollout) override;
  Task<Result<std::string>> logs(HostPlace host, std::string rollout) override;
  Task<Result<void>> prove_running(HostPlace host, std::string digest) override;

 private:
  struct LocalFile {
    std::string digest;
    std::int64_t size = 0;
    std::filesystem::file_time_type changed;
  };

  Result<Placeholders> placeholders(const HostPlace& host, const std::string& digest) const;
  Task<Result<std::int64_t>> check_local(const Release& release);
  Task<Result<std::int64_t>> size_of(const Release& release);
  Task<Result<void>> swap(const HostPlace& host, const std::string& digest, std::string job_id);

  Clock& clock_;
  ReleaseOptions options_;
  Hosts& hosts_;
  std::map<std::string, LocalFile> checked_;          // by path: the fleet's hosts share one reading of the tarball
  std::map<std::string, std::string> version_names_;  // by digest, as releases came by
};

Result<Placeholders> TarballReleaser::placeholders(const HostPlace& host, const std::string& digest) const {
  auto base = release_base(options_, host);
  if (!base) return base.error();
  auto version = version_names_.find(digest);
  return Placeholders{{"host", host.name},
                      {"address", host.address},
                      {"path", *base},
                      {"release", digest},
                      {"version", version == version_names_.end() ? digest : version->second}};
}

Task<Result<std::string>> TarballReleaser::inspect(HostPlace host) {
  auto base = release_base(options_, host);
  if (!base) co_return base.error();
  auto result = co_await hosts_.executor(host.name).ask(current_script(*base));
  if (!result) co_return std::move(result).error().during("inspect " + host.name);
  auto current = read_current(result->out);
  if (!current) co_return std::move(current).error().during("inspect " + host.name);
  co_return current;
}

// The tarball's size, once its digest is known to be right; 0 when only the host will see it.
Task<Result<std::int64_t>> TarballReleaser::size_of(const Release& release) {
  if (release.source.empty()) co_return Failure{Errc::refused, "the release is not on this host, and no source was named"};
  if (is_url(release.source)) co_return std::int64_t{0};
  auto size = co_await check_local(release);
  co_return size;
}

Task<Result<std::int64_t>> TarballReleaser::check_local(const Release& release) {
  std::error_code error;
  auto size = static_cast<std::int64_t>(std::filesystem::file_size(release.source, error));
  if (error) co_return Failure{Errc::bad_input, "cannot read " + release.source + ": " + error.message()};
  auto changed = std::filesystem::last_write_time(release.source, error);
  if (error) co_return Failure{Errc::bad_input, "cannot read " + release.source + ": " + error.message()};
  auto known = checked_.find(release.source);
  if (known == checked_.end() || known->second.size != size || known->second.changed != changed) {
    auto digest = co_await sha256_of_file(release.source);
    if (!digest) co_return digest.error();
    known = checked_.insert_or_assign(release.source, LocalFile{std::move(*digest), size, changed}).first;
  }
  if (known->second.digest != release.digest) {
    co_return Failure{Errc::bad_input,
                      fmt::format("{} has the digest {}, and the release says {}", release.source, known->second.digest, release.digest)};
  }
  co_return size;
}

Task<Result<Release>> TarballReleaser::check_source(Release release) {
  if (!is_digest(release.digest)) {
    co_return Failure{Errc::bad_input, "'" + release.digest + "' is no sha256 in lower case hex: this service's releases are tarballs; " +
                                           "name one (--code) with its sha256, or the sha256 alone when every host has it already"};
  }
  if (is_url(release.source)) {
    if (auto good = check_url(release.source); !good) co_return good.error();
    co_return release;
  }
  if (release.source.empty()) co_return release;
  auto checked = co_await check_local(release);
  if (!checked) co_return checked.error();
  co_return release;
}

Task<Result<Prepared>> TarballReleaser::prepare(HostPlace host, Release release) {
  if (!is_digest(release.digest)) co_return Failure{Errc::bad_input, "'" + release.digest + "' is no sha256 in lower case hex"};
  auto activity = fmt::format("prepare {} for {}", host.name, release.version);
  auto base = release_base(options_, host);
  if (!base) co_return std::move(base).error().during(activity);
  version_names_[release.digest] = release.version;

  auto& executor = hosts_.executor(host.name);
  auto size = co_await size_of(release);
  // Without it the host is asked all the same: one that has the release already needs no tarball.
  auto room = size ? *size * space_factor + space_besides : 0;
  auto url = is_url(release.source) ? release.source : std::string();
  auto script = prepare_script(*base, release.digest, size ? std::optional(room) : std::nullopt, options_.keep, options_.epoch, url);
  auto bringing =
      size ? executor.send(url.empty() ? release.source : "/dev/null", std::move(script), unpack_limit) : executor.run(std::move(script));
  auto result = co_await std::move(bringing);
  if (!result) co_return std::move(result).error().during(activity);
  if (result->exit_status == no_tarball_status) co_return std::move(size).error().during(activity);
  if (result->exit_status != 0) co_return why_not_brought(*result, *base, release.digest, room).during(activity);
  auto current = read_current(result->out);
  if (!current) co_return std::move(current).error().during(activity);
  co_return Prepared{std::move(*current), {}};
}

Task<Result<void>> TarballReleaser::upgrade(HostPlace host, Release release, std::string job_id) {
  if (auto parts = parts_of(release.digest); !is_digest(parts.code) || !(parts.configuration.empty() || is_digest(parts.configuration)))
    co_return Failure{Errc::bad_input, "'" + release.digest + "' is no sha256 in lower case hex"};
  version_names_[release.digest] = release.version;
  auto done = co_await swap(host, release.digest, std::move(job_id));
  if (!done) co_return std::move(done).error().during(fmt::format("upgrade {} to {}", host.name, release.version));
  co_return done;
}

Task<Result<void>> TarballReleaser::revert(HostPlace host, std::string digest, std::string job_id) {
  // What the plan froze may have been made by hand and be named otherwise; it must be a name of a directory all the same.
  auto name = read_current("current releases/" + digest + "\n");
  if (!name || *name != digest) co_return Failure{Errc::bad_input, "revert " + host.name + ": '" + digest + "' is no release"};
  auto done = co_await swap(host, digest, std::move(job_id));
  if (!done) co_return std::move(done).error().during(fmt::format("revert {} to {}", host.name, digest.substr(0, 12)));
  co_return done;
}

Task<Result<void>> TarballReleaser::swap(const HostPlace& host, const std::string& digest, std::string job_id) {
  auto values = placeholders(host, digest);
  if (!values) co_return values.error();
  auto restart = fill_placeholders_for_shell(options_.restart, *values);
  if (!restart) co_return std::move(restart).error().during("restart command");
  const auto& base = values->at("path");
  RemoteJob job{std::move(job_id), swap_script(base, digest, *restart), base + "/.shiftd", options_.restart_limit, options_.epoch};
  auto result = co_await hosts_.executor(host.name).job(std::move(job));
  if (!result) co_return in_a_releasers_words(std::move(result).error());
  if (result->exit_status == 0) co_return Result<void>{};
  auto what = result->exit_status == not_swapped_status ? "not swapped" : "restart";
  co_return Failure{Errc::refused, fmt::format("{} ended with {}: {}", what, result->exit_status, last_words(result->out))};
}

Task<Result<void>> TarballReleaser::note_success(HostPlace host, std::string digest, std::string rollout) {
  auto base = release_base(options_, host);
  if (!base) co_return std::move(base).error();
  auto result = co_await hosts_.executor(host.name).run(note_script(*base, digest, rollout));
  if (!result) co_return std::move(result).error();
  if (result->exit_status != 0) co_return Failure{Errc::refused, std::string(last_words(result->err))};
  co_return Result<void>{};
}

Task<Result<std::string>> TarballReleaser::logs(HostPlace host, std::string rollout) {
  auto base = release_base(options_, host);
  if (!base) co_return std::move(base).error();
  co_return co_await job_logs(hosts_.executor(host.name), std::move(*base), std::move(rollout));
}

Task<Result<void>> TarballReleaser::prove_running(HostPlace host, std::string digest) {
  auto values = placeholders(host, digest);
  if (!values) co_return values.error();
  auto& executor = hosts_.executor(host.name);
  auto proven = co_await prove_version(clock_, options_, executor, std::move(*values), digest, answer_names);
  if (!proven) co_return std::move(proven).error().during(fmt::format("prove that {} runs {}", host.name, digest.substr(0, 12)));
  co_return proven;
}

}  // namespace

std::unique_ptr<Releaser> make_tarball_releaser(Clock& clock, ReleaseOptions options, Hosts& hosts) {
  return std::make_unique<TarballReleaser>(clock, std::move(options), hosts);
}

}  // namespace shiftd
