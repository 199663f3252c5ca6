#include "daemon/release/restart.hpp"

#include <utility>

namespace shiftd {
namespace {

class WithRestarts final : public Releaser {
 public:
  WithRestarts(std::unique_ptr<Releaser> inner, Reboot reboot) : inner_(std::move(inner)), reboot_(std::move(reboot)) {}

  Task<Result<std::string>> inspect(HostPlace host) override { return inner_->inspect(std::move(host)); }

  Task<Result<Release>> check_source(Release release) override {
    if (is_reboot(release) && !reboot_) co_return nobody_said_how();
    if (is_restart(release)) co_return release;
    co_return co_await inner_->check_source(std::move(release));
  }

  Task<Result<Release>> complete(Release release, std::vector<std::string> found) override {
    if (is_restart(release)) co_return release;
    co_return co_await inner_->complete(std::move(release), std::move(found));
  }

  Task<Result<std::string>> dry_run(HostPlace host, Release release) override {
    if (is_restart(release)) co_return std::string();
    co_return co_await inner_->dry_run(std::move(host), std::move(release));
  }

  Task<Result<Prepared>> prepare(HostPlace host, Release release) override {
    if (!is_restart(release)) co_return co_await inner_->prepare(std::move(host), std::move(release));
    auto current = co_await running(std::move(host));
    if (!current) co_return std::move(current).error();
    co_return Prepared{std::move(*current), {}};
  }

  Task<> stand_by(HostPlace host) override { return inner_->stand_by(std::move(host)); }

  Task<Result<void>> upgrade(HostPlace host, Release release, std::string job_id) override {
    if (!is_restart(release)) co_return co_await inner_->upgrade(std::move(host), std::move(release), std::move(job_id));
    if (is_reboot(release)) {
      if (!reboot_) co_return nobody_said_how();
      co_return co_await reboot_(std::move(host), std::move(job_id));
    }
    auto current = co_await running(host);
    if (!current) co_return std::move(current).error();
    co_return co_await inner_->revert(std::move(host), std::move(*current), std::move(job_id));
  }

  Task<Result<void>> revert(HostPlace host, std::string digest, std::string job_id) override {
    return inner_->revert(std::move(host), std::move(digest), std::move(job_id));
  }

  Task<Result<void>> note_success(HostPlace host, std::string digest, std::string rollout) override {
    if (is_restart(digest)) co_return Result<void>{};
    co_return co_await inner_->note_success(std::move(host), std::move(digest), std::move(rollout));
  }

  Task<Result<std::string>> logs(HostPlace host, std::string rollout) override { return inner_->logs(std::move(host), std::move(rollout)); }

  Task<Result<void>> prove_running(HostPlace host, std::string digest) override {
    if (!is_restart(digest)) co_return co_await inner_->prove_running(std::move(host), std::move(digest));
    auto current = co_await running(host);
    if (!current) co_return std::move(current).error();
    co_return co_await inner_->prove_running(std::move(host), std::move(*current));
  }

 private:
  static Failure nobody_said_how() {
    return {Errc::bad_input,
            "the service's file does not say how its hosts are rebooted: write release.reboot, such as "
            "'reboot: sudo -n systemctl reboot'"};
  }

  Task<Result<std::string>> running(HostPlace host) {
    auto name = host.name;
    auto current = co_await inner_->inspect(std::move(host));
    if (current && current->empty()) co_return Failure{Errc::refused, "no release is installed on " + name};
    co_return current;
  }

  std::unique_ptr<Releaser> inner_;
  Reboot reboot_;
};

}  // namespace

std::unique_ptr<Releaser> with_restarts(std::unique_ptr<Releaser> inner, Reboot reboot) {
  return std::make_unique<WithRestarts>(std::move(inner), std::move(reboot));
}

}  // namespace shiftd
