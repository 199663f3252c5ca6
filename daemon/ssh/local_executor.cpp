#include "daemon/ssh/local_executor.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "daemon/base/shell.hpp"
#include "daemon/io/child_process.hpp"
#include "daemon/ssh/remote_job.hpp"

namespace shiftd {
namespace {

class LocalExecutor final : public Executor {
 public:
  LocalExecutor(Clock& clock, Duration command_timeout) : clock_(clock), command_timeout_(command_timeout) {}

  Task<Result<void>> open() override { co_return Result<void>{}; }

  Task<Result<CommandResult>> run(std::string command, std::string input) override {
    if (command.find('\0') != std::string::npos) co_return Failure{Errc::bad_input, "a command must not hold NUL bytes"};
    Program program{{"/bin/sh", "-c", std::move(command)}, own_environment()};
    co_return co_await ended(std::move(program), std::move(input), command_timeout_, output_most);
  }

  // The shell reads the file itself. What has moved meanwhile is not seen from here: `silence` is for all of it.
  Task<Result<CommandResult>> send(std::string local_path, std::string command, Duration silence) override {
    if (!std::ifstream(local_path)) co_return Failure{Errc::bad_input, "cannot read " + local_path + ": " + std::strerror(errno)};
    Program program{{"/bin/sh", "-c", "exec <" + shell_quote(local_path) + "\n" + command}, own_environment()};
    co_return co_await ended(std::move(program), {}, silence, output_most);
  }

  Task<Result<CommandResult>> job(RemoteJob job) override {
    auto text = job_program(job);
    if (!text) co_return text.error();
    auto answer = co_await in_a_session(std::move(*text), job.limit + job_grace);
    if (!answer) co_return std::move(answer).error().during("job " + job.id);
    co_return read_job_end(job, answer->out);
  }

  Task<Result<std::optional<CommandResult>>> job_result(std::string dir, std::string id) override {
    auto text = job_question(dir, id);
    if (!text) co_return text.error();
    auto answer = co_await in_a_session(std::move(*text), command_timeout_);
    if (!answer) co_return std::move(answer).error().during("look for job " + id);
    co_return read_job_reply(id, Duration(0), answer->out);
  }

  void close() override {}

 private:
  Task<Result<CommandResult>> ended(Program program, std::string input, Duration limit, std::size_t kept) {
    auto result = co_await run_program(clock_, std::move(program), std::move(input), limit, kept);
    if (!result) co_return result.error();
    co_return CommandResult{result->exit_status, std::move(result->out), std::move(result->err), result->truncated};
  }

  // A group of its own would be killed with its first process.
  Task<Result<CommandResult>> in_a_session(std::string text, Duration limit) {
    Program program{{"setsid", "--wait", "/bin/sh"}, own_environment()};
    auto result = co_await ended(std::move(program), std::move(text), limit, job_answer_most);
    // Our programs end by themselves: one that a signal ended may have begun its job.
    if (result && result->exit_status > 128)
      co_return Failure{Errc::timed_out, "the job's sh was ended by signal " + std::to_string(result->exit_status - 128) + ": it may run"};
    co_return result;
  }

  Clock& clock_;
  Duration command_timeout_;
};

}  // namespace

std::unique_ptr<Executor> make_local_executor(Clock& clock, Duration command_timeout) {
  return std::make_unique<LocalExecutor>(clock, command_timeout);
}

}  // namespace shiftd
