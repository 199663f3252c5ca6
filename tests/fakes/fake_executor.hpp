#pragma once

// A host in memory that answers commands as a test scripts it. It keeps the executor's contract (the suite in
// tests/contract/executor runs against it too): jobs by id, locks, lost connections.
//
//   FakeExecutor host(clock);
//   host.on("systemctl restart", {.exit_status = 1, .out = "no such unit"});
//   host.on("check_load", {}, 30s);              // takes its time
//   host.go_down(Failure{Errc::unreachable, "no route"});

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "daemon/io/clock.hpp"
#include "daemon/ssh/executor.hpp"
#include "daemon/ssh/moved.hpp"

namespace shiftd {

class FakeExecutor final : public Executor {
 public:
  using Answer = std::function<Result<CommandResult>(const std::string& command, const std::string& input)>;

  explicit FakeExecutor(Clock& clock) : clock_(clock) {}

  // How commands and job scripts that contain `text` are answered, and how long they take. The latest that fits counts;
  // what nothing fits fails as a shell does (127).
  void on(std::string text, CommandResult result, Duration takes = Duration(0));
  void on(std::string text, Answer answer, Duration takes = Duration(0));
  // Every call fails with this, until come_up(). Jobs that run go on.
  void go_down(Failure why);
  void come_up() { down_.reset(); }
  // Calls in flight fail with timed_out; jobs go on; the next call finds the host again.
  void drop_connection();

  std::vector<std::string> commands;  // all that ran, in order; each job's script once
  int opened = 0;                     // connections made
  int stood_by = 0;                   // how often it was asked to

  Task<Result<void>> open() override;
  Task<> stand_by() override {
    ++stood_by;
    co_return;
  }
  Task<Result<CommandResult>> run(std::string command, std::string input) override;
  Task<Result<CommandResult>> send(std::string local_path, std::string command, Duration silence) override;
  Task<Result<CommandResult>> job(RemoteJob job) override;
  Task<Result<std::optional<CommandResult>>> job_result(std::string dir, std::string id) override;
  void close() override;
  // Lets go of the loop that it last worked on, which may end then. Nothing may be under way.
  void leave_loop() { dropped_.reset(); }

 private:
  struct Script {
    std::string text;
    Answer answer;
    Duration takes;
  };
  struct Job {
    std::string dir;
    Steady ends;
    Result<CommandResult> result;
  };

  const Script* script_for(const std::string& command) const;
  Task<Result<void>> wait_until(Steady when);

  Clock& clock_;
  std::vector<Script> scripts_;
  std::map<std::string, Job> jobs_;
  std::optional<Failure> down_;
  std::optional<Moved> dropped_;
  bool connected_ = false;
};

}  // namespace shiftd
