#include "daemon/io/child_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/io/within.hpp"

// glibc 2.36 declares it as a C++ function.
extern "C" {
#include <sys/pidfd.h>
}

namespace shiftd {
namespace {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

constexpr std::size_t piece_most = 64 * 1024;
constexpr Duration from_term_to_kill = std::chrono::seconds(5);
constexpr Duration outputs_after_the_end = std::chrono::seconds(2);

// A descriptor that is closed when this goes.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  [[nodiscard]] int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

struct Pair {
  Descriptor ours;
  Descriptor childs;
};

std::optional<Pair> make_pipe() {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

// The input is a socket and no pipe: writing to one that nobody reads raises no SIGPIPE.
std::optional<Pair> make_input() {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return std::nullopt;
  return Pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

std::vector<char*> as_array(const std::vector<std::string>& words) {
  std::vector<char*> array;
  array.reserve(words.size() + 1);
  for (const auto& word : words) array.push_back(const_cast<char*>(word.c_str()));
  array.push_back(nullptr);
  return array;
}

// The child between fork and exec: only calls that are safe there. Says why when it cannot become the program.
[[noreturn]] void become(char* const* words, char* const* environment, pid_t parent, const std::array<int, 3>& standard, int complaint) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == parent) {
    // Our numbers may be among 0, 1 and 2 when this process was started without them.
    std::array<int, 3> high;
    for (std::size_t i = 0; i < 3; ++i) high[i] = fcntl(standard[i], F_DUPFD_CLOEXEC, 3);
    for (std::size_t i = 0; i < 3; ++i) dup2(high[i], static_cast<int>(i));
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    execvpe(words[0], words, environment);
  }
  int error = errno;
  (void)!write(complaint, &error, sizeof error);
  _exit(127);
}

void unwind_if_cancelled(const boost::system::error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
}

}  // namespace

std::vector<std::string> own_environment() {
  std::vector<std::string> all;
  for (char** each = environ; *each != nullptr; ++each) all.emplace_back(*each);
  return all;
}

struct ChildProcess::State {
  State(const asio::any_io_executor& executor, pid_t child, int pidfd, int input, int output, int complaints)
      : pid(child),
        end(executor, pidfd),
        in(executor, asio::local::stream_protocol(), input),
        out(executor, output),
        err(executor, complaints) {}

  // Asks the kernel, without waiting, whether it has ended.
  void reap() {
    if (status) return;
    siginfo_t info{};
    if (waitid(P_PIDFD, static_cast<id_t>(end.native_handle()), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
    status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }

  pid_t pid;
  stream_descriptor end;
  asio::local::stream_protocol::socket in;
  stream_descriptor out;
  stream_descriptor err;
  std::optional<int> status;
};

ChildProcess::ChildProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const asio::any_io_executor& executor, const Program& program) {
  auto input = make_input();
  auto output = make_pipe();
  auto errors = make_pipe();
  auto complaint = make_pipe();
  auto no_more = [](const char* what) { return Failure{Errc::exhausted, std::string(what) + ": " + std::strerror(errno)}; };
  if (!input || !output || !errors || !complaint) return no_more("a pipe for a program");

  auto words = as_array(program.words);
  auto environment = as_array(program.environment);
  auto parent = getpid();
  auto pid = fork();
  if (pid < 0) return no_more("a process for a program");
  if (pid == 0) {
    become(words.data(), environment.data(), parent, {input->childs.get(), output->childs.get(), errors->childs.get()},
           complaint->childs.get());
  }
  complaint->childs = Descriptor();
  int error = 0;
  if (read(complaint->ours.get(), &error, sizeof error) > 0) {
    waitpid(pid, nullptr, 0);
    return Failure{Errc::bad_input, "cannot run " + program.words.front() + ": " + std::strerror(error)};
  }
  Descriptor pidfd(pidfd_open(pid, 0));
  if (pidfd.get() < 0) {
    auto failure = no_more("a descriptor for a program");
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return failure;
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(
      std::make_shared<State>(executor, pid, pidfd.release(), input->ours.release(), output->ours.release(), errors->ours.release())));
}

ChildProcess::~ChildProcess() {
  if (!running()) return;
  signal(SIGKILL);
  state_->end.cancel();
  state_->end.async_wait(stream_descriptor::wait_read, [state = state_](const boost::system::error_code&) { state->reap(); });
}

Task<bool> ChildProcess::write(std::string bytes) {
  boost::system::error_code error;
  co_await asio::async_write(state_->in, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
  unwind_if_cancelled(error);
  co_return !error;
}

void ChildProcess::end_input() {
  boost::system::error_code ignored;
  state_->in.close(ignored);
}

namespace {

Task<std::string> read_piece(stream_descriptor& from) {
  std::string piece(piece_most, '\0');
  boost::system::error_code error;
  auto count = co_await from.async_read_some(asio::buffer(piece), asio::redirect_error(asio::use_awaitable, error));
  unwind_if_cancelled(error);
  piece.resize(error ? 0 : count);
  co_return piece;
}

}  // namespace

Task<std::string> ChildProcess::read_out() { return read_piece(state_->out); }

Task<std::string> ChildProcess::read_err() { return read_piece(state_->err); }

std::string ChildProcess::take_err(std::size_t most) {
  std::string piece(most, '\0');
  boost::system::error_code error;
  state_->err.non_blocking(true, error);
  auto count = state_->err.read_some(asio::buffer(piece), error);
  piece.resize(error ? 0 : count);
  return piece;
}

Task<int> ChildProcess::ended() {
  auto state = state_;
  for (state->reap(); !state->status; state->reap()) {
    boost::system::error_code error;
    co_await state->end.async_wait(stream_descriptor::wait_read, asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
  }
  co_return *state->status;
}

bool ChildProcess::running() {
  state_->reap();
  return !state_->status;
}

int ChildProcess::pid() const { return state_->pid; }

void ChildProcess::signal(int number) {
  if (running()) kill(-state_->pid, number);
}

namespace {

// A program while it is run to its end.
class Run {
 public:
  Run(Clock& clock, ChildProcess& process, std::size_t kept, ProgramResult& result)
      : clock_(clock), process_(process), kept_(kept), result_(result) {}

  Task<> to_its_end(std::string input) {
    TaskGroup group(co_await asio::this_coro::executor);
    group_ = &group;
    group.start("input", feed(std::move(input)));
    group.start("output", collect(&ChildProcess::read_out, result_.out));
    group.start("errors", collect(&ChildProcess::read_err, result_.err));
    group.start("end", see_end());
    co_await group.join();
  }

  [[nodiscard]] bool ended() const { return ended_; }

 private:
  Task<> feed(std::string input) {
    if (!input.empty()) (void)co_await process_.write(std::move(input));
    process_.end_input();
  }

  Task<> collect(Task<std::string> (ChildProcess::*next)(), std::string& into) {
    while (true) {
      auto piece = co_await (process_.*next)();
      if (piece.empty()) break;
      auto fits = std::min(piece.size(), kept_ - into.size());
      into.append(piece, 0, fits);
      if (fits < piece.size()) result_.truncated = true;
    }
    if (--open_outputs_ == 0 && ended_) group_->stop();
  }

  Task<> see_end() {
    result_.exit_status = co_await process_.ended();
    ended_ = true;
    if (open_outputs_ > 0) co_await clock_.sleep_for(outputs_after_the_end);
    group_->stop();
  }

  Clock& clock_;
  ChildProcess& process_;
  std::size_t kept_;
  ProgramResult& result_;
  TaskGroup* group_ = nullptr;
  int open_outputs_ = 2;
  bool ended_ = false;
};

Task<> see_end(ChildProcess& process) { (void)co_await process.ended(); }

}  // namespace

Task<Result<ProgramResult>> run_program(Clock& clock, Program program, std::string input, Duration limit, std::size_t output_kept) {
  auto started = ChildProcess::start(co_await asio::this_coro::executor, program);
  if (!started) co_return started.error();
  auto& process = **started;
  ProgramResult result;
  Run run(clock, process, output_kept, result);
  auto work = run.to_its_end(std::move(input));
  // One that ended in time and left somebody behind who holds its outputs open has ended in time.
  if (co_await ends_within(clock, limit, std::move(work)) || run.ended()) co_return result;
  process.signal(SIGTERM);
  auto end = see_end(process);
  (void)co_await ends_within(clock, from_term_to_kill, std::move(end));
  auto said = result.err.substr(result.err.size() - std::min<std::size_t>(result.err.size(), 500));
  co_return Failure{Errc::timed_out, program.words.front() + " was ended after its limit of " + to_string(limit) +
                                         (said.empty() ? "" : "; it had said: " + said)};
}

}  // namespace shiftd
