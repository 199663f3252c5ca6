#pragma once

// A host that releases are brought to: the real sshd, one connection to it, and a place where tarballs are made. The base of
// fixtures; the host's name is web1 and its releases lie in srv/web1.

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "daemon/release/local_digest.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/releaser.hpp"
#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {

class ReleaseHost : public Hosts {
 protected:
  explicit ReleaseHost(SshClient client = SshClient::libssh2, SshdServer::Options options = {}) : sshd_(std::move(options)) {
    auto ssh = sshd_.client();
    ssh.client = client;
    connector_ = make_ssh_connector(loop_.clock(), ssh);
    host_ = connector_->to(sshd_.target());
    options_.path = sshd_.file("srv/{{host}}");
    options_.prove_limit = std::chrono::seconds(20);
  }

  Executor& executor(const std::string&) override { return *host_; }

  // A file below the host's releases.
  [[nodiscard]] std::string at(const std::string& name) const { return sshd_.file("srv/web1/" + name); }

  // The tarball's tree, which may hold more than what make_release() puts there.
  [[nodiscard]] std::string tree_of(const std::string& version) const { return local_.path() + "/" + version; }

  // Its file `version` tells it apart from others.
  Release make_release(const std::string& version) {
    auto tree = tree_of(version);
    std::filesystem::create_directories(tree);
    write_text(tree + "/version", version + "\n");
    auto tarball = tree + ".tar.gz";
    EXPECT_EQ(Process::run({"tar", "-czf", tarball, "-C", tree, "."}), 0);
    return {version, *loop_.run(sha256_of_file(tarball)), tarball};
  }

  // Prepares the host; what `current` names there.
  Result<std::string> prepare_with(Releaser& releaser, const Release& release) {
    auto prepared = loop_.run(releaser.prepare(place_, release));
    if (!prepared) return prepared.error();
    return prepared->current;
  }

  SshdServer sshd_;
  TemporaryDirectory local_;
  OnALoop loop_;
  std::unique_ptr<SshConnector> connector_;
  std::unique_ptr<Executor> host_;
  ReleaseOptions options_;
  HostPlace place_{"web1", "127.0.0.1:8080"};
};

}  // namespace shiftd
