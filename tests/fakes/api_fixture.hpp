#pragma once

// The real API server with a FakeControl, on a unix socket and a free loopback port, on a loop and a thread of its own:
// the test's thread plays the client and may block.

#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include "daemon/api/server.hpp"
#include "tests/fakes/fake_control.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {

// A loop that runs on a thread of its own until this goes.
class LoopThread {
 public:
  LoopThread() = default;
  ~LoopThread() {
    work_.reset();
    thread_.join();
  }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  boost::asio::io_context loop{1};

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{loop.get_executor()};
  std::thread thread_{[this] { loop.run(); }};
};

class ApiFixture {
 public:
  static constexpr const char* token = "a-token-for-this-test-only";
  static constexpr const char* desired_token = "a-token-for-hosts-of-this-test";

  explicit ApiFixture(ApiLimits limits = {}) : clock_(make_system_clock()), control_(loop_.get_executor(), *clock_), limits_(limits) {
    write_private(token_file(), token);
    write_private(token_file() + "-desired", desired_token);
    open();
  }
  ~ApiFixture() { close(); }
  ApiFixture(const ApiFixture&) = delete;
  ApiFixture& operator=(const ApiFixture&) = delete;

  // Begins to listen on the same socket, and on the same port when it had one. Throws what forbids it.
  void open() {
    on_loop([this] {
      server_ = ApiServer::open(loop_.get_executor(), *clock_, control_,
                                {socket(), Address{"127.0.0.1", static_cast<std::uint16_t>(port_), ""}, token_file(), limits_,
                                 token_file() + "-desired"})
                    .value();
      port_ = server_->port();
      tasks_ = std::make_unique<TaskGroup>(loop_.get_executor());
      tasks_->start("server", server_->serve());
    });
  }
  // Breaks off every connection, as the end of the daemon does.
  void close() {
    if (!server_) return;
    auto ended = boost::asio::co_spawn(loop_, stop(), boost::asio::use_future);
    ended.get();
  }

  // Runs on the server's loop: what touches `control`.
  void on_loop(std::function<void()> work) {
    std::packaged_task<void()> task(std::move(work));
    auto done = task.get_future();
    boost::asio::post(loop_, [&task] { task(); });
    done.get();
  }
  void control(const std::function<void(FakeControl&)>& work) {
    on_loop([this, &work] { work(control_); });
  }

  [[nodiscard]] std::string socket() const { return directory_.path() + "/shiftd.sock"; }
  [[nodiscard]] std::string token_file() const { return directory_.path() + "/token"; }
  [[nodiscard]] std::string directory() const { return directory_.path(); }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] Clock& clock() { return *clock_; }

  static void write_private(const std::string& path, const std::string& text) {
    std::ofstream(path) << text << "\n";
    ::chmod(path.c_str(), 0600);
  }

 private:
  Task<> stop() {
    tasks_->stop();
    co_await tasks_->join();
    tasks_.reset();
    server_.reset();
  }

  TemporaryDirectory directory_;
  LoopThread thread_;
  boost::asio::io_context& loop_ = thread_.loop;
  std::unique_ptr<Clock> clock_;
  FakeControl control_;
  ApiLimits limits_;
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<TaskGroup> tasks_;
  int port_ = 0;
};

}  // namespace shiftd
