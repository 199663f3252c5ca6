#pragma once

// A host with a "service" that runs the tarball which was current at its last restart, and counts its restarts. The base of
// fixtures.

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "daemon/release/tarball.hpp"
#include "tests/integration/release/release_host.hpp"

namespace shiftd {

class TarballHost : public ReleaseHost {
 protected:
  explicit TarballHost(SshClient client = SshClient::libssh2, SshdServer::Options options = {}) : ReleaseHost(client, std::move(options)) {
    options_.restart = "cat {{path}}/current/version >{{path}}/running && echo {{release}} >>{{path}}/restarts";
    options_.version_command = "cat {{path}}/running";
  }

  Release make_release(const std::string& version) {
    std::filesystem::create_directories(tree_of(version) + "/bin");
    write_text(tree_of(version) + "/bin/serve", std::string(50'000, 'x'));
    return ReleaseHost::make_release(version);
  }

  [[nodiscard]] std::string link(const std::string& name) const {
    std::error_code none;
    return std::filesystem::read_symlink(at(name), none).string();
  }
  [[nodiscard]] int restarts() const {
    auto text = read_text(at("restarts"));
    return static_cast<int>(std::ranges::count(text, '\n'));
  }

  Releaser& releaser() {
    if (!releaser_) releaser_ = make_tarball_releaser(loop_.clock(), options_, *this);
    return *releaser_;
  }
  Result<std::string> prepare(const Release& release) { return prepare_with(releaser(), release); }
  Result<void> upgrade(const Release& release, const std::string& job) { return loop_.run(releaser().upgrade(place_, release, job)); }

  std::unique_ptr<Releaser> releaser_;
};

}  // namespace shiftd
