#pragma once

// Keys made for a test, and the real ssh-agent that holds them.

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "tests/fakes/process.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {

// The real ssh-agent, with a key.
class Agent {
 public:
  explicit Agent(const std::string& key_file) {
    process_ = std::make_unique<Process>(Process::Start{.command = {"ssh-agent", "-D", "-a", socket()}, .environment = {}, .output = {}});
    if (!eventually([this] { return std::filesystem::exists(socket()); })) throw std::runtime_error("ssh-agent does not start");
    if (!key_file.empty()) add(key_file);
  }
  void add(const std::string& key_file) {
    if (Process::run({"ssh-add", "-q", key_file}, {"SSH_AUTH_SOCK=" + socket()}) != 0) throw std::runtime_error("ssh-add");
  }
  std::string socket() const { return dir_.path() + "/agent"; }
  Process& process() { return *process_; }

 private:
  TemporaryDirectory dir_;
  std::unique_ptr<Process> process_;
};

inline std::string new_key(const TemporaryDirectory& dir, const std::string& name, const std::string& type = "ed25519") {
  auto file = dir.path() + "/" + name;
  EXPECT_EQ(Process::run({"ssh-keygen", "-q", "-t", type, "-N", "", "-f", file}), 0);
  return file;
}

}  // namespace shiftd
