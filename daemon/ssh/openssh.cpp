#include "daemon/ssh/openssh.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/asio/this_coro.hpp>

#include "daemon/base/shell.hpp"
#include "daemon/io/backoff.hpp"
#include "daemon/io/child_process.hpp"
#include "daemon/io/within.hpp"
#include "daemon/ssh/gate.hpp"
#include "daemon/ssh/keys.hpp"
#include "daemon/ssh/known_hosts.hpp"
#include "daemon/ssh/mux.hpp"
#include "daemon/ssh/session.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

constexpr std::size_t said_most = 4 * 1024;
// What the child's shell prints when ssh has logged in and its control socket listens.
constexpr std::string_view ready = "ready\n";
// Of its log one line is asked for, which names the key that the host takes. `LogVerbose` is of OpenSSH 8.5.
constexpr std::string_view log_of_key = "sshconnect2.c:input_userauth_pk_ok():";
constexpr Duration last_words_limit = std::chrono::seconds(2);

bool says(std::string_view text, std::string_view words) { return text.find(words) != std::string_view::npos; }

// A path as ssh_config(5) takes it: quoted, its own expansions escaped. ${NAME} cannot be.
Result<std::string> config_path(const std::string& path) {
  if (path.find_first_of("\"\n\\") != std::string::npos || says(path, "${")) {
    return Failure{Errc::bad_input, "ssh_config cannot hold the path " + path};
  }
  std::string quoted = "\"";
  for (char c : path) quoted += c == '%' ? "%%" : std::string(1, c);
  return quoted + '"';
}

// Everything that the children are told. Whatever is a secret stays in the files that are named.
Result<std::string> config_text(const SshOptions& options) {
  auto known_hosts = config_path(options.known_hosts);
  if (!known_hosts) return known_hosts.error();
  auto key = config_path(options.key_file);
  if (!key) return key.error();
  auto agent = config_path(options.agent_socket);
  if (!agent) return agent.error();
  auto seconds = [](Duration duration) { return std::max<long>(1, std::chrono::ceil<std::chrono::seconds>(duration).count()); };
  // A public key names the one key of the agent that is meant.
  bool only_this_key = !options.key_file.empty() && (options.agent_socket.empty() || is_public_key_file(options.key_file));
  return fmt::format(
      "# shiftd's, for its ssh children; made anew at each start.\n"
      "User {}\n"
      "IdentityFile {}\n"
      "IdentitiesOnly {}\n"
      "IdentityAgent {}\n"
      "UserKnownHostsFile {}\n"
      "GlobalKnownHostsFile /dev/null\n"
      "StrictHostKeyChecking yes\n"
      "UpdateHostKeys no\n"
      "PreferredAuthentications publickey\n"
      "BatchMode yes\n"
      "ForwardAgent no\n"
      "ForwardX11 no\n"
      "RequestTTY no\n"
      "EscapeChar none\n"
      "ConnectTimeout {}\n"
      "ServerAliveInterval {}\n"
      "ServerAliveCountMax 2\n"
      "LogLevel ERROR\n"
      "IgnoreUnknown LogVerbose\n"
      "LogVerbose {}*\n",
      options.user, options.key_file.empty() ? "none" : *key, only_this_key ? "yes" : "no", options.agent_socket.empty() ? "none" : *agent,
      *known_hosts, seconds(options.connect_timeout), seconds(options.keepalive), log_of_key);
}

// Takes the log's lines out of what ssh said: the fingerprint in the last of them, since a jump logs in before its host;
// empty: there is none.
std::string take_key(std::string& said) {
  constexpr std::string_view mark = " SHA256:";
  std::string key;
  for (auto at = said.find(log_of_key); at != std::string::npos; at = said.find(log_of_key)) {
    auto begin = at == 0 ? 0 : said.rfind('\n', at) + 1;
    auto end = std::min(said.find('\n', at), said.size() - 1) + 1;
    auto line = std::string_view(said).substr(begin, end - begin);
    // A key's comment stands before, and may be anything.
    if (auto from = line.rfind(mark); from != std::string_view::npos) {
      line.remove_prefix(from + 1);
      key = line.substr(0, line.find_first_of(" \r\n"));
    }
    said.erase(begin, end - begin);
  }
  return key;
}

std::string trimmed(std::string_view text) {
  std::string line;
  for (char c : text.substr(0, said_most)) {
    if (c != '\r') line += c;
  }
  while (line.ends_with('\n')) line.pop_back();
  std::ranges::replace(line, '\n', ';');
  return line;
}

// What ssh's last words mean. They are for people, so that what is not recognised counts as a host that cannot be reached.
Failure failure_of(std::string_view said, const SshOptions& options, const SshTarget& target) {
  auto words = said.empty() ? std::string("ssh ended without a word") : "ssh: " + trimmed(said);
  auto name = known_hosts_name(target.address, target.port);
  auto file = shell_quote(options.known_hosts);
  auto scan = fmt::format("ssh-keyscan -p {} {} >> {}", target.port, shell_quote(target.address), file);
  if (says(said, "REVOKED HOST KEY") || says(said, "is revoked")) {
    return {Errc::unauthenticated, fmt::format("REVOKED HOST KEY of {}: {}", name, words)};
  }
  if (says(said, "IDENTIFICATION HAS CHANGED")) {
    return {Errc::unauthenticated,
            fmt::format("THE HOST KEY HAS CHANGED: {}. Either the host was installed anew or somebody stands between. Only if you know "
                        "why: ssh-keygen -f {} -R {} && {}",
                        words, file, shell_quote(name), scan)};
  }
  if (says(said, "Host key verification failed")) {
    return {Errc::unauthenticated, fmt::format("unknown host key of {}: {}. If the key that it shows is the host's own (compare the "
                                               "fingerprints), accept it with: {}",
                                               name, words, scan)};
  }
  if (says(said, "Load key \"")) return {Errc::bad_input, words};
  if (says(said, "Permission denied") || says(said, "Too many authentication failures")) {
    auto user = target.user.empty() ? options.user : target.user;
    return {Errc::unauthenticated, fmt::format("no key accepted for user '{}'; tried {}: {}", user,
                                               options.key_file.empty() ? "the agent's" : options.key_file, words)};
  }
  if (says(said, "kex_exchange_identification: banner line")) return {Errc::unreachable, "what answers there does not speak SSH: " + words};
  return {Errc::unreachable, std::move(words)};
}

// sshd that has too many unauthenticated connections hangs up before it speaks. A host behind a jump that cannot be reached
// looks alike, and says more.
bool hung_up_before_it_spoke(std::string_view said) {
  bool hung_up = says(said, "kex_exchange_identification: ") && (says(said, "closed by remote host") || says(said, "reset by peer"));
  return hung_up && !says(said, "connect to host") && !says(said, "stdio forwarding failed") && !says(said, "Could not resolve");
}

class OpensshConnection final : public Connection {
 public:
  OpensshConnection(Clock& clock, std::unique_ptr<ChildProcess> ssh, std::string control_socket, std::string key)
      : clock_(clock), ssh_(std::move(ssh)), control_socket_(std::move(control_socket)), key_(std::move(key)) {}

  ~OpensshConnection() override { end(); }

  bool alive() override { return ssh_ && ssh_->running(); }
  std::string key() const override { return key_; }

  // The multiplexing protocol has no word for signals: a second sh turns one into a status.
  std::string by_sh(const std::string& command) const override {
    return "exec /bin/sh -c '/bin/sh -c \"$0\"; exit $?' " + shell_quote(command);
  }

  // A command's descriptors are passed as it is asked for, and its patience begins then.
  Task<> stand_by(std::string) override { co_return; }
  Task<Result<std::optional<CommandResult>>> ask(std::string, std::string, Patience) override { co_return std::nullopt; }
  Task<Result<std::optional<CommandResult>>> feed(std::string, SizedInput&, Patience) override { co_return std::nullopt; }

  Task<Result<CommandResult>> run(std::string command, Input& input, Patience patience, std::size_t output_kept) override {
    auto pass = co_await channels_.enter();
    // What it said in the meantime must not fill its pipe.
    if (ssh_) (void)ssh_->take_err(said_most);
    MuxFate fate;
    auto result = co_await run_by_mux(clock_, control_socket_, std::move(command), input, patience, output_kept, fate);
    if (result || result.error().code == Errc::refused) co_return result;
    std::string said;
    if (fate.hung_up) said = co_await last_words();
    // A host that does not even open a channel in time is given up, as one that says nothing.
    if (!fate.opened) end();
    if (said.empty()) co_return result;
    co_return Failure{result.error().code, result.error().what + ": ssh: " + said};
  }

  void end() override {
    ssh_.reset();
    std::error_code ignored;
    std::filesystem::remove(control_socket_, ignored);
  }

 private:
  // What ssh said as it ended; empty when it has not.
  Task<std::string> last_words() {
    auto ssh = ssh_;
    if (!ssh) co_return std::string();
    auto wait = [](ChildProcess& process) -> Task<Result<void>> {
      (void)co_await process.ended();
      co_return Result<void>{};
    };
    auto ending = wait(*ssh);
    auto ended = co_await within(clock_, last_words_limit, std::move(ending));
    co_return ended ? trimmed(ssh->take_err(said_most)) : std::string();
  }

  Clock& clock_;
  std::shared_ptr<ChildProcess> ssh_;
  std::string control_socket_;
  std::string key_;
  Gate channels_{channels_most};
};

// ssh(1) passes over an agent that is not there or lacks the key, and says only that no key was accepted.
Task<Result<void>> check_agent(const SshOptions& options) {
  bool has_private_key = !options.key_file.empty() && !is_public_key_file(options.key_file);
  if (has_private_key) co_return Result<void>{};
  if (options.agent_socket.empty()) co_return no_key_at_all();
  auto keys = co_await keys_to_try(options);
  if (!keys) co_return keys.error();
  if (keys->empty()) co_return no_key_at_all();
  co_return Result<void>{};
}

struct Attempt {
  std::unique_ptr<ChildProcess> ssh;
  std::string said;
  std::string key;  // that it logged in with: its fingerprint
};

// True when it has logged in. Otherwise it has ended, or hangs up its outputs to.
Task<Result<bool>> await_login(Attempt& attempt) {
  std::string heard;
  while (!heard.ends_with(ready)) {
    auto piece = co_await attempt.ssh->read_out();
    if (piece.empty()) break;
    heard += piece;
  }
  if (heard.ends_with(ready)) {
    attempt.said = attempt.ssh->take_err(said_most);
    attempt.key = take_key(attempt.said);
    co_return true;
  }
  for (auto piece = co_await attempt.ssh->read_err(); !piece.empty(); piece = co_await attempt.ssh->read_err()) {
    if (attempt.said.size() < said_most) attempt.said += piece;
  }
  (void)take_key(attempt.said);
  co_return false;
}

Program program_of(const std::string& directory, const std::string& control_socket, const SshOptions& options, const SshTarget& target) {
  Program program;
  program.words = {"ssh", "-F", directory + "/config", "-M", "-S", control_socket, "-N", "-n", "-p", std::to_string(target.port)};
  auto more = [&](std::initializer_list<std::string> words) { program.words.insert(program.words.end(), words); };
  more({"-o", "ControlPersist=no", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo ready"});
  if (!target.user.empty()) more({"-l", target.user});
  if (!options.jump.empty()) more({"-J", options.jump});
  more({"--", target.address});
  const char* path = std::getenv("PATH");
  // Its shell runs the local command and the jump; the one of a service's account may be nologin.
  program.environment = {std::string("PATH=") + (path == nullptr ? "/usr/bin:/bin" : path), "SHELL=/bin/sh", "LC_ALL=C"};
  return program;
}

Task<Result<void>> log_in(Clock& clock, const Program& program, const SshOptions& options, const SshTarget& target, Attempt& attempt) {
  auto usable = co_await check_agent(options);
  if (!usable) co_return usable;
  auto executor = co_await asio::this_coro::executor;
  Backoff backoff(std::chrono::milliseconds(50), std::chrono::seconds(1), std::random_device{}());
  while (true) {
    auto started = ChildProcess::start(executor, program);
    if (!started) co_return std::move(started).error().during("'client: openssh' needs ssh(1)");
    attempt.ssh = std::move(*started);
    attempt.said.clear();
    auto logged_in = co_await await_login(attempt);
    if (*logged_in) co_return Result<void>{};
    auto failure = failure_of(attempt.said, options, target);
    if (failure.code != Errc::unreachable || !hung_up_before_it_spoke(attempt.said)) co_return failure;
    co_await clock.sleep_for(backoff.next());
  }
}

}  // namespace

OpensshClient::~OpensshClient() {
  std::error_code ignored;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
}

Result<void> OpensshClient::prepare() {
  for (const auto& file : {options_.known_hosts, options_.key_file}) {
    auto readable = file.empty() ? Result<std::string>(std::string()) : read_file(file);
    if (!readable) return readable.error();
  }
  if (!directory_.empty()) return {};
  auto text = config_text(options_);
  if (!text) return text.error();
  // systemd's RuntimeDirectory, or wherever temporary files live: a socket's path has to be short.
  const char* runtime = std::getenv("RUNTIME_DIRECTORY");
  std::error_code no_temporary;
  auto parent = runtime != nullptr ? std::filesystem::path(runtime) : std::filesystem::temp_directory_path(no_temporary);
  auto directory = (parent / "shiftd-ssh-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    return Failure{Errc::exhausted, "a directory for ssh's control sockets, " + directory + ": " + std::strerror(errno)};
  }
  std::ofstream file(directory + "/config");
  file << *text;
  if (!file.flush()) return Failure{Errc::exhausted, "cannot write " + directory + "/config: " + std::strerror(errno)};
  directory_ = directory;
  return {};
}

Task<Result<std::shared_ptr<Connection>>> OpensshClient::connect(SshTarget target) {
  auto place = fmt::format("{} ({}:{})", target.host, target.address, target.port);
  auto prepared = prepare();
  if (!prepared) co_return std::move(prepared).error().during(place);
  auto control_socket = fmt::format("{}/{}", directory_, ++connections_);
  auto program = program_of(directory_, control_socket, options_, target);
  Attempt attempt;
  auto work = log_in(clock_, program, options_, target, attempt);
  auto done = co_await within(clock_, options_.connect_timeout, std::move(work));
  if (!done && done.error().code == Errc::timed_out) {
    auto said = attempt.said.empty() && attempt.ssh ? attempt.ssh->take_err(said_most) : attempt.said;
    (void)take_key(said);
    co_return Failure{Errc::unreachable, fmt::format("{}: no SSH session within {}{}", place, to_string(options_.connect_timeout),
                                                     said.empty() ? "" : "; tried again after: " + trimmed(said))};
  }
  if (!done) co_return std::move(done).error().during(place);
  co_return std::make_shared<OpensshConnection>(clock_, std::move(attempt.ssh), std::move(control_socket), std::move(attempt.key));
}

}  // namespace shiftd
