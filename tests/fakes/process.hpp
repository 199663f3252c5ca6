#pragma once

// A process that a test started: ended by its own pid when this goes, also when the test failed.

#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace shiftd {

// Stops a process; returns when each of its threads has stopped, so that nothing that it is asked from then on is heard.
void freeze(pid_t pid);

class Process {
 public:
  struct Start {
    std::vector<std::string> command;
    std::vector<std::string> environment;  // NAME=value, added to our own
    std::string output;                    // where its outputs go; empty: /dev/null
    unsigned long file_size_most = 0;      // bytes it and its children may write into a file; 0: no bound
  };

  explicit Process(const Start& start);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  void freeze() const { shiftd::freeze(pid_); }
  [[nodiscard]] bool running();

  // Runs it to its end and gives its exit status.
  static int run(const std::vector<std::string>& command, const std::vector<std::string>& environment = {});

 private:
  pid_t pid_ = -1;
};

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

// Waits, a few seconds at most, for something outside of this process.
bool eventually(const std::function<bool()>& happened);

// A TCP port of 127.0.0.1 that nobody uses at the moment.
int free_port();

}  // namespace shiftd
