#include "daemon/ssh/command.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <libssh2.h>

namespace shiftd {
namespace {

// What may wait in our memory for the socket before the input pauses.
constexpr std::size_t unsent_most = 512 * 1024;

// RFC 4254, 6.10 names the signals; the numbers are this kernel's.
int signal_number(std::string_view name) {
  struct {
    std::string_view name;
    int number;
  } static constexpr signals[] = {{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},   {"ILL", SIGILL},
                                  {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
                                  {"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}};
  for (const auto& signal : signals) {
    if (signal.name == name) return signal.number;
  }
  return 0;
}

// A command that was asked for and whose end was not seen: it may have run.
Failure lost(Session& session, int rc) {
  auto failure = session.failure_of(rc);
  if (failure.code == Errc::refused) return failure.during("run a command");
  return lost_midway(failure);
}

// What a program says cannot be taken for it.
std::string new_answer() { return fmt::format("shiftd-answer-{:08x}{:08x}", std::random_device{}(), std::random_device{}()); }

// The shell has read all of it, and nothing beyond it, before it runs any: what is asked for then comes to nobody else.
constexpr std::string_view feeding = R"sh({{
(
shiftd_take() {{ printf '\n%s\n' {answer} >&6; head -c {size} <&7; }}
{program}
) 6>&1 7<&0 </dev/null || exit
printf '\n%s 0\n' {answer}
}}
)sh";

// The answer to a start that nobody waits for would be taken by the next one for its own.
struct Starting {
  Session& session;
  bool answered = false;
  ~Starting() {
    if (!answered) session.end({Errc::unreachable, "closed: a command was given up as it began"});
  }
};

// One command that runs.
class Conversation {
 public:
  // `answer`: ended by a line of this word and a status, and not by the channel's end. `more`: given when a line of this word asks for it.
  Conversation(Session::Channel& channel, Input& input, Patience patience, std::size_t kept, std::string answer = {}, Input* more = nullptr)
      : session_(channel.session()),
        channel_(channel.raw()),
        input_(&input),
        more_(more),
        patience_(patience),
        kept_(kept),
        answer_(std::move(answer)) {
    deadline_ = session_.clock().steady() + patience_.limit;
  }

  Task<Result<CommandResult>> finish() {
    while (true) {
      auto seen = session_.moves();
      auto fed = feed();
      if (!fed) co_return fed.error();
      auto drained = drain();
      if (!drained) co_return drained.error();
      if (answered()) co_return std::move(result_);
      if (asked_for_more()) continue;
      if (libssh2_channel_eof(channel_) == 1) {
        auto rc = libssh2_channel_wait_closed(channel_);
        if (rc == 0) break;
        if (rc != LIBSSH2_ERROR_EAGAIN) co_return lost(session_, rc);
      }
      if (*fed || *drained) {
        if (patience_.of_silence) deadline_ = session_.clock().steady() + patience_.limit;
        continue;
      }
      if (!session_.alive()) co_return lost(session_, LIBSSH2_ERROR_SOCKET_DISCONNECT);
      auto moved = co_await session_.moved_since(seen, deadline_);
      if (!moved) co_return out_of_patience(patience_);
    }
    result_.exit_status = exit_status();
    co_return std::move(result_);
  }

  [[nodiscard]] bool has_answer() const { return has_answer_; }
  [[nodiscard]] bool gave_all() const { return input_ended_; }

 private:
  // Whether something went out.
  Result<bool> feed() {
    if (input_ended_ || session_.unsent() > unsent_most) return false;
    if (sent_ == piece_.size()) {
      auto next = (*input_)();
      if (!next) return next.error();
      piece_ = std::move(*next);
      sent_ = 0;
    }
    if (piece_.empty()) {
      input_ended_ = true;
      if (answer_.empty()) libssh2_channel_send_eof(channel_);
      return answer_.empty();
    }
    auto rc = libssh2_channel_write(channel_, piece_.data() + sent_, piece_.size() - sent_);
    if (rc == LIBSSH2_ERROR_EAGAIN || rc == 0) return false;
    // A command that ends without reading its input is no failure: its end is on the way.
    if (rc == LIBSSH2_ERROR_CHANNEL_CLOSED || rc == LIBSSH2_ERROR_CHANNEL_EOF_SENT) {
      input_ended_ = true;
      return false;
    }
    if (rc < 0) return lost(session_, static_cast<int>(rc));
    sent_ += static_cast<std::size_t>(rc);
    return true;
  }

  // Whether something came in. What is over the bound is read and dropped: a full channel would stop the command.
  Result<bool> drain() {
    bool came = false;
    for (int stream : {0, SSH_EXTENDED_DATA_STDERR}) {
      while (true) {
        auto rc = libssh2_channel_read_ex(channel_, stream, bytes_.data(), bytes_.size());
        if (rc == 0 || rc == LIBSSH2_ERROR_EAGAIN || rc == LIBSSH2_ERROR_CHANNEL_CLOSED) break;
        if (rc < 0) return lost(session_, static_cast<int>(rc));
        came = true;
        auto& out = stream == 0 ? result_.out : result_.err;
        auto fits = std::min(static_cast<std::size_t>(rc), kept_ - out.size());
        out.append(bytes_.data(), fits);
        if (fits < static_cast<std::size_t>(rc)) result_.truncated = true;
      }
    }
    return came;
  }

  // Takes the line with the status away from the output.
  bool answered() {
    if (answer_.empty()) return false;
    std::string_view out = result_.out;
    auto line = out.rfind('\n' + answer_ + ' ');
    if (line == std::string_view::npos || !out.ends_with('\n')) return false;
    auto status = out.substr(line + answer_.size() + 2);
    auto [end, error] = std::from_chars(status.data(), status.data() + status.size(), result_.exit_status);
    if (error != std::errc() || end + 1 != status.data() + status.size()) return false;
    result_.out.resize(line);
    return has_answer_ = true;
  }

  // Takes the line that asks away from the output.
  bool asked_for_more() {
    if (more_ == nullptr) return false;
    auto line = result_.out.find('\n' + answer_ + '\n');
    if (line == std::string::npos) return false;
    result_.out.erase(line, answer_.size() + 2);
    input_ = std::exchange(more_, nullptr);
    piece_.clear();
    sent_ = 0;
    input_ended_ = false;
    return true;
  }

  int exit_status() {
    char* signal = nullptr;
    libssh2_channel_get_exit_signal(channel_, &signal, nullptr, nullptr, nullptr, nullptr, nullptr);
    if (signal == nullptr) return libssh2_channel_get_exit_status(channel_);
    auto number = signal_number(signal);
    // Our sessions allocate with malloc.
    std::free(signal);
    return 128 + number;
  }

  Session& session_;
  LIBSSH2_CHANNEL* channel_;
  Input* input_;
  Input* more_;
  Patience patience_;
  std::size_t kept_;
  std::string answer_;
  bool has_answer_ = false;
  Steady deadline_;
  std::string piece_;
  std::size_t sent_ = 0;
  bool input_ended_ = false;
  CommandResult result_;
  std::array<char, 32 * 1024> bytes_;
};

}  // namespace

Failure lost_midway(const Failure& why) { return {Errc::timed_out, "connection lost during the command, which may have run: " + why.what}; }

Failure out_of_patience(const Patience& patience) {
  auto what = patience.of_silence ? "no progress for " : "no end within ";
  return {Errc::timed_out, what + to_string(patience.limit) + "; the command may have run, or run still"};
}

Input input_of(std::string text) {
  return [text = std::move(text)]() mutable -> Result<std::string> { return std::exchange(text, {}); };
}

Task<Result<void>> start_command(Session::Channel& channel, std::string command, Patience patience) {
  auto& session = channel.session();
  auto deadline = session.clock().steady() + patience.limit;
  Starting starting{session};
  while (true) {
    auto seen = session.moves();
    auto rc = libssh2_channel_process_startup(channel.raw(), "exec", 4, command.data(), static_cast<unsigned>(command.size()));
    if (rc != LIBSSH2_ERROR_EAGAIN) {
      starting.answered = true;
      channel.begun();
      if (rc == 0) co_return Result<void>{};
      co_return lost(session, rc);
    }
    auto moved = co_await session.moved_since(seen, deadline);
    if (!moved) co_return out_of_patience(patience);
  }
}

Task<Result<CommandResult>> finish_command(Session::Channel& channel, Input& input, Patience patience, std::size_t output_kept) {
  auto conversation = std::make_unique<Conversation>(channel, input, patience, output_kept);
  co_return co_await conversation->finish();
}

Task<Result<std::optional<CommandResult>>> ask_shell(Session::Channel& channel, const std::string& program, Patience patience,
                                                     std::size_t output_kept) {
  auto answer = new_answer();
  auto input = input_of(fmt::format("(\n{}\n) </dev/null\nprintf '\\n%s %s\\n' {} $?\n", program, answer));
  auto conversation = std::make_unique<Conversation>(channel, input, patience, output_kept, std::move(answer));
  auto result = co_await conversation->finish();
  if (!result) co_return std::move(result).error();
  if (!conversation->has_answer()) co_return std::nullopt;
  co_return std::optional(std::move(*result));
}

Task<Result<CommandResult>> feed_shell(Session::Channel& channel, const std::string& program, SizedInput& input, Patience patience,
                                       std::size_t output_kept) {
  auto answer = new_answer();
  auto text = input_of(fmt::format(feeding, fmt::arg("answer", answer), fmt::arg("size", input.size), fmt::arg("program", program)));
  auto conversation = std::make_unique<Conversation>(channel, text, patience, output_kept, std::move(answer), &input.next);
  auto result = co_await conversation->finish();
  if (!result) co_return result;
  if (!conversation->has_answer() && result->exit_status == 0) co_return lost_midway({Errc::unreachable, "the host's shell ended"});
  if (conversation->has_answer() && !conversation->gave_all())
    co_return Failure{Errc::unexpected_reply, "the host's shell went on before it had taken its input"};
  co_return result;
}

}  // namespace shiftd
