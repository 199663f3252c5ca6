#include "tests/fakes/haproxy_server.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include "tests/fakes/process.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

// Empty, when nobody answers.
std::string ask(const std::string& path, const std::string& line) {
  asio::io_context loop;
  asio::local::stream_protocol::socket socket(loop);
  boost::system::error_code error;
  socket.connect({path}, error);
  if (error) return "";
  asio::write(socket, asio::buffer(line + "\n"), error);
  socket.shutdown(asio::socket_base::shutdown_send, error);
  asio::streambuf reply;
  asio::read(socket, reply, error);
  return {asio::buffers_begin(reply.data()), asio::buffers_end(reply.data())};
}

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> out;
  std::istringstream stream(line);
  for (std::string field; std::getline(stream, field, ',');) out.push_back(field);
  return out;
}

}  // namespace

const char* const haproxy_log_format = R"({"t":%Ts.%ms,"be":"%b","srv":"%s","st":%ST,"term":"%ts","Tr":%Tr,"Ta":%Ta,"ret":"%rc"})";

void pause_between_looks() { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }

HaproxyServer::HaproxyServer(HaproxyServerOptions options) : options_(std::move(options)) {
  std::string name = "/tmp/shiftd-haproxy-XXXXXX";
  if (!mkdtemp(name.data())) throw std::runtime_error("cannot make a directory in /tmp");
  directory_ = name;
  // Another program may take a free port before HAProxy binds it: then with others.
  for (int attempt = 0; attempt < 5; ++attempt) {
    http_port_ = free_port();
    tcp_port_ = free_port();
    write_configuration();
    if (try_to_start()) return;
  }
  std::ifstream log(directory_ / "log");
  throw std::runtime_error("HAProxy does not start: " + std::string(std::istreambuf_iterator<char>(log), {}));
}

HaproxyServer::~HaproxyServer() {
  stop();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void HaproxyServer::write_configuration() {
  std::ofstream out(directory_ / "haproxy.cfg");
  out << "global\n  stats socket " << admin_socket() << " mode 600 level admin\n  stats socket " << user_socket()
      << " mode 600 level user\n  stats socket ipv4@" << tcp_socket() << " level admin\n  stats timeout 10s\n";
  if (!options_.log_socket.empty()) out << "  log " << options_.log_socket << " len 4096 format raw local0\n";
  out << "defaults\n  mode http\n  retries 0\n  timeout connect 1s\n  timeout client 10s\n  timeout server 10s\n";
  if (!options_.log_socket.empty()) out << "  log global\n";
  out << "frontend web\n  bind 127.0.0.1:" << http_port_ << "\n  default_backend app\n";
  if (!options_.log_socket.empty()) out << "  log-format '" << haproxy_log_format << "'\n";
  out << "backend app\n";
  std::istringstream lines(options_.backend);
  for (std::string line; std::getline(lines, line);) out << "  " << line << "\n";
  for (const auto& server : options_.servers) {
    out << "  server " << server.name << " 127.0.0.1:" << server.port << " " << server.settings << "\n";
  }
}

bool HaproxyServer::try_to_start() {
  auto configuration = (directory_ / "haproxy.cfg").string();
  auto log = (directory_ / "log").string();
  auto master = master_socket();
  auto parent = getpid();
  auto child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    int out = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    // A listening socket of the test's would stay open in there after the test has closed it.
    close_range(STDERR_FILENO + 1, ~0U, 0);
    execlp("haproxy", "haproxy", "-W", "-S", master.c_str(), "-f", configuration.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  if (child < 0) return false;
  bool ended = false;
  eventually([&] {
    ended = waitpid(child, nullptr, WNOHANG) == child;
    return ended || (worker() != 0 && !ask(admin_socket(), "show info").empty());
  });
  if (ended) return false;
  master_ = child;
  return true;
}

void HaproxyServer::start() {
  if (!try_to_start()) throw std::runtime_error("HAProxy does not start again");
}

void HaproxyServer::stop() {
  if (master_ == 0) return;
  thaw();
  kill(master_, SIGTERM);
  if (!eventually([&] { return waitpid(master_, nullptr, WNOHANG) == master_; })) {
    kill(master_, SIGKILL);
    waitpid(master_, nullptr, 0);
  }
  master_ = 0;
}

void HaproxyServer::reload() {
  auto old = worker();
  kill(master_, SIGUSR2);
  // For a moment both workers take connections: ours alone answers once the old one has let go.
  int answers = 0;
  bool taken_over = eventually([&] {
    auto now = worker();
    bool is_new = now != 0 && now != old && command("show info").find("\nPid: " + std::to_string(now) + "\n") != std::string::npos;
    answers = is_new ? answers + 1 : 0;
    return answers == 10;
  });
  if (!taken_over) throw std::runtime_error("HAProxy did not reload");
}

void HaproxyServer::freeze() {
  // Never pid 0: that would be ourselves.
  if (!eventually([&] { return (frozen_ = worker()) != 0; })) throw std::runtime_error("HAProxy's master knows no worker");
  shiftd::freeze(frozen_);
}

void HaproxyServer::thaw() {
  if (frozen_ != 0) kill(frozen_, SIGCONT);
  frozen_ = 0;
}

pid_t HaproxyServer::worker() const {
  std::istringstream lines(ask(master_socket(), "show proc"));
  bool workers = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#"))
      workers = line.starts_with("# workers");
    else if (workers && !line.empty())
      return std::stoi(line);
  }
  return 0;
}

std::string HaproxyServer::command(const std::string& line) const { return ask(admin_socket(), line); }

std::string HaproxyServer::stat(const std::string& server, const std::string& column) const {
  std::istringstream lines(command("show stat app 6 -1"));
  std::string line;
  std::getline(lines, line);
  auto header = fields(line.substr(2));
  while (std::getline(lines, line)) {
    auto row = fields(line);
    if (row.size() < 2 || row[1] != server) continue;
    for (std::size_t at = 0; at < header.size() && at < row.size(); ++at) {
      if (header[at] == column) return row[at];
    }
  }
  return "?";
}

}  // namespace shiftd
