#include "daemon/shiftctl/watch.hpp"

#include <csignal>
#include <cstdio>
#include <deque>
#include <exception>

#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/shiftctl/pool_screen.hpp"
#include "daemon/shiftctl/screen.hpp"
#include "daemon/shiftctl/words.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr Duration least_between_frames = 200ms;
constexpr Duration most_between_frames = 1s;      // shares and counts change without an event
constexpr std::size_t large_status = 512 * 1024;  // bytes; of a large fleet, which is asked for less often
constexpr std::size_t events_shown = 10;
constexpr std::uint64_t records_back = 400;  // to find the last events in

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// The alternate screen, without cursor, for as long as it lives.
class Terminal {
 public:
  Terminal() { put("\x1b[?1049h\x1b[?25l"); }
  ~Terminal() { put("\x1b[?25h\x1b[?1049l"); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  struct Size {
    std::size_t rows = 24;
    std::size_t columns = 80;
  };
  static Size size() {
    winsize now{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 || now.ws_col == 0 || now.ws_row == 0) return {};
    return {now.ws_row, now.ws_col};
  }
  // What does not fit on the screen is left away at its end.
  static void show(std::string_view page) {
    std::string frame = "\x1b[H";
    std::size_t rows = 0;
    for (auto most = size().rows; !page.empty() && rows + 1 < most; ++rows) {
      auto end = page.find('\n');
      frame.append(page.substr(0, end)).append("\x1b[K\r\n");
      page.remove_prefix(end == std::string_view::npos ? page.size() : end + 1);
    }
    put(frame + "\x1b[J");
  }
};

class Watching {
 public:
  Watching(DaemonClient& client, std::string rollout, asio::any_io_executor executor)
      : client_(client), rollout_(std::move(rollout)), tasks_(executor), signals_(executor, SIGINT, SIGTERM) {}

  Task<Result<ExitCode>> run() {
    auto status = co_await client_.ask("GET", path());
    if (!status) co_return std::move(status).error();
    take(std::move(*status));
    {
      Terminal terminal;
      tasks_.start("feed", follow());
      tasks_.start("frames", redraw());
      tasks_.start("signals", wait_for_signal());
      co_await tasks_.join();
    }
    if (failure_) co_return *failure_;
    if (!outcome_.empty()) {
      auto last = co_await client_.ask("GET", path());
      if (last) take(std::move(*last));
    }
    if (auto page = picture()) put(*page);
    co_return outcome_.empty() ? ExitCode::succeeded : exit_code_of(outcome_);
  }

 private:
  [[nodiscard]] std::string path() const { return "/api/v1/rollouts/" + rollout_; }

  void take(std::string status) {
    status_ = std::move(status);
    auto value = nlohmann::json::parse(status_, nullptr, false);
    records_ = value.is_object() ? value.value("records", std::uint64_t{0}) : 0;
  }

  [[nodiscard]] Result<std::string> picture() const {
    std::vector<Sentence> events(events_.begin(), events_.end());
    auto size = Terminal::size();
    return draw(status_, events, notice_, {size.columns, true, size.rows - 1});
  }

  Task<> follow() {
    DaemonClient::Following following;
    following.rollout = rollout_;
    following.from = records_ > records_back ? records_ - records_back : 0;
    following.patience = std::chrono::hours(24 * 365);
    following.record = [this](std::uint64_t, std::string record) {
      notice_.clear();
      dirty_ = true;
      auto sentence = sentence_of(record);
      if (sentence.important) events_.push_back(std::move(sentence));
      if (events_.size() > events_shown) events_.pop_front();
      if (record.size() > 4096) return true;
      auto value = nlohmann::json::parse(record, nullptr, false);
      if (!value.is_object() || value.value("is", "") != "ended") return true;
      outcome_ = value.value("outcome", "failed");
      return false;
    };
    following.lost = [this](const Failure& failure) {
      notice_ = failure.what + "; trying again";
      dirty_ = true;
    };
    auto done = co_await client_.follow(std::move(following));
    if (!done) failure_ = std::move(done).error();
    tasks_.stop();
  }

  Task<> redraw() {
    auto& clock = client_.clock();
    auto drawn = clock.steady();
    for (bool first = true;; first = false) {
      if (dirty_ || first || clock.steady() - drawn >= most_between_frames) {
        dirty_ = false;
        drawn = clock.steady();
        if (auto page = picture()) Terminal::show(*page);
        auto status = co_await client_.ask("GET", path());
        if (status) take(std::move(*status));
        if (status && notice_.empty()) {
          if (auto page = picture()) Terminal::show(*page);
        }
      }
      co_await clock.sleep_for(status_.size() > large_status ? most_between_frames : least_between_frames);
    }
  }

  Task<> wait_for_signal() {
    boost::system::error_code error;
    co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, error));
    if (!error) tasks_.stop();
  }

  DaemonClient& client_;
  std::string rollout_;
  TaskGroup tasks_;
  asio::signal_set signals_;
  std::string status_;
  std::uint64_t records_ = 0;
  std::deque<Sentence> events_;
  std::string notice_;
  std::string outcome_;  // empty: it goes on
  std::optional<Failure> failure_;
  bool dirty_ = true;
};

Task<> redraw_pools(DaemonClient& client, std::string path, std::string page) {
  std::string notice;
  while (true) {
    Terminal::show(notice + page);
    co_await client.clock().sleep_for(most_between_frames);
    auto body = co_await client.ask("GET", path);
    auto drawn = body ? draw_pools(*body) : Result<std::string>(body.error());
    if (drawn) page = std::move(*drawn);
    notice = drawn ? "" : clean(drawn.error().what) + "; trying again\n";
  }
}

Task<> stop_at_signal(TaskGroup& tasks, asio::any_io_executor executor) {
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  boost::system::error_code error;
  co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (!error) tasks.stop();
}

}  // namespace

Task<Result<ExitCode>> watch(DaemonClient& client, std::string rollout) {
  Watching watching(client, std::move(rollout), co_await asio::this_coro::executor);
  co_return co_await watching.run();
}

Task<Result<ExitCode>> watch_pools(DaemonClient& client, std::string path) {
  auto body = co_await client.ask("GET", path);
  if (!body) co_return std::move(body).error();
  auto page = draw_pools(*body);
  if (!page) co_return std::move(page).error();
  auto executor = co_await asio::this_coro::executor;
  Terminal terminal;
  TaskGroup tasks(executor);
  tasks.start("frames", redraw_pools(client, std::move(path), std::move(*page)));
  tasks.start("signals", stop_at_signal(tasks, executor));
  co_await tasks.join();
  co_return ExitCode::succeeded;
}

}  // namespace shiftd
