#include "daemon/ssh/mux.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/ssh/wire.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using asio::posix::stream_descriptor;

constexpr std::uint32_t protocol_version = 4;
constexpr std::uint32_t hello = 0x00000001;
constexpr std::uint32_t new_session = 0x10000002;
constexpr std::uint32_t permission_denied = 0x80000002;
constexpr std::uint32_t other_failure = 0x80000003;
constexpr std::uint32_t exit_message = 0x80000004;
constexpr std::uint32_t session_opened = 0x80000006;
constexpr std::uint32_t no_escape_character = 0xffffffff;
constexpr std::uint32_t message_most = 256 * 1024;

std::string hello_message() {
  std::string body;
  put_u32(body, hello);
  put_u32(body, protocol_version);
  std::string message;
  put_string(message, body);
  return message;
}

std::string session_message(std::string_view command) {
  std::string body;
  put_u32(body, new_session);
  put_u32(body, 0);                                       // the request's number
  put_string(body, {});                                   // reserved
  for (int want = 0; want < 4; ++want) put_u32(body, 0);  // no tty, X11, agent; no subsystem
  put_u32(body, no_escape_character);
  put_string(body, {});  // no terminal
  put_string(body, command);
  std::string message;
  put_string(message, body);
  return message;
}

// What we and the master hold of the command's three descriptors. The input is a socket and no pipe: writing to one that
// nobody reads raises no SIGPIPE.
struct Standard {
  stream_protocol::socket in;
  stream_descriptor out;
  stream_descriptor err;
  std::array<stream_descriptor, 3> masters;

  explicit Standard(const asio::any_io_executor& executor)
      : in(executor),
        out(executor),
        err(executor),
        masters{stream_descriptor(executor), stream_descriptor(executor), stream_descriptor(executor)} {}

  bool open() {
    std::array<int, 2> ends;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return false;
    in.assign(stream_protocol(), ends[0]);
    masters[0].assign(ends[1]);
    for (auto* output : {&out, &err}) {
      if (pipe2(ends.data(), O_CLOEXEC) != 0) return false;
      output->assign(ends[0]);
      masters[output == &out ? 1 : 2].assign(ends[1]);
    }
    return true;
  }
};

// sendmsg(2) with one descriptor and the one byte that carries it, as OpenSSH's mm_receive_fd() reads it.
bool pass(int socket, int descriptor) {
  char byte = '\0';
  iovec bytes{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptor)> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  auto* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

void unwind_if_cancelled(const boost::system::error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
}

// One command while it runs: tasks for the master's messages, the input, the two outputs and our patience. Whichever knows
// how it came out stops the others.
class MuxCommand {
 public:
  MuxCommand(Clock& clock, const asio::any_io_executor& executor, Input& input, Patience patience, std::size_t kept, MuxFate& fate)
      : clock_(clock),
        control_(executor),
        standard_(executor),
        input_(input),
        patience_(patience),
        kept_(kept),
        fate_(fate),
        group_(executor) {
    moved();
  }

  Task<Result<CommandResult>> run(std::string socket, std::string command) {
    if (!standard_.open()) co_return Failure{Errc::exhausted, std::string("descriptors for a command: ") + std::strerror(errno)};
    group_.start("patience", keep_patience());
    group_.start("master", converse(std::move(socket), std::move(command)));
    co_await group_.join();
    if (failure_) co_return *failure_;
    co_return std::move(result_);
  }

 private:
  void moved() { deadline_ = clock_.steady() + patience_.limit; }
  void fail(Failure why) {
    if (!failure_) failure_ = std::move(why);
    group_.stop();
  }
  void end_if_complete() {
    if (ended_ && fate_.hung_up && open_outputs_ == 0) group_.stop();
  }

  Task<> keep_patience() {
    while (clock_.steady() < deadline_) co_await clock_.sleep_until(deadline_);
    fail(asked_ ? out_of_patience(patience_) : Failure{Errc::unavailable, "ssh does not answer at its control socket"});
  }

  Task<> converse(std::string socket, std::string command) {
    if (!co_await ask(std::move(socket), std::move(command))) {
      fail({Errc::unavailable, "ssh does not answer at its control socket"});
      co_return;
    }
    while (true) {
      auto message = co_await next_message();
      if (!message) break;
      std::string_view rest = *message;
      auto kind = take_u32(rest).value_or(0);
      take_u32(rest);  // the request's number; of exit_message the session's
      if (kind == session_opened) {
        fate_.opened = true;
        group_.start("input", feed());
        group_.start("output", collect(standard_.out, result_.out));
        group_.start("errors", collect(standard_.err, result_.err));
      } else if (kind == permission_denied || kind == other_failure) {
        fail({Errc::refused, "run a command: " + take_string(rest).value_or("ssh refused")});
        co_return;
      } else if (kind == exit_message) {
        result_.exit_status = static_cast<int>(take_u32(rest).value_or(0) & 0xff);
        ended_ = true;
      }
    }
    // The channel is closed only now: whoever waits for its place among the host's MaxSessions may have it.
    fate_.hung_up = true;
    end_if_complete();
    if (!ended_) fail(lost_midway({Errc::unreachable, "the host ended the session without a status, or ssh has ended"}));
  }

  // Everything up to the moment from which the command may run.
  Task<bool> ask(std::string socket, std::string command) {
    boost::system::error_code error;
    stream_protocol::endpoint endpoint(socket);
    co_await control_.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
    if (error) co_return false;
    auto theirs = co_await next_message();
    if (!theirs || *theirs != hello_message().substr(4)) co_return false;
    auto request = hello_message() + session_message(command);
    co_await asio::async_write(control_, asio::buffer(request), asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
    if (error) co_return false;
    for (auto& descriptor : standard_.masters) {
      if (!pass(control_.native_handle(), descriptor.native_handle())) co_return false;
      descriptor.close();
    }
    asked_ = true;
    co_return true;
  }

  // Nothing, when the master has hung up.
  Task<std::optional<std::string>> next_message() {
    std::array<char, 4> head;
    boost::system::error_code error;
    co_await asio::async_read(control_, asio::buffer(head), asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
    if (error) co_return std::nullopt;
    std::string_view head_text(head.data(), head.size());
    auto length = take_u32(head_text).value_or(0);
    if (length == 0 || length > message_most) co_return std::nullopt;
    std::string body(length, '\0');
    co_await asio::async_read(control_, asio::buffer(body), asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
    if (error) co_return std::nullopt;
    co_return body;
  }

  Task<> feed() {
    while (true) {
      auto piece = input_();
      if (!piece) {
        fail(piece.error());
        co_return;
      }
      if (piece->empty()) break;
      // In small steps, so that what the other side takes slowly counts as progress.
      for (std::string_view left = *piece; !left.empty();) {
        boost::system::error_code error;
        auto count = co_await write_some(left, error);
        // A command that ends without reading its input is no failure: its end is on the way.
        if (error) co_return;
        left.remove_prefix(count);
        if (patience_.of_silence) moved();
      }
    }
    standard_.in.close();
  }

  Task<std::size_t> write_some(std::string_view bytes, boost::system::error_code& error) {
    auto count =
        co_await standard_.in.async_write_some(asio::buffer(bytes.data(), bytes.size()), asio::redirect_error(asio::use_awaitable, error));
    unwind_if_cancelled(error);
    co_return count;
  }

  // What is over the bound is read and dropped: a full pipe would stop the command.
  Task<> collect(stream_descriptor& from, std::string& into) {
    std::string bytes(64 * 1024, '\0');
    while (true) {
      boost::system::error_code error;
      auto count = co_await from.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
      unwind_if_cancelled(error);
      if (error) break;
      auto fits = std::min(count, kept_ - into.size());
      into.append(bytes, 0, fits);
      if (fits < count) result_.truncated = true;
      if (patience_.of_silence) moved();
    }
    --open_outputs_;
    end_if_complete();
  }

  Clock& clock_;
  stream_protocol::socket control_;
  Standard standard_;
  Input& input_;
  Patience patience_;
  std::size_t kept_;
  MuxFate& fate_;
  TaskGroup group_;
  Steady deadline_;
  bool asked_ = false;
  bool ended_ = false;
  int open_outputs_ = 2;
  CommandResult result_;
  std::optional<Failure> failure_;
};

}  // namespace

Task<Result<CommandResult>> run_by_mux(Clock& clock, std::string control_socket, std::string command, Input& input, Patience patience,
                                       std::size_t output_kept, MuxFate& fate) {
  auto executor = co_await asio::this_coro::executor;
  MuxCommand running(clock, executor, input, patience, output_kept, fate);
  co_return co_await running.run(std::move(control_socket), std::move(command));
}

}  // namespace shiftd
