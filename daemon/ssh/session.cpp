#include "daemon/ssh/session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <libssh2.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/base/invariant.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// The reader stops here until libssh2 takes something: no host can fill our memory.
constexpr std::size_t unread_most = 4 * 1024 * 1024;
// A line longer than this before the banner is no SSH.
constexpr std::size_t before_banner_most = 8 * 1024;
// libssh2 1.10 queues every answer to a keepalive and never drops one; a session that has gathered this many is replaced.
constexpr int keepalives_most = 1000;
// libssh2 counts in whole seconds and silently skips a keepalive that comes earlier than two after the last.
constexpr Duration keepalive_least = std::chrono::seconds(3);

ssize_t on_send(libssh2_socket_t, const void* bytes, std::size_t count, int, void** abstract) {
  return static_cast<Session*>(*abstract)->take_from(static_cast<const char*>(bytes), count);
}

ssize_t on_receive(libssh2_socket_t, void* bytes, std::size_t most, int, void** abstract) {
  return static_cast<Session*>(*abstract)->give_to(static_cast<char*>(bytes), most);
}

// A task of the session has ended. A cancelled one was asked to; anything else that it throws is for main to see.
void on_task_end(const std::exception_ptr& error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() != asio::error::operation_aborted) throw;
  }
}

// An idle session keeps no more than this of what it needed for a command that said much.
constexpr std::size_t idle_most = std::size_t{16} * 1024;

void empty(std::string& bytes) {
  if (bytes.capacity() > idle_most) {
    std::string().swap(bytes);
  } else {
    bytes.clear();
  }
}

// What passes between Session::authenticate and libssh2's sign callback.
struct Signing {
  std::string data;
  std::optional<std::string> signature;
};

// libssh2 asks for the signature and may be told EAGAIN: it then comes back with the same data when it is called again
// (userauth.c of 1.10, state sent1). So the signature is made between two calls, by whatever waits.
int on_sign(LIBSSH2_SESSION*, unsigned char** signature, std::size_t* length, const unsigned char* data, std::size_t data_length,
            void** abstract) {
  auto& signing = *static_cast<Signing*>(*abstract);
  if (!signing.signature) {
    signing.data.assign(reinterpret_cast<const char*>(data), data_length);
    return LIBSSH2_ERROR_EAGAIN;
  }
  // libssh2 frees it with the session's allocator, which is malloc's.
  auto* copy = static_cast<unsigned char*>(std::malloc(signing.signature->size()));
  if (copy == nullptr) return LIBSSH2_ERROR_ALLOC;
  std::memcpy(copy, signing.signature->data(), signing.signature->size());
  *signature = copy;
  *length = signing.signature->size();
  return 0;
}

}  // namespace

Session::Session(tcp::socket socket, Clock& clock)
    : socket_(std::move(socket)), clock_(clock), moved_(socket_.get_executor()), channels_(channels_most) {
  static const int initialised = libssh2_init(0);
  INVARIANT(initialised == 0, "libssh2 starts");
  session_ = libssh2_session_init_ex(nullptr, nullptr, nullptr, this);
  INVARIANT(session_ != nullptr, "libssh2 has memory for a session");
  libssh2_session_set_blocking(session_, 0);
  libssh2_session_callback_set(session_, LIBSSH2_CALLBACK_SEND, reinterpret_cast<void*>(&on_send));
  libssh2_session_callback_set(session_, LIBSSH2_CALLBACK_RECV, reinterpret_cast<void*>(&on_receive));
}

std::shared_ptr<Session> Session::start(tcp::socket socket, Clock& clock) {
  std::shared_ptr<Session> self(new Session(std::move(socket), clock));
  auto on_end = [self](const std::exception_ptr& error) { on_task_end(error); };
  asio::co_spawn(self->socket_.get_executor(), read(self), asio::bind_cancellation_slot(self->stop_reading_.slot(), std::move(on_end)));
  // The reader keeps the object; this keeps the session alive.
  auto* raw = self.get();
  return std::shared_ptr<Session>(raw, [self = std::move(self)](Session*) { self->end({Errc::unreachable, "closed"}); });
}

Session::~Session() {
  if (!ended_) ended_ = Failure{Errc::unreachable, "closed"};
  // Nothing can be sent or received any more, so that libssh2 has nothing to wait for.
  abandoned_.clear();
  libssh2_session_free(session_);
}

void Session::end(Failure why) {
  if (ended_) return;
  ended_ = std::move(why);
  boost::system::error_code ignored;
  socket_.close(ignored);
  stop_reading_.emit(asio::cancellation_type::terminal);
  stop_keeping_.emit(asio::cancellation_type::terminal);
  moved_.notify();
}

// Takes what has come.
boost::system::error_code Session::take_in() {
  // One for all sessions: a buffer of its own would cost each of hundreds of idle ones as much.
  static thread_local std::array<char, std::size_t{64} * 1024> bytes;
  boost::system::error_code error;
  auto count = socket_.read_some(asio::buffer(bytes), error);
  bytes_in_ += count;
  in_.append(bytes.data(), count);
  return error;
}

Task<> Session::read(std::shared_ptr<Session> self) {
  while (!self->ended_) {
    boost::system::error_code error;
    co_await self->socket_.async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
    if (self->ended_) break;
    if (!error) error = self->take_in();
    if (error == asio::error::would_block) continue;
    if (error) {
      auto why = error == asio::error::eof ? std::string("the host closed the connection") : error.message();
      self->end({Errc::unreachable, std::move(why)});
      break;
    }
    self->close_abandoned();
    self->moved_.notify();
    while (self->in_.size() - self->in_taken_ > unread_most && !self->ended_) {
      self->reader_waits_ = true;
      co_await self->moved_.since(self->moves());
    }
    self->reader_waits_ = false;
  }
}

long Session::take_from(const char* bytes, std::size_t count) {
  if (ended_) return -EPIPE;
  std::size_t written = 0;
  if (!writing_) {
    boost::system::error_code error;
    written = socket_.write_some(asio::buffer(bytes, count), error);
    if (error && error != asio::error::would_block) return -EPIPE;
  }
  out_.append(bytes + written, count - written);
  flush();
  return static_cast<long>(count);
}

void Session::flush() {
  if (writing_ || out_.empty()) return;
  writing_ = true;
  sending_ = std::exchange(out_, {});
  asio::async_write(socket_, asio::buffer(sending_), [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
    self->writing_ = false;
    self->sending_.clear();
    if (error) return self->end({Errc::unreachable, error.message()});
    self->flush();
    self->moved_.notify();
  });
}

long Session::give_to(char* bytes, std::size_t most) {
  auto count = std::min(most, in_.size() - in_taken_);
  if (count == 0) return ended_ ? 0 : -EAGAIN;
  std::memcpy(bytes, in_.data() + in_taken_, count);
  in_taken_ += count;
  if (in_taken_ == in_.size()) {
    empty(in_);
    in_taken_ = 0;
  } else if (in_taken_ > unread_most / 4) {
    in_.erase(0, std::exchange(in_taken_, 0));
  }
  if (reader_waits_) moved_.notify();
  return static_cast<long>(count);
}

Task<Result<void>> Session::moved_since(std::uint64_t seen, Steady deadline) {
  auto wait = [](Moved& moved, std::uint64_t count) -> Task<Result<void>> {
    co_await moved.since(count);
    co_return Result<void>{};
  };
  auto now = clock_.steady();
  if (now >= deadline) co_return Failure{Errc::timed_out, "no answer in time"};
  auto waiting = wait(moved_, seen);
  co_return co_await within(clock_, deadline - now, std::move(waiting));
}

Task<int> Session::until_done(std::function<int()> call) {
  while (true) {
    auto seen = moves();
    auto rc = call();
    if (rc != LIBSSH2_ERROR_EAGAIN) co_return rc;
    if (ended_ && in_.empty()) co_return LIBSSH2_ERROR_SOCKET_DISCONNECT;
    co_await moved_.since(seen);
  }
}

Failure Session::failure_of(int rc) {
  char* text = nullptr;
  libssh2_session_last_error(session_, &text, nullptr, 0);
  std::string what = text == nullptr || *text == '\0' ? fmt::format("libssh2 error {}", rc) : text;
  switch (rc) {
    case LIBSSH2_ERROR_CHANNEL_FAILURE:
    case LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED: return {Errc::refused, std::move(what)};
    default: break;
  }
  // Everything else leaves the stream of packets in doubt.
  if (alive()) end({Errc::unreachable, std::move(what)});
  return *ended_;
}

// Skips what RFC 4253, 4.2 lets a server say before its banner, among it sshd's "Exceeded MaxStartups". Not left to
// libssh2, which leaks those lines and tells nobody what they said.
Task<Result<void>> Session::hear_banner() {
  std::string said;
  while (true) {
    auto seen = moves();
    for (auto end = in_.find('\n'); end != std::string::npos; end = in_.find('\n')) {
      if (in_.starts_with("SSH-")) {
        has_banner_ = true;
        co_return Result<void>{};
      }
      said = in_.substr(0, std::min<std::size_t>(end, 200));
      in_.erase(0, end + 1);
    }
    if (in_.size() > before_banner_most) end({Errc::unreachable, "what answers there does not speak SSH"});
    if (ended_) co_return said.empty() ? *ended_ : ended_->during("the host said '" + said + "'");
    co_await moved_.since(seen);
  }
}

Task<Result<void>> Session::handshake(std::string host_key_kinds) {
  auto heard = co_await hear_banner();
  if (!heard) co_return heard;
  libssh2_session_method_pref(session_, LIBSSH2_METHOD_HOSTKEY, host_key_kinds.c_str());
  auto step = [this] { return libssh2_session_handshake(session_, static_cast<libssh2_socket_t>(socket_.native_handle())); };
  auto rc = co_await until_done(step);
  if (rc == 0) co_return Result<void>{};
  auto failure = failure_of(rc);
  // Both sides spoke, and have no method in common.
  if (rc == LIBSSH2_ERROR_KEX_FAILURE || rc == LIBSSH2_ERROR_METHOD_NONE || rc == LIBSSH2_ERROR_METHOD_NOT_SUPPORTED) {
    failure.what += ": libssh2 shares no cipher, MAC or kind of host key with this host; write 'client: openssh' under the service's 'ssh'";
  }
  co_return std::move(failure).during("SSH handshake");
}

std::string Session::host_key() const {
  std::size_t length = 0;
  int kind = 0;
  const char* key = libssh2_session_hostkey(session_, &length, &kind);
  return key == nullptr ? std::string() : std::string(key, length);
}

// The host's word on a key. One that was cut off looks to libssh2 like a signature that was refused.
Result<bool> Session::accepted(int rc) {
  if (rc == 0) return true;
  if (rc == LIBSSH2_ERROR_AUTHENTICATION_FAILED) return false;
  if (rc != LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) return failure_of(rc).during("authenticate");
  if (ended_) return *ended_;
  return false;
}

Task<Result<bool>> Session::authenticate(std::string user, std::string key_blob, Sign sign) {
  Signing signing;
  void* abstract = &signing;
  auto step = [&] {
    return libssh2_userauth_publickey(session_, user.c_str(), reinterpret_cast<const unsigned char*>(key_blob.data()), key_blob.size(),
                                      &on_sign, &abstract);
  };
  while (true) {
    auto seen = moves();
    auto rc = step();
    if (rc != LIBSSH2_ERROR_EAGAIN) co_return accepted(rc);
    if (signing.data.empty() || signing.signature) {
      if (ended_) co_return *ended_;
      co_await moved_.since(seen);
      continue;
    }
    auto signature = co_await sign(signing.data);
    if (!signature) co_return std::move(signature).error();
    signing.signature = std::move(*signature);
  }
}

Task<Result<bool>> Session::authenticate_with_file(std::string user, std::string key_file) {
  auto step = [&] {
    return libssh2_userauth_publickey_fromfile_ex(session_, user.c_str(), static_cast<unsigned>(user.size()), nullptr, key_file.c_str(),
                                                  nullptr);
  };
  auto rc = co_await until_done(step);
  if (rc == LIBSSH2_ERROR_FILE || rc == LIBSSH2_ERROR_METHOD_NONE) {
    co_return Failure{Errc::bad_input, "key file " + key_file + " holds no private key that can be read without a passphrase"};
  }
  co_return accepted(rc);
}

void Session::keep_alive(Duration interval) {
  libssh2_keepalive_config(session_, 1, 1);
  auto on_end = [self = shared_from_this()](const std::exception_ptr& error) { on_task_end(error); };
  asio::co_spawn(socket_.get_executor(), keep(shared_from_this(), std::max(interval, keepalive_least)),
                 asio::bind_cancellation_slot(stop_keeping_.slot(), std::move(on_end)));
}

Task<> Session::keep(std::shared_ptr<Session> self, Duration interval) {
  bool asked = false;
  for (int sent = 0; !self->ended_;) {
    auto bytes = self->bytes_in_;
    co_await self->clock_.sleep_for(interval);
    if (self->ended_) break;
    if (self->bytes_in_ != bytes) {
      asked = false;
      continue;
    }
    if (asked) self->end({Errc::unreachable, "no sign of life for " + to_string(2 * interval)});
    if (++sent > keepalives_most) self->end({Errc::unreachable, "idle for long: closed"});
    if (self->ended_) break;
    int next = 0;
    libssh2_keepalive_send(self->session_, &next);
    asked = true;
  }
}

Task<Result<Session::Channel>> Session::open_channel() {
  auto pass = co_await channels_.enter();
  // libssh2 keeps the state of an opening in the session. One that was cancelled midway is completed by the next: all are alike.
  auto turn = co_await opening_.enter();
  if (ended_) co_return *ended_;
  LIBSSH2_CHANNEL* channel = nullptr;
  auto step = [&] {
    channel = libssh2_channel_open_session(session_);
    return channel != nullptr ? 0 : libssh2_session_last_errno(session_);
  };
  auto rc = co_await until_done(step);
  if (rc != 0) co_return failure_of(rc).during("open a channel");
  co_return Channel(shared_from_this(), channel, std::move(pass), std::move(turn));
}

bool Session::Channel::open() const { return channel_ != nullptr && session_->alive() && libssh2_channel_eof(channel_) == 0; }

Session::Channel::~Channel() {
  if (channel_ != nullptr) session_->abandon(channel_, std::move(pass_));
}

void Session::abandon(LIBSSH2_CHANNEL* channel, Gate::Pass pass) {
  if (libssh2_channel_free(channel) == LIBSSH2_ERROR_EAGAIN) abandoned_.push_back({channel, std::move(pass)});
}

void Session::close_abandoned() {
  std::erase_if(abandoned_, [](Abandoned& abandoned) { return libssh2_channel_free(abandoned.channel) != LIBSSH2_ERROR_EAGAIN; });
}

}  // namespace shiftd
