// The front end that counts the log stream: each request by the status that its client got.
//
// The kernel keeps few lines for us (net.unix.max_dgram_qlen: 10 to 512) and HAProxy throws away what does not fit, so
// the socket is emptied whenever it has something (serve()). Two counters say what is missing all the same: HAProxy's
// own DroppedLogs, and the backend row of `show stat`, which has counted requests that no line told of (lines sent while
// nobody listened, a frontend that logs elsewhere).

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <nlohmann/json.hpp>

#include "lb-adapters/haproxy/haproxy.hpp"
#include "lb-adapters/haproxy/log_line.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"
#include "lb-adapters/haproxy/runtime_socket.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"

namespace shiftd {
namespace {

using namespace haproxy;
namespace asio = boost::asio;

constexpr std::size_t names_most = 10'000;
// Before the loop's other work gets its turn.
constexpr int lines_per_turn = 256;

Failure cannot(std::string what) { return {Errc::unavailable, what + ": " + std::strerror(errno)}; }

// A datagram socket in the file system that only its owner and group may write to. It takes the place of one that a
// former life of ours left behind, and of nothing else.
class LogSocket {
 public:
  static Result<LogSocket> open(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof(address.sun_path))
      return Failure{Errc::unavailable, "log socket: the path is empty or too long"};
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    LogSocket log(path, ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (log.fd_ < 0) return cannot("log socket");
    struct stat found {};
    if (lstat(path.c_str(), &found) == 0) {
      if (!S_ISSOCK(found.st_mode)) return Failure{Errc::unavailable, path + " exists and is not a socket"};
      if (found.st_uid != geteuid()) return Failure{Errc::unavailable, path + " belongs to somebody else"};
      if (connect(log.fd_, generic, sizeof(address)) == 0) return Failure{Errc::unavailable, path + " is read by another process"};
      if (unlink(path.c_str()) != 0) return cannot("remove the old " + path);
    }
    fchmod(log.fd_, 0660);
    if (bind(log.fd_, generic, sizeof(address)) != 0) return cannot("create " + path);
    // What the umask took away.
    if (chmod(path.c_str(), 0660) != 0 || lstat(path.c_str(), &log.created_) != 0) return cannot("set the mode of " + path);
    return log;
  }

  LogSocket(LogSocket&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), created_(other.created_) {}
  LogSocket& operator=(LogSocket&&) = delete;
  ~LogSocket() {
    if (fd_ < 0) return;
    close(fd_);
    struct stat found {};
    bool ours =
        created_.st_ino != 0 && lstat(path_.c_str(), &found) == 0 && found.st_ino == created_.st_ino && found.st_dev == created_.st_dev;
    if (ours) unlink(path_.c_str());
  }

  // The next line; nothing when there is none now. Valid until the next call.
  std::optional<std::string_view> take() {
    auto length = recv(fd_, line_.data(), line_.size(), MSG_DONTWAIT);
    if (length < 0) return std::nullopt;
    return std::string_view(line_.data(), static_cast<std::size_t>(length));
  }

  [[nodiscard]] int fd() const { return fd_; }

 private:
  LogSocket(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  struct stat created_ {};
  std::array<char, 16 * 1024> line_;
};

struct Tally {
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
};

class HaproxyLogFrontEnd final : public FrontEnd {
 public:
  HaproxyLogFrontEnd(Clock& clock, HaproxyLogOptions options, LogSocket log)
      : options_(std::move(options)),
        socket_(clock, options_.runtime_socket, options_.timeout),
        name_(options_.name + "/" + options_.backend + "/log"),
        log_(std::move(log)) {}

  const std::string& name() const override { return name_; }

  Task<> serve() override {
    // A descriptor of its own, which lives and dies with this task.
    asio::local::datagram_protocol::socket ready(co_await asio::this_coro::executor);
    ready.assign(asio::local::datagram_protocol(), dup(log_.fd()));
    while (true) {
      co_await ready.async_wait(asio::socket_base::wait_read, asio::use_awaitable);
      take_lines(lines_per_turn);
    }
  }

  Task<Result<CountsReading>> poll() override {
    auto reading = co_await count();
    if (!reading) co_return std::move(reading).error().during("counts of " + name_);
    co_return std::move(*reading);
  }

  std::string checkpoint() const override {
    nlohmann::json json = {{"version", 1},        {"epoch", seen_.epoch}, {"dropped", seen_.dropped}, {"answered", seen_.answered},
                           {"missing", missing_}, {"lost", lost_}};
    return json.dump();
  }

  Result<void> restore(const std::string& checkpoint) override {
    try {
      auto json = nlohmann::json::parse(checkpoint);
      if (json.at("version") != 1) return Failure{Errc::bad_input, "checkpoint of " + name_ + ": another version"};
      Seen seen{json.at("epoch"), json.at("dropped"), json.at("answered")};
      auto missing = json.at("missing").get<std::int64_t>();
      auto lost = json.at("lost").get<std::int64_t>();
      seen_ = std::move(seen);
      missing_ = missing;
      lost_ = lost;
    } catch (const std::exception& error) {
      return Failure{Errc::bad_input, "checkpoint of " + name_ + ": " + in_quotes(error.what())};
    }
    return {};
  }

 private:
  // HAProxy's own counters at the last poll.
  struct Seen {
    std::string epoch;
    std::uint64_t dropped = 0;
    std::uint64_t answered = 0;  // by the backend, whoever made the answer
  };

  void take_lines(int most) {
    for (; most > 0; --most) {
      auto text = log_.take();
      if (!text) return;
      auto parsed = parse_log_line(*text);
      if (std::holds_alternative<Unreadable>(parsed)) ++unreadable_;
      if (auto* line = std::get_if<LogLine>(&parsed)) take(*line);
    }
  }

  void take(const LogLine& line) {
    // Without a status nothing was answered: the client hung up.
    if (line.backend != options_.backend || line.status < 100) return;
    ++lines_;
    bool failed = line.status >= 500;
    if (line.server == "<NOSRV>") {
      unattributed_ += failed;
      return;
    }
    if (!tallies_.contains(line.server) && tallies_.size() == names_most) {
      ++unreadable_;
      return;
    }
    auto& tally = tallies_[line.server];
    ++tally.requests;
    tally.failures += failed;
  }

  Task<Result<CountsReading>> count() {
    if (!is_name(options_.backend)) co_return Failure{Errc::bad_input, in_quotes(options_.backend) + " cannot be the name of a backend"};
    std::vector<std::string> commands{"show info", "show servers state " + options_.backend, "show stat " + options_.backend + " 2 -1"};
    auto replies = co_await socket_.ask(std::move(commands));
    if (!replies) co_return std::move(replies).error();
    auto process = parse_info((*replies)[0]);
    if (!process) co_return std::move(process).error();
    auto servers = parse_servers_state((*replies)[1]);
    if (!servers) co_return std::move(servers).error();
    auto rows = parse_stat((*replies)[2]);
    if (!rows) co_return std::move(rows).error();
    if (rows->size() != 1) co_return Failure{Errc::unexpected_reply, "HAProxy has no statistics of the backend"};
    // What was logged up to the moment of the answer is in the socket now.
    take_lines(1'000'000);

    CountsReading reading;
    reading.first = seen_.epoch.empty();
    for (const auto& server : *servers) tallies_.try_emplace(server.server);
    if (!reading.first) {
      for (const auto& [server, tally] : tallies_) reading.hosts.push_back({server, tally.requests, tally.failures});
      reading.unattributed = unattributed_;
    } else {
      for (const auto& [server, tally] : tallies_) reading.hosts.push_back({server, 0, 0});
    }
    settle_losses(*process, rows->front(), reading);
    tallies_.clear();
    unattributed_ = 0;
    lines_ = 0;
    unreadable_ = 0;
    co_return reading;
  }

  void settle_losses(const ProcessInfo& process, const StatRow& backend, CountsReading& reading) {
    constexpr std::uint64_t believable = std::uint64_t{1} << 48;
    Seen now{process.epoch(), std::min(process.dropped_logs, believable), 0};
    for (auto responses : backend.responses) now.answered += std::min(responses, believable);
    auto before = std::exchange(seen_, now);
    if (reading.first) return;
    bool new_epoch = before.epoch != now.epoch;
    reading.reset = new_epoch || now.answered < before.answered;
    auto dropped = new_epoch || now.dropped < before.dropped ? now.dropped : now.dropped - before.dropped;
    auto answered = reading.reset ? now.answered : now.answered - before.answered;
    // A request is counted and logged in two steps: only what is missing at two polls in a row is.
    auto missing = missing_ + static_cast<std::int64_t>(answered) - static_cast<std::int64_t>(lines_);
    auto confirmed = std::min(missing, missing_);
    missing_ = missing;
    // `lost_` has been reported: lines that were dropped are found missing later, and are not reported again.
    auto found = std::max<std::int64_t>(confirmed - lost_, static_cast<std::int64_t>(dropped + unreadable_));
    found = std::max<std::int64_t>(found, 0);
    lost_ += found;
    reading.lost = static_cast<std::uint64_t>(found);
  }

  HaproxyLogOptions options_;
  RuntimeSocket socket_;
  std::string name_;
  LogSocket log_;
  Seen seen_;
  std::int64_t missing_ = 0;  // answered by the backend and not logged, since the first poll
  std::int64_t lost_ = 0;     // of these, reported as lost
  // Since the last poll.
  std::map<std::string, Tally> tallies_;
  std::uint64_t unattributed_ = 0;
  std::uint64_t lines_ = 0;
  std::uint64_t unreadable_ = 0;
};

}  // namespace

Result<std::unique_ptr<FrontEnd>> make_haproxy_log_front_end(Clock& clock, HaproxyLogOptions options) {
  auto log = LogSocket::open(options.socket);
  if (!log) return std::move(log).error();
  return std::unique_ptr<FrontEnd>(std::make_unique<HaproxyLogFrontEnd>(clock, std::move(options), std::move(*log)));
}

}  // namespace shiftd
