#pragma once

// A child process that runs a function of the test: to be killed, to lose its rights, or to have limits of its own.
//
// What the function writes is read here line by line. The child is killed and waited for when the object goes. Forked
// only while this process has one thread; the child leaves by _exit, so nothing of the parent runs twice.

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

namespace shiftd {

class Forked {
 public:
  // The child's side of the pipe. A line is written whole, in one call.
  class Output {
   public:
    explicit Output(int descriptor) : descriptor_(descriptor) {}
    void line(const std::string& text) const {
      auto whole = text + "\n";
      if (::write(descriptor_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) ::_exit(1);
    }

   private:
    int descriptor_;
  };

  template <class Function>
  explicit Forked(const Function& function) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("no process");
    if (pid_ == 0) {
      ::close(ends[0]);
      Output output(ends[1]);
      try {
        function(output);
      } catch (const std::exception& thrown) {
        output.line(std::string("threw: ") + thrown.what());
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    lines_ = ::fdopen(ends[0], "r");
  }

  ~Forked() {
    kill();
    std::fclose(lines_);
  }
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  // The next whole line; none once the child has ended.
  std::optional<std::string> line() {
    std::string text;
    for (int next = std::fgetc(lines_); next != EOF; next = std::fgetc(lines_)) {
      if (next == '\n') return text;
      text += static_cast<char>(next);
    }
    return std::nullopt;
  }

  // kill -9. Lines that it had written can still be read.
  void kill() {
    if (ended_) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    ended_ = true;
  }

 private:
  pid_t pid_;
  std::FILE* lines_;
  bool ended_ = false;
};

}  // namespace shiftd
