#pragma once

// One SSH connection: libssh2 as a machine that turns bytes into channels, and Asio as the one that moves the bytes.
//
// libssh2 never touches the socket. Its send and receive callbacks are ours: what it sends is taken at once (written, or
// kept until the socket takes it), what it reads comes from a buffer that a reader task fills. So its EAGAIN means one
// thing only, "more bytes must come", and the trap of its partial sends (a packet half sent must be resumed by the very
// call that began it, which several tasks on one session cannot promise) does not exist here. What may not overlap is
// opening a channel and starting its command: libssh2 keeps the first in the session, and takes the answer to another
// channel's start for a failure of its own. A gate of one keeps them apart.
//
// libssh2's types stay in the .cpp files; here they are names only. One thread only.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/gate.hpp"
#include "daemon/ssh/moved.hpp"

struct _LIBSSH2_SESSION;  // NOLINT(bugprone-reserved-identifier): libssh2's names
struct _LIBSSH2_CHANNEL;  // NOLINT(bugprone-reserved-identifier)

namespace shiftd {

// Half of sshd's default MaxSessions, which is 10 a connection: sshd frees a closed channel's place only after it has read
// everything that has arrived, so that as many may still be closing as are opened.
inline constexpr std::size_t channels_most = 5;

class Session : public std::enable_shared_from_this<Session> {
 public:
  // A channel of the session. When it goes before the host has closed it, the session closes it behind the scenes.
  class Channel {
   public:
    Channel() = default;  // none: what a cancelled opening gives
    Channel(std::shared_ptr<Session> session, _LIBSSH2_CHANNEL* channel, Gate::Pass pass, Gate::Pass turn)
        : session_(std::move(session)), channel_(channel), pass_(std::move(pass)), turn_(std::move(turn)) {}
    Channel(Channel&& other) noexcept
        : session_(std::move(other.session_)),
          channel_(std::exchange(other.channel_, nullptr)),
          pass_(std::move(other.pass_)),
          turn_(std::move(other.turn_)) {}
    Channel& operator=(Channel&&) = delete;
    ~Channel();

    [[nodiscard]] Session& session() const { return *session_; }
    [[nodiscard]] _LIBSSH2_CHANNEL* raw() const { return channel_; }
    // False: the host has ended what runs there.
    [[nodiscard]] bool open() const;
    // Its command has begun: the next channel may be opened.
    void begun() { turn_ = Gate::Pass(); }

   private:
    std::shared_ptr<Session> session_;
    _LIBSSH2_CHANNEL* channel_ = nullptr;
    Gate::Pass pass_;
    Gate::Pass turn_;
  };

  // Takes a connected socket and starts to read it. The session ends when the last copy of what is returned goes, or by
  // end().
  static std::shared_ptr<Session> start(boost::asio::ip::tcp::socket socket, Clock& clock);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Speaks SSH up to the point where both sides have keys. `host_key_kinds` in order of preference, comma separated.
  Task<Result<void>> handshake(std::string host_key_kinds);
  // Whether the other side ever said that it speaks SSH; sshd over its MaxStartups closes before.
  [[nodiscard]] bool has_banner() const { return has_banner_; }
  // As it came over the wire; empty before the handshake.
  [[nodiscard]] std::string host_key() const;

  // Gives the signature of `data` made with a key that stays elsewhere.
  using Sign = std::function<Task<Result<std::string>>(std::string data)>;
  // False: the host does not accept this key. The signature is only asked for a key that it would accept.
  Task<Result<bool>> authenticate(std::string user, std::string key_blob, Sign sign);
  // Fails with bad_input when the file holds no private key that libssh2 can read without a passphrase.
  Task<Result<bool>> authenticate_with_file(std::string user, std::string key_file);

  // From now on asks for a sign of life in every `interval` of silence, and ends the session at the second without one.
  void keep_alive(Duration interval);

  // Fails with: unreachable (the connection is gone), refused (the host opens no more channels).
  Task<Result<Channel>> open_channel();

  [[nodiscard]] bool alive() const { return !ended_; }
  // Why it is not alive.
  [[nodiscard]] const std::optional<Failure>& ended() const { return ended_; }
  void end(Failure why);

  // What the last libssh2 call said, as a Failure. `rc` decides whether the session is still of use.
  Failure failure_of(int rc);

  // Counts bytes that came, bytes that left, and the end.
  [[nodiscard]] std::uint64_t moves() const { return moved_.count(); }
  // Returns when something moved since `seen`.
  // Fails with timed_out at `deadline`.
  Task<Result<void>> moved_since(std::uint64_t seen, Steady deadline);
  [[nodiscard]] std::size_t unsent() const { return out_.size() + sending_.size(); }
  [[nodiscard]] Clock& clock() const { return clock_; }

  // libssh2's side of the socket: the bytes taken or given, or a negative errno.
  long take_from(const char* bytes, std::size_t count);
  long give_to(char* bytes, std::size_t most);

 private:
  struct Abandoned {
    _LIBSSH2_CHANNEL* channel;
    Gate::Pass pass;
  };

  Session(boost::asio::ip::tcp::socket socket, Clock& clock);
  static Task<> read(std::shared_ptr<Session> self);
  boost::system::error_code take_in();
  static Task<> keep(std::shared_ptr<Session> self, Duration interval);
  Task<Result<void>> hear_banner();
  Result<bool> accepted(int rc);
  void flush();
  void abandon(_LIBSSH2_CHANNEL* channel, Gate::Pass pass);
  void close_abandoned();
  Task<int> until_done(std::function<int()> call);

  boost::asio::ip::tcp::socket socket_;
  Clock& clock_;
  Moved moved_;
  boost::asio::cancellation_signal stop_reading_;
  boost::asio::cancellation_signal stop_keeping_;
  Gate opening_{1};
  Gate channels_;
  _LIBSSH2_SESSION* session_;
  std::string in_;
  std::size_t in_taken_ = 0;
  std::string out_;      // waits behind sending_
  std::string sending_;  // is being written
  bool has_banner_ = false;
  bool writing_ = false;
  bool reader_waits_ = false;  // until libssh2 has taken some of in_
  std::uint64_t bytes_in_ = 0;
  std::list<Abandoned> abandoned_;
  std::optional<Failure> ended_;
};

}  // namespace shiftd
