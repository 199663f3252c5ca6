#include "daemon/release/configured.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "daemon/release/placeholders.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/release/version_question.hpp"

namespace shiftd {
namespace {

constexpr std::size_t difference_most = 64 * 1024;     // bytes of what is shown of one host
constexpr std::string_view no_configuration = "none";  // as what is asked for: the release is to have none

std::string listed(const std::set<std::string>& digests) {
  std::string text;
  for (const auto& digest : digests) text += (text.empty() ? "" : ", ") + (digest.empty() ? "none" : digest.substr(0, 12));
  return text;
}

class Configured final : public Releaser {
 public:
  Configured(std::unique_ptr<Releaser> tarballs, ReleaseOptions options, Hosts& hosts, std::shared_ptr<ConfigurationStore> store,
             std::function<HostFacts(const HostPlace&)> facts)
      : tarballs_(std::move(tarballs)), options_(std::move(options)), hosts_(hosts), store_(std::move(store)), facts_(std::move(facts)) {}

  Task<Result<std::string>> inspect(HostPlace host) override { return tarballs_->inspect(std::move(host)); }
  Task<Result<Release>> check_source(Release release) override;
  Task<Result<Release>> complete(Release release, std::vector<std::string> found) override;
  Task<Result<std::string>> dry_run(HostPlace host, Release release) override;
  Task<Result<Prepared>> prepare(HostPlace host, Release release) override;
  Task<> stand_by(HostPlace host) override { return tarballs_->stand_by(std::move(host)); }
  Task<Result<void>> upgrade(HostPlace host, Release release, std::string job_id) override {
    return tarballs_->upgrade(std::move(host), std::move(release), std::move(job_id));
  }
  Task<Result<void>> revert(HostPlace host, std::string digest, std::string job_id) override {
    return tarballs_->revert(std::move(host), std::move(digest), std::move(job_id));
  }
  Task<Result<void>> note_success(HostPlace host, std::string digest, std::string rollout) override {
    return tarballs_->note_success(std::move(host), std::move(digest), std::move(rollout));
  }
  Task<Result<std::string>> logs(HostPlace host, std::string rollout) override {
    return tarballs_->logs(std::move(host), std::move(rollout));
  }
  Task<Result<void>> prove_running(HostPlace host, std::string digest) override {
    return tarballs_->prove_running(std::move(host), std::move(digest));
  }

 private:
  struct Files {
    std::vector<RenderedFile> rendered;
    std::vector<std::string> validations;
  };
  Result<std::string> asked_configuration(const std::string& asked);
  Result<Files> files_for(const HostPlace& host, const ReleaseParts& release, const std::string& base);
  Task<Result<Prepared>> configure(HostPlace host, Release release);

  std::unique_ptr<Releaser> tarballs_;
  ReleaseOptions options_;
  Hosts& hosts_;
  std::shared_ptr<ConfigurationStore> store_;
  std::function<HostFacts(const HostPlace&)> facts_;
};

// A directory on this machine, or the digest of a configuration that was kept.
Result<std::string> Configured::asked_configuration(const std::string& asked) {
  if (asked == no_configuration) return std::string();
  if (!is_digest(asked)) return store_->keep(asked);
  auto found = store_->find(asked);
  if (!found) return std::move(found).error();
  return asked;
}

Task<Result<Release>> Configured::check_source(Release release) {
  // Complete, as a rollout has left it: the same is asked for again.
  if (auto parts = parts_of(release.digest); is_digest(parts.code) && is_digest(parts.configuration)) {
    release.digest = std::move(parts.code);
    release.config = std::move(parts.configuration);
  }
  if (!release.config.empty()) {
    auto kept = asked_configuration(release.config);
    if (!kept) co_return std::move(kept).error();
    if (release.config != no_configuration) release.config = std::move(*kept);
  }
  bool code_is_the_hosts = release.digest.empty() && release.source.empty();
  if (code_is_the_hosts && !release.config.empty()) co_return release;
  auto code = release;
  code.config.clear();
  auto checked = co_await tarballs_->check_source(std::move(code));
  if (!checked) co_return checked;
  co_return release;
}

Task<Result<Release>> Configured::complete(Release release, std::vector<std::string> found) {
  std::set<std::string> codes;
  std::set<std::string> configurations;
  for (const auto& name : found) {
    if (name.empty()) continue;
    auto parts = parts_of(name);
    codes.insert(parts.code);
    configurations.insert(parts.configuration);
  }
  ReleaseParts wanted{release.digest, ""};
  if (wanted.code.empty()) {
    if (codes.empty()) co_return Failure{Errc::bad_input, "no code is on the hosts yet: name it (--code) beside the configuration"};
    if (codes.size() > 1) co_return Failure{Errc::bad_input, "the hosts have different code (" + listed(codes) + "): name one (--code)"};
    wanted.code = *codes.begin();
  }
  if (release.config.empty() && configurations.size() > 1) {
    co_return Failure{Errc::bad_input,
                      "the hosts have different configurations (" + listed(configurations) + "): name one (--config), or none"};
  }
  if (release.config.empty()) {
    wanted.configuration = configurations.empty() ? "" : *configurations.begin();
    if (!wanted.configuration.empty()) {
      auto kept = store_->find(wanted.configuration);
      if (!kept) co_return std::move(kept).error().during("the configuration that the hosts have");
    }
  } else {
    auto asked = asked_configuration(release.config);
    if (!asked) co_return std::move(asked).error();
    wanted.configuration = std::move(*asked);
  }
  if (!wanted.configuration.empty() && !is_digest(wanted.code)) {
    co_return Failure{Errc::bad_input,
                      "the code on the hosts is named '" + wanted.code + "', no sha256: name the code (--code) beside the configuration"};
  }
  release.digest = name_of(wanted);
  if (release.config != no_configuration) release.config = wanted.configuration;
  co_return release;
}

Result<Configured::Files> Configured::files_for(const HostPlace& host, const ReleaseParts& release, const std::string& base) {
  auto configuration = store_->find(release.configuration);
  if (!configuration) return std::move(configuration).error();
  auto facts = facts_(host);
  auto rendered = render(**configuration, facts);
  if (!rendered) return std::move(rendered).error();
  Files files{std::move(*rendered), {}};
  for (const auto& file : files.rendered) {
    Placeholders values{{"host", facts.host},
                        {"address", facts.address},
                        {"service", facts.service},
                        {"environment", facts.environment},
                        {"dc", facts.dc},
                        {"cluster", facts.cluster},
                        {"path", base},
                        {"file", file_in_the_making(base, release, file)}};
    auto validation = fill_placeholders_for_shell(file.validate, values);
    if (!validation) return std::move(validation).error().during("validate " + file.path);
    files.validations.push_back(std::move(*validation));
  }
  return files;
}

Task<Result<std::string>> Configured::dry_run(HostPlace host, Release release) {
  auto parts = parts_of(release.digest);
  bool of_code_alone = parts.configuration.empty() && release.config != no_configuration;
  if (of_code_alone) co_return co_await tarballs_->dry_run(std::move(host), std::move(release));
  auto base = release_base(options_, host);
  if (!base) co_return std::move(base).error();
  std::vector<RenderedFile> rendered;
  if (!parts.configuration.empty()) {
    auto files = files_for(host, parts, *base);
    if (!files) co_return std::move(files).error();
    rendered = std::move(files->rendered);
  }
  std::string input;
  for (const auto& file : rendered) input += file.text;
  auto result = co_await hosts_.executor(host.name).run(difference_script(*base, rendered), std::move(input));
  if (!result) co_return std::move(result).error().during("compare the configuration");
  auto text = std::move(result->out);
  bool cut = result->truncated || text.size() > difference_most;
  if (text.size() > difference_most) text.resize(difference_most);
  while (text.ends_with('\n')) text.pop_back();
  co_return cut ? text + "\n... and more" : text;
}

Task<Result<Prepared>> Configured::prepare(HostPlace host, Release release) {
  auto parts = parts_of(release.digest);
  if (parts.configuration.empty()) co_return co_await tarballs_->prepare(std::move(host), std::move(release));
  auto current = co_await configure(host, release);
  if (current || current.error().code != Errc::not_found) co_return current;
  auto code = release;
  code.digest = parts.code;
  code.config.clear();
  auto brought = co_await tarballs_->prepare(host, std::move(code));
  if (!brought) co_return brought;
  co_return co_await configure(std::move(host), std::move(release));
}

// Fails with not_found when the code is not on the host.
Task<Result<Prepared>> Configured::configure(HostPlace host, Release release) {
  auto activity = fmt::format("prepare {} for {}", host.name, release.version);
  auto parts = parts_of(release.digest);
  auto base = release_base(options_, host);
  if (!base) co_return std::move(base).error().during(activity);
  auto files = files_for(host, parts, *base);
  if (!files) co_return std::move(files).error().during(activity);
  std::string input;
  for (const auto& file : files->rendered) input += file.text;
  auto script = configure_script(*base, parts, files->rendered, files->validations, options_.keep);
  auto result = co_await hosts_.executor(host.name).run(std::move(script), std::move(input));
  if (!result) co_return std::move(result).error().during(activity);
  switch (result->exit_status) {
    case 0: break;
    case no_tarball_status: co_return Failure{Errc::not_found, activity + ": the code is not on this host"};
    case busy_status: co_return Failure{Errc::unavailable, activity + ": the lock is held by an unpacking that began earlier"};
    case wrong_digest_status: co_return Failure{Errc::unavailable, activity + ": a rendered file arrived as another one"};
    default: co_return Failure{Errc::refused, fmt::format("{}: {}", activity, last_words(result->err))};
  }
  auto current = read_current(result->out);
  if (!current) co_return std::move(current).error().during(activity);
  co_return Prepared{std::move(*current), digest_of(files->rendered)};
}

}  // namespace

std::unique_ptr<Releaser> with_configurations(std::unique_ptr<Releaser> tarballs, ReleaseOptions options, Hosts& hosts,
                                              std::shared_ptr<ConfigurationStore> store, std::function<HostFacts(const HostPlace&)> facts) {
  return std::make_unique<Configured>(std::move(tarballs), std::move(options), hosts, std::move(store), std::move(facts));
}

}  // namespace shiftd
