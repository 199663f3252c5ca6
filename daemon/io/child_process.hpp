#pragma once

// A program of this machine, run as a child: its input, its outputs and its end, on the one loop.
//
// A child has a process group of its own, so that what it starts can be ended with it, and is killed when this process
// goes, however it goes. Its end is waited for through a pidfd: no signal handler, no thread. It inherits no descriptor
// but its three. One thread only.

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct Program {
  std::vector<std::string> words;        // the program, looked for in PATH when it has no slash, and its arguments
  std::vector<std::string> environment;  // "NAME=value": all that it sees
};

// What this process sees.
std::vector<std::string> own_environment();

class ChildProcess {
 public:
  // Returns when the program has begun; that takes as long as an exec.
  // Fails with: bad_input (no such program, or it may not be run), exhausted (no more processes or descriptors).
  static Result<std::unique_ptr<ChildProcess>> start(const boost::asio::any_io_executor& executor, const Program& program);
  // Kills what is left of its group, when it has not ended; it is reaped when the loop turns.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // False when it reads no more. Nobody else writes meanwhile.
  Task<bool> write(std::string bytes);
  void end_input();

  // The next piece, empty at the end. Nobody else reads the same output meanwhile.
  Task<std::string> read_out();
  Task<std::string> read_err();
  // What is there now, at most `most` bytes.
  std::string take_err(std::size_t most);

  // Its exit status, 128 + signal when a signal ended it. Outputs may still be held open by what it left behind.
  Task<int> ended();
  [[nodiscard]] bool running();
  [[nodiscard]] int pid() const;
  // To its whole group. Nothing, once it has ended.
  void signal(int number);

 private:
  struct State;
  explicit ChildProcess(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

struct ProgramResult {
  int exit_status = 0;
  std::string out;  // at most `output_kept` bytes of each; the rest is read, dropped, and `truncated` is set
  std::string err;
  bool truncated = false;
};

// Runs it to its end. Over `limit` its group gets TERM, and KILL five seconds later. What it leaves behind and what keeps
// its outputs open is waited for two seconds after its end.
// Fails as ChildProcess::start(), and with timed_out: it was ended at its limit.
// Cancelled: its group is killed.
Task<Result<ProgramResult>> run_program(Clock& clock, Program program, std::string input, Duration limit, std::size_t output_kept);

}  // namespace shiftd
