// What SSH costs us: one round against the hosts that tests/bench/ssh has started, told as one line of JSON.
//
//   ssh_bench sessions   a session to every host, all open at once, and commands over each: our CPU and memory
//   ssh_bench run        a command on every host, over connections that it opens
//   ssh_bench send       a file to every host
//   ssh_bench prepare    the same file, as a release
//
// Google's harness is of no use here: a round opens hundreds of connections, and a real sshd pays for each.

#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <CLI/CLI.hpp>

#include "daemon/io/task_group.hpp"
#include "daemon/release/tarball.hpp"
#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/on_a_loop.hpp"

namespace shiftd {
namespace {

struct Wishes {
  std::string hosts;  // file with a host a line: name, address, port
  SshOptions ssh;
  std::size_t at_once = 32;
  std::string file;    // what is brought to the hosts
  std::string digest;  // its sha256
  std::string path;    // where, on the host; {{host}} is its name
};

std::vector<SshTarget> read_targets(const std::string& path) {
  std::vector<SshTarget> targets;
  std::ifstream file(path);
  for (SshTarget target; file >> target.host >> target.address >> target.port;) targets.push_back(target);
  if (targets.empty()) throw std::runtime_error("no hosts in " + path);
  return targets;
}

struct Used {
  double wall = 0;  // seconds
  double cpu = 0;   // seconds of this process, in the kernel and out of it

  static Used now() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
    return {std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
            seconds(usage.ru_utime) + seconds(usage.ru_stime)};
  }
  Used operator-(const Used& before) const { return {wall - before.wall, cpu - before.cpu}; }
};

// A line of /proc/self/status: kilobytes, or a number.
std::size_t status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return std::stoul(line.substr(name.size() + 1));
  }
  throw std::runtime_error("no " + name + " in /proc/self/status");
}

// Bytes that malloc has given out.
std::size_t in_use() {
  auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

class Fleet final : public Hosts {
 public:
  explicit Fleet(const Wishes& wishes) : wishes_(wishes), connector_(make_ssh_connector(loop_.clock(), wishes.ssh)) {
    for (auto& target : read_targets(wishes.hosts)) {
      names_.push_back(target.host);
      executors_.emplace(target.host, connector_->to(target));
    }
  }

  Executor& executor(const std::string& host) override { return *executors_.at(host); }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  Clock& clock() { return loop_.clock(); }

  using Work = std::function<Task<Result<void>>(std::string host)>;
  // The work of every host, `at_once` of them at a time. Throws what the first failure says.
  Used each(std::size_t at_once, const Work& work) {
    auto before = Used::now();
    next_ = 0;
    ask(all(at_once, work));
    return Used::now() - before;
  }

  template <class T>
  T ask(Task<Result<T>> task) {
    auto done = loop_.run(std::move(task));
    if (!done) throw std::runtime_error(done.error().what);
    return std::move(done).value();
  }

  Task<Result<void>> open(std::string host) { co_return co_await executor(host).open(); }

  Task<Result<void>> run(std::string host) {
    auto result = co_await executor(host).run("echo ok");
    if (!result) co_return result.error();
    if (result->exit_status != 0 || result->out != "ok\n") co_return Failure{Errc::unexpected_reply, host + " said: " + result->out};
    co_return Result<void>{};
  }

  // A command that says much.
  Task<Result<void>> talk(std::string host) {
    auto result = co_await executor(host).run("head -c 200000 /dev/zero");
    if (!result) co_return result.error();
    if (result->out.size() != 200'000) co_return Failure{Errc::unexpected_reply, host + " said too little"};
    co_return Result<void>{};
  }

  Task<Result<void>> send(std::string host) {
    auto path = wishes_.path;
    if (auto at = path.find("{{host}}"); at != std::string::npos) path.replace(at, 8, host);
    auto result = co_await executor(host).send(wishes_.file, "cat >" + path, std::chrono::seconds(60));
    if (!result) co_return result.error();
    if (result->exit_status != 0) co_return Failure{Errc::unexpected_reply, host + " said: " + result->err};
    co_return Result<void>{};
  }

 private:
  Task<> worker(const Work& work, Result<void>& done) {
    while (next_ < names_.size() && done) {
      auto one = co_await work(names_[next_++]);
      if (!one) done = one;
    }
  }

  Task<Result<void>> all(std::size_t at_once, const Work& work) {
    Result<void> done;
    TaskGroup workers(loop_.context().get_executor());
    for (std::size_t number = 0; number < at_once; ++number) workers.start("worker", worker(work, done));
    co_await workers.join();
    co_return done;
  }

  const Wishes& wishes_;
  OnALoop loop_;
  std::unique_ptr<SshConnector> connector_;
  std::vector<std::string> names_;
  std::map<std::string, std::unique_ptr<Executor>> executors_;
  std::size_t next_ = 0;
};

// What the first session brings along (libraries that start, tables) is not counted.
std::string sessions(const Wishes& wishes) {
  Fleet fleet(wishes);
  auto run = [&](std::string host) { return fleet.run(std::move(host)); };
  auto open = [&](std::string host) { return fleet.open(std::move(host)); };
  Fleet first(wishes);
  first.ask(first.run(first.names().front()));
  auto count = fleet.names().size();
  auto rss = status("VmRSS");
  auto heap = in_use();
  auto opened = fleet.each(wishes.at_once, open);
  auto commanded = fleet.each(count, run);
  auto rss_each = static_cast<double>(status("VmRSS") - rss) / static_cast<double>(count);
  auto heap_each = static_cast<double>(in_use() - heap) / 1024 / static_cast<double>(count);
  auto again = fleet.each(count, run);
  fleet.each(wishes.at_once, [&](std::string host) { return fleet.talk(std::move(host)); });
  auto heap_later = static_cast<double>(in_use() - heap) / 1024 / static_cast<double>(count);
  auto each = [&](double seconds) { return 1000 * seconds / static_cast<double>(count); };
  return fmt::format(
      R"({{"sessions": {}, "threads": {}, "connect_ms": {:.3f}, "command_ms": {:.3f}, "command_again_ms": {:.3f}, "rss_kib": {:.1f}, "heap_kib": {:.1f}, "heap_later_kib": {:.1f}, "connect_s": {:.3f}, "command_s": {:.3f}}})",
      count, status("Threads"), each(opened.cpu), each(commanded.cpu), each(again.cpu), rss_each, heap_each, heap_later, opened.wall,
      commanded.wall);
}

std::string told(const Used& used) { return fmt::format(R"({{"seconds": {:.3f}, "cpu_s": {:.3f}}})", used.wall, used.cpu); }

std::string run(const Wishes& wishes) {
  Fleet fleet(wishes);
  return told(fleet.each(wishes.at_once, [&](std::string host) { return fleet.run(std::move(host)); }));
}

std::string send(const Wishes& wishes) {
  Fleet fleet(wishes);
  return told(fleet.each(wishes.at_once, [&](std::string host) { return fleet.send(std::move(host)); }));
}

std::string prepare(const Wishes& wishes) {
  Fleet fleet(wishes);
  ReleaseOptions options;
  options.path = wishes.path;
  auto releaser = make_tarball_releaser(fleet.clock(), options, fleet);
  // Before a plan is made the tarball's digest is proved, once for all hosts.
  auto release = fleet.ask(releaser->check_source({"bench", wishes.digest, wishes.file}));
  return told(fleet.each(wishes.at_once, [&](std::string host) -> Task<Result<void>> {
    // Named before: GCC 12 destroys what is made within a co_await twice.
    HostPlace place{std::move(host), {}};
    auto preparing = releaser->prepare(std::move(place), release);
    auto prepared = co_await std::move(preparing);
    if (!prepared) co_return prepared.error();
    co_return Result<void>{};
  }));
}

}  // namespace
}  // namespace shiftd

int main(int argc, char** argv) {
  shiftd::Wishes wishes;
  CLI::App app("One round against the hosts that tests/bench/ssh has started.", "ssh_bench");
  app.add_option("--hosts", wishes.hosts, "file with a host a line: name, address, port")->required();
  app.add_option("--user", wishes.ssh.user)->required();
  app.add_option("--key", wishes.ssh.key_file)->required();
  app.add_option("--known-hosts", wishes.ssh.known_hosts)->required();
  app.add_option("--at-once", wishes.at_once, "hosts at a time");
  app.add_option("--file", wishes.file, "what is brought to the hosts");
  app.add_option("--sha256", wishes.digest, "of that file");
  app.add_option("--path", wishes.path, "where it goes; {{host}} is the host's name");
  const std::map<std::string, std::string (*)(const shiftd::Wishes&)> rounds = {
      {"sessions", shiftd::sessions}, {"run", shiftd::run}, {"send", shiftd::send}, {"prepare", shiftd::prepare}};
  for (const auto& [name, round] : rounds) app.add_subcommand(name)->fallthrough();
  app.require_subcommand(1);
  CLI11_PARSE(app, argc, argv);
  // Hundreds of hosts that share this machine are slower than one that has its own.
  wishes.ssh.connect_timeout = std::chrono::seconds(60);
  try {
    std::cout << rounds.at(app.get_subcommands().front()->get_name())(wishes) << "\n";
  } catch (const std::exception& error) {
    std::cerr << "ssh_bench: " << error.what() << "\n";
    return 1;
  }
}
