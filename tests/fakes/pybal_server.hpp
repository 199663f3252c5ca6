#pragma once

// The stand-in of PyBal (tests/pybal/) with one pool, `web_80`, fed by an etcd and checking servers on loopback.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/process.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {

class PybalServer {
 public:
  // `servers`: name and port. `interval`: seconds between two checks of a server; the first comes after one.
  PybalServer(std::string etcd_endpoint, std::string directory, std::vector<std::pair<std::string, int>> servers,
              std::string interval = "0.1");

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void signal(int number) const { process_->signal(number); }
  void freeze() const { process_->freeze(); }
  void restart();
  // "fin", "rst": the connection on which it waits for changes ends, cleanly or not.
  void control(const std::string& word) const;

 private:
  TemporaryDirectory directory_;
  int port_ = free_port();
  std::unique_ptr<Process> process_;
};

}  // namespace shiftd
