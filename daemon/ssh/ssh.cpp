#include "daemon/ssh/ssh.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "daemon/ssh/command.hpp"
#include "daemon/ssh/connect.hpp"
#include "daemon/ssh/connection.hpp"
#include "daemon/ssh/gate.hpp"
#include "daemon/ssh/openssh.hpp"
#include "daemon/ssh/remote_job.hpp"

namespace shiftd {
namespace {

// sshd begins to drop unauthenticated connections at 10 (MaxStartups 10:30:100).
constexpr std::size_t unauthenticated_most = 8;
// What a program on its input is given to.
constexpr std::string_view by_input = "exec /bin/sh";
constexpr std::size_t file_piece = 256 * 1024;

class SshHost final : public Executor {
 public:
  SshHost(const SshOptions& options, Connect connect, SshTarget target, Gate& unauthenticated, Gate& shells_left)
      : options_(options),
        connect_(std::move(connect)),
        target_(std::move(target)),
        unauthenticated_(unauthenticated),
        shells_left_(shells_left) {}
  ~SshHost() override { close(); }

  Task<Result<void>> open() override {
    auto connection = co_await connected();
    if (!connection) co_return connection.error();
    co_return Result<void>{};
  }

  Task<> stand_by() override {
    auto connection = co_await connected();
    if (connection) co_await (*connection)->stand_by(std::string(by_input));
  }

  Task<Result<CommandResult>> run(std::string command, std::string input) override {
    if (command.find('\0') != std::string::npos) co_return Failure{Errc::bad_input, "a command must not hold NUL bytes"};
    Patience patience{options_.command_timeout};
    co_return co_await converse(By::command, std::move(command), input_of(std::move(input)), patience, output_most);
  }

  Task<Result<CommandResult>> ask(std::string command) override;
  Task<Result<CommandResult>> send(std::string local_path, std::string command, Duration silence) override;
  Task<Result<CommandResult>> job(RemoteJob job) override;
  Task<Result<std::optional<CommandResult>>> job_result(std::string dir, std::string id) override;

  std::string key() const override { return connection_ ? connection_->key() : std::string(); }

  void close() override {
    left_.reset();
    if (auto connection = std::exchange(connection_, nullptr)) connection->end();
  }

 private:
  // What the host's sh runs: a command, or the program on its input.
  enum class By { command, input };

  Task<Result<std::shared_ptr<Connection>>> connected();
  Task<Result<CommandResult>> converse(By by, std::string command, Input input, Patience patience, std::size_t kept);

  const SshOptions& options_;
  Connect connect_;
  SshTarget target_;
  Gate& unauthenticated_;
  Gate& shells_left_;
  std::optional<Gate::Pass> left_;  // a shell of ours may have stayed there
  Gate connecting_{1};
  std::shared_ptr<Connection> connection_;
  std::uint64_t attempts_ = 0;
  std::optional<Failure> last_failure_;
};

Task<Result<std::shared_ptr<Connection>>> SshHost::connected() {
  if (connection_ && connection_->alive()) co_return connection_;
  auto attempts = attempts_;
  auto turn = co_await connecting_.enter();
  if (connection_ && connection_->alive()) co_return connection_;
  // Whoever queued behind an attempt that failed has its answer: a hundred callers do not wait a hundred timeouts.
  if (attempts_ != attempts && last_failure_) co_return *last_failure_;
  auto place = co_await unauthenticated_.enter();
  auto connection = co_await connect_(target_);
  ++attempts_;
  last_failure_.reset();
  if (!connection) {
    last_failure_ = connection.error();
    co_return connection;
  }
  connection_ = *connection;
  co_return connection;
}

// A connection found dead before anything was asked of the host is replaced once.
Task<Result<CommandResult>> SshHost::converse(By by, std::string command, Input input, Patience patience, std::size_t kept) {
  for (int attempt = 0;; ++attempt) {
    auto connection = co_await connected();
    if (!connection) co_return connection.error();
    auto line = by == By::command ? (*connection)->by_sh(command) : std::string(by_input);
    auto result = co_await (*connection)->run(std::move(line), input, patience, kept);
    // Our programs end by themselves: one that a signal ended may have begun its job.
    if (result && by == By::input && result->exit_status > 128) {
      auto what = fmt::format("the host's sh was ended by signal {}", result->exit_status - 128);
      co_return lost_midway({Errc::unreachable, std::move(what)}).during(target_.host);
    }
    if (result) co_return result;
    if (result.error().code != Errc::unavailable) co_return std::move(result).error().during(target_.host);
    if (attempt == 1) co_return Failure{Errc::unreachable, result.error().what}.during(target_.host);
  }
}

// Where no shell may be had (a key that is restricted to some commands), or too many stay already, it is a command like others.
Task<Result<CommandResult>> SshHost::ask(std::string command) {
  if (!left_) left_ = shells_left_.try_enter();
  if (left_) {
    auto connection = co_await connected();
    if (!connection) co_return connection.error();
    Patience patience{options_.command_timeout};
    auto answer = co_await (*connection)->ask(std::string(by_input), command, patience);
    if (answer && *answer) co_return std::move(**answer);
    left_.reset();
    if (!answer && answer.error().code != Errc::unavailable) co_return std::move(answer).error().during(target_.host);
  }
  co_return co_await run(std::move(command), {});
}

// The pieces of a local file. It is read on the loop: a piece is in the page cache or one read away.
Input input_of_file(std::shared_ptr<std::ifstream> file, std::string path, std::uint64_t size) {
  return [file = std::move(file), path = std::move(path), left = size]() mutable -> Result<std::string> {
    std::string piece(std::min<std::uint64_t>(file_piece, left), '\0');
    file->read(piece.data(), static_cast<std::streamsize>(piece.size()));
    if (file->bad()) return Failure{Errc::bad_input, "cannot read " + path};
    if (static_cast<std::size_t>(file->gcount()) < piece.size())
      return Failure{Errc::bad_input, path + " became shorter while it was read"};
    left -= piece.size();
    return piece;
  };
}

// Through a plain channel and not SFTP: one round trip for the file and for what is done with it, no subsystem to be
// missing, and the disk's own words on failure. The shell that answered last spares even the channel.
Task<Result<CommandResult>> SshHost::send(std::string local_path, std::string command, Duration silence) {
  auto file = std::make_shared<std::ifstream>(local_path, std::ios::binary);
  if (!*file) co_return Failure{Errc::bad_input, "cannot read " + local_path + ": " + std::strerror(errno)};
  std::error_code no_size;
  auto size = std::filesystem::file_size(local_path, no_size);
  if (no_size) size = 0;  // a device
  Patience patience{silence, true};
  SizedInput input{input_of_file(std::move(file), std::move(local_path), size), size};
  if (left_) {
    auto connection = co_await connected();
    if (!connection) co_return connection.error();
    auto fed = co_await (*connection)->feed(command, input, patience);
    if (!fed) co_return std::move(fed).error().during(target_.host);
    if (*fed) co_return std::move(**fed);
  }
  co_return co_await converse(By::command, std::move(command), std::move(input.next), patience, output_most);
}

Task<Result<CommandResult>> SshHost::job(RemoteJob job) {
  auto program = job_program(job);
  if (!program) co_return program.error();
  Patience patience{job.limit + job_grace};
  auto answer = co_await converse(By::input, {}, input_of(std::move(*program)), patience, job_answer_most);
  left_.reset();
  if (!answer) co_return std::move(answer).error().during("job " + job.id);
  auto end = read_job_end(job, answer->out);
  if (!end) co_return std::move(end).error().during(target_.host);
  co_return end;
}

Task<Result<std::optional<CommandResult>>> SshHost::job_result(std::string dir, std::string id) {
  auto program = job_question(dir, id);
  if (!program) co_return program.error();
  Patience patience{options_.command_timeout};
  auto answer = co_await converse(By::input, {}, input_of(std::move(*program)), patience, job_answer_most);
  if (!answer) co_return std::move(answer).error().during("look for job " + id);
  auto reply = read_job_reply(id, Duration(0), answer->out);
  if (!reply) co_return std::move(reply).error().during(target_.host);
  co_return reply;
}

class Connector final : public SshConnector {
 public:
  Connector(Clock& clock, SshOptions options) : options_(std::move(options)) {
    if (options_.client == SshClient::openssh) {
      openssh_ = std::make_unique<OpensshClient>(clock, options_);
      connect_ = [this](SshTarget target) { return openssh_->connect(std::move(target)); };
    } else {
      connect_ = [this, &clock](SshTarget target) { return connect_session(clock, options_, std::move(target)); };
    }
  }

  std::unique_ptr<Executor> to(SshTarget target) override {
    auto& gate = unauthenticated_.try_emplace(target.address, unauthenticated_most).first->second;
    return std::make_unique<SshHost>(options_, connect_, std::move(target), gate, shells_left_);
  }

 private:
  SshOptions options_;
  std::unique_ptr<OpensshClient> openssh_;
  Connect connect_;
  std::map<std::string, Gate> unauthenticated_;
  Gate shells_left_{shells_left_most};
};

}  // namespace

std::unique_ptr<SshConnector> make_ssh_connector(Clock& clock, SshOptions options) {
  return std::make_unique<Connector>(clock, std::move(options));
}

}  // namespace shiftd
