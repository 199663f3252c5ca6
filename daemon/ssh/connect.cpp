#include "daemon/ssh/connect.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/connect.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "daemon/base/shell.hpp"
#include "daemon/io/backoff.hpp"
#include "daemon/io/connect.hpp"
#include "daemon/io/within.hpp"
#include "daemon/ssh/agent.hpp"
#include "daemon/ssh/digest.hpp"
#include "daemon/ssh/keys.hpp"
#include "daemon/ssh/known_hosts.hpp"
#include "daemon/ssh/session.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// sshd's MaxAuthTries is 6; one more and it hangs up, which would be told as a lost connection.
constexpr std::size_t keys_tried_most = 5;
// The kinds of host key that libssh2 1.10 can verify, the best first.
constexpr std::string_view host_key_kinds[] = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                                               "ssh-rsa"};

std::string place_of(const SshTarget& target) { return fmt::format("{} ({}:{})", target.host, target.address, target.port); }

void unwind_if_cancelled(const boost::system::error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
}

Task<Result<tcp::socket>> connect_socket(const SshTarget& target) {
  auto found = co_await endpoints_of(target.address, static_cast<std::uint16_t>(target.port));
  if (!found) co_return std::move(found).error();
  tcp::socket socket(co_await asio::this_coro::executor);
  boost::system::error_code error;
  co_await asio::async_connect(socket, *found, asio::redirect_error(asio::use_awaitable, error));
  unwind_if_cancelled(error);
  if (error) co_return Failure{Errc::unreachable, "connect: " + error.message()};
  // Without it every command waits for a delayed acknowledgement: 44 ms measured, 2 ms with it.
  socket.set_option(tcp::no_delay(true), error);
  if (error) co_return Failure{Errc::unreachable, "connect: " + error.message()};
  // The send callback writes at once what the socket takes.
  socket.non_blocking(true, error);
  if (error) co_return Failure{Errc::unreachable, "connect: " + error.message()};
  co_return socket;
}

// The kinds known for the host first, so that it shows the key that we can check.
std::string preferred_kinds(const KnownHosts& known) {
  std::vector<std::string> order;
  for (auto& kind : known.key_types()) {
    if (std::ranges::find(host_key_kinds, kind) != std::end(host_key_kinds)) order.push_back(kind);
  }
  for (auto kind : host_key_kinds) {
    if (std::ranges::find(order, kind) == order.end()) order.emplace_back(kind);
  }
  return fmt::format("{}", fmt::join(order, ","));
}

Result<void> check_host_key(const KnownHosts& known, const std::string& file, const SshTarget& target, const std::string& key) {
  auto kind = key_type_of(key);
  auto verdict = known.check(kind, key);
  if (verdict == KnownHosts::Verdict::known) return {};
  return host_key_refused(verdict, target.address, target.port, kind, key, file);
}

// The fingerprint of the key that was accepted; empty: it is not known.
Task<Result<std::string>> authenticate(Session& session, const SshOptions& options, const std::string& user) {
  std::vector<std::string> tried;
  if (!options.key_file.empty() && !is_public_key_file(options.key_file)) {
    auto readable = read_file(options.key_file);
    if (!readable) co_return readable.error();
    // An ed25519 key signs here: libssh2 reads the file anew for its public half and for each signature, and asks every decoder
    // that OpenSSL has for a key in another form first, which takes a sixth of a connection's time.
    auto own = ed25519_key(*readable);
    Session::Sign sign = [&own](std::string data) -> Task<Result<std::string>> { co_return ed25519_signature(own->seed, data); };
    auto trying = own ? session.authenticate(user, own->blob, sign) : session.authenticate_with_file(user, options.key_file);
    auto accepted = co_await std::move(trying);
    if (!accepted) co_return accepted.error();
    if (*accepted) {
      auto key = own ? std::optional(own->blob) : public_half(*readable);
      co_return key ? key_fingerprint(*key) : std::string();
    }
    tried.push_back(options.key_file);
  }
  if (!options.agent_socket.empty()) {
    auto keys = co_await keys_to_try(options);
    if (!keys) co_return keys.error();
    for (auto& key : *keys) {
      if (tried.size() == keys_tried_most) break;
      Session::Sign sign = [&](std::string data) { return agent_sign(options.agent_socket, key.blob, std::move(data)); };
      auto accepted = co_await session.authenticate(user, key.blob, sign);
      if (!accepted) co_return accepted.error();
      if (*accepted) co_return key_fingerprint(key.blob);
      tried.push_back(fmt::format("{} {} from the agent", key_type_of(key.blob), key_fingerprint(key.blob)));
    }
  }
  if (tried.empty()) co_return no_key_at_all();
  co_return Failure{
      Errc::unauthenticated,
      fmt::format("no key accepted for user '{}'; tried {} (RSA keys work with 'client: openssh' only)", user, fmt::join(tried, ", "))};
}

struct Attempt {
  std::shared_ptr<Session> session;
  bool had_banner = false;
  std::string last_failure;  // of the attempt before this one
  std::string key;           // as authenticate() gives it
};

// `attempt` says how far it came.
Task<Result<void>> attempt_once(Clock& clock, const SshOptions& options, const SshTarget& target, const KnownHosts& known,
                                Attempt& attempt) {
  attempt.session.reset();
  attempt.had_banner = false;
  auto socket = co_await connect_socket(target);
  if (!socket) {
    // Refused or no route: the answer is clear, another attempt is the caller's to decide.
    attempt.had_banner = true;
    co_return socket.error();
  }
  attempt.session = Session::start(std::move(*socket), clock);
  auto& session = *attempt.session;
  auto spoken = co_await session.handshake(preferred_kinds(known));
  attempt.had_banner = session.has_banner();
  if (!spoken) co_return spoken.error();
  auto checked = check_host_key(known, options.known_hosts, target, session.host_key());
  if (!checked) co_return checked.error();
  auto key = co_await authenticate(session, options, target.user.empty() ? options.user : target.user);
  if (!key) co_return std::move(key).error();
  attempt.key = std::move(*key);
  co_return Result<void>{};
}

Task<Result<void>> attempt_until_spoken(Clock& clock, const SshOptions& options, const SshTarget& target, const KnownHosts& known,
                                        Attempt& attempt) {
  Backoff backoff(std::chrono::milliseconds(50), std::chrono::seconds(1), std::random_device{}());
  while (true) {
    auto done = co_await attempt_once(clock, options, target, known, attempt);
    if (done || attempt.had_banner) co_return done;
    attempt.last_failure = done.error().what;
    co_await clock.sleep_for(backoff.next());
  }
}

// A session as a connection that commands run over.
class SessionConnection final : public Connection {
 public:
  SessionConnection(Clock& clock, Duration opening_limit, std::shared_ptr<Session> session, std::string key)
      : clock_(clock), opening_limit_(opening_limit), session_(std::move(session)), key_(std::move(key)) {}

  bool alive() override { return session_->alive(); }
  std::string key() const override { return key_; }
  void end() override { session_->end({Errc::unreachable, "closed by us"}); }
  // sshd gives the command to the user's own shell, which may be any.
  std::string by_sh(const std::string& command) const override { return "exec /bin/sh -c " + shell_quote(command); }

  Task<> stand_by(std::string command) override {
    if (waiting_ && waiting_->open()) co_return;
    waiting_.reset();
    Patience patience{opening_limit_};
    auto begun = co_await begin(command, patience);
    if (begun) wait_there(std::move(*begun), std::move(command), false);
  }

  // What stands by need not be a shell: where a key is restricted to some programs, it waits for the whole of one. There `-s` is refused.
  Task<Result<std::optional<CommandResult>>> ask(std::string command, std::string program, Patience patience) override {
    if (waiting_ && !waiting_->open()) waiting_.reset();
    if (waiting_ && !answers_) co_return std::nullopt;
    std::optional<Session::Channel> shell;
    if (waiting_) {
      shell.emplace(std::move(*waiting_));
      waiting_.reset();
    } else {
      auto begun = co_await begin(command + " -s", patience);
      if (!begun) co_return std::move(begun).error();
      shell.emplace(std::move(*begun));
    }
    auto answer = co_await ask_shell(*shell, program, patience, output_most);
    if (answer && *answer && shell->open() && !waiting_) wait_there(std::move(*shell), std::move(command), true);
    co_return answer;
  }

  Task<Result<std::optional<CommandResult>>> feed(std::string program, SizedInput& input, Patience patience) override {
    if (!waiting_ || !answers_ || !waiting_->open()) co_return std::nullopt;
    auto shell = std::move(*waiting_);
    waiting_.reset();
    auto command = waiting_command_;
    auto fed = co_await feed_shell(shell, program, input, patience, output_most);
    if (!fed) co_return std::move(fed).error();
    if (fed->exit_status == 0 && shell.open() && !waiting_) wait_there(std::move(shell), std::move(command), true);
    co_return std::optional(std::move(*fed));
  }

  Task<Result<CommandResult>> run(std::string command, Input& input, Patience patience, std::size_t output_kept) override {
    if (waiting_ && waiting_command_ == command) {
      auto waited = std::move(*waiting_);
      waiting_.reset();
      if (waited.open()) co_return co_await finish_command(waited, input, patience, output_kept);
    }
    auto channel = co_await begin(std::move(command), patience);
    if (!channel) co_return std::move(channel).error();
    co_return co_await finish_command(*channel, input, patience, output_kept);
  }

 private:
  // Fails as run().
  Task<Result<Session::Channel>> begin(std::string command, Patience patience) {
    auto channel = co_await open_channel();
    if (!channel) co_return channel;
    auto started = co_await start_command(*channel, std::move(command), patience);
    if (!started) co_return std::move(started).error();
    co_return channel;
  }

  void wait_there(Session::Channel channel, std::string command, bool answers) {
    waiting_command_ = std::move(command);
    answers_ = answers;
    waiting_.emplace(std::move(channel));
  }

  // Fails as run(), before anything was asked.
  Task<Result<Session::Channel>> open_channel() {
    auto opening = session_->open_channel();
    auto channel = co_await within(clock_, opening_limit_, std::move(opening));
    if (!channel && channel.error().code == Errc::timed_out) {
      session_->end({Errc::unreachable, "no answer to the opening of a channel within " + to_string(opening_limit_)});
      co_return *session_->ended();
    }
    if (!channel && !session_->alive()) co_return Failure{Errc::unavailable, channel.error().what};
    co_return channel;
  }

  Clock& clock_;
  Duration opening_limit_;
  std::shared_ptr<Session> session_;
  std::string key_;
  std::string waiting_command_;              // that of
  bool answers_ = false;                     // it is a shell, and has answered before
  std::optional<Session::Channel> waiting_;  // what runs already and waits for its input
};

}  // namespace

Task<Result<std::shared_ptr<Connection>>> connect_session(Clock& clock, const SshOptions& options, SshTarget target) {
  auto text = read_file(options.known_hosts);
  if (!text) co_return std::move(text).error().during("known hosts").during(place_of(target));
  auto known = KnownHosts::of(target.address, target.port, *text);
  Attempt attempt;
  auto work = attempt_until_spoken(clock, options, target, known, attempt);
  auto done = co_await within(clock, options.connect_timeout, std::move(work));
  if (!done && done.error().code == Errc::timed_out) {
    // A connection that never came to be has done nothing on the host.
    auto before = attempt.last_failure.empty() ? std::string() : "; tried again after: " + attempt.last_failure;
    co_return Failure{Errc::unreachable,
                      fmt::format("{}: no SSH session within {}{}", place_of(target), to_string(options.connect_timeout), before)};
  }
  if (!done) co_return std::move(done).error().during(place_of(target));
  attempt.session->keep_alive(options.keepalive);
  co_return std::make_shared<SessionConnection>(clock, options.command_timeout, std::move(attempt.session), std::move(attempt.key));
}

}  // namespace shiftd
