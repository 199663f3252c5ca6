#include "tests/fakes/sshd_server.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace shiftd {
namespace {

void make_key(const std::string& file) {
  std::filesystem::remove(file);
  if (Process::run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "shiftd-test", "-f", file}) != 0) {
    throw std::runtime_error("ssh-keygen " + file);
  }
}

bool answers(int port) {
  auto fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return connected;
}

// The pids whose parent is `parent`.
std::vector<int> children_of(int parent) {
  std::ifstream list("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
  std::vector<int> children;
  for (int pid = 0; list >> pid;) children.push_back(pid);
  return children;
}

}  // namespace

std::string user_name() {
  auto* entry = getpwuid(getuid());
  return entry == nullptr ? "root" : entry->pw_name;
}

SshdServer::SshdServer(Options options) : options_(std::move(options)), port_(free_port()) {
  chmod(dir_.path().c_str(), 0755);
  make_key(file("host_key"));
  make_key(file("user_key"));
  write_text(file("authorized_keys"), read_text(file("user_key.pub")));
  // Root's sshd gives up its rights to a user of its own in this directory.
  if (geteuid() == 0) std::filesystem::create_directories("/run/sshd");
  std::ostringstream config;
  config << "ListenAddress 127.0.0.1\nPort " << port_ << "\nHostKey " << file("host_key") << "\nPidFile none\n"
         << "AuthorizedKeysFile " << file("authorized_keys") << "\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
         << "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups " << options_.max_startups
         << "\n"
         // A home without the login files of whoever runs the test.
         << "SetEnv HOME=" << file("home") << " " << options_.environment << "\n"
         << options_.more_config << "\n";
  std::filesystem::create_directories(file("home"));
  write_text(file("sshd_config"), config.str());
  start();
  write_text(file("known_hosts"), "[127.0.0.1]:" + std::to_string(port_) + " " + read_text(file("host_key.pub")));
}

void SshdServer::start() {
  process_ =
      std::make_unique<Process>(Process::Start{.command = {"/usr/sbin/sshd", "-D", "-f", file("sshd_config"), "-E", file("sshd.log")},
                                               .environment = {},
                                               .output = file("sshd.out"),
                                               .file_size_most = options_.file_size_most});
  auto settled = eventually([this] { return answers(port_) || !process_->running(); });
  if (!settled || !process_->running()) throw std::runtime_error("sshd does not start: " + log() + read_text(file("sshd.out")));
}

SshdServer::~SshdServer() { kill_sessions(); }

SshOptions SshdServer::client() const {
  SshOptions options;
  options.user = user_name();
  options.key_file = file("user_key");
  options.known_hosts = file("known_hosts");
  return options;
}

std::vector<int> SshdServer::sessions() const { return process_ ? children_of(process_->pid()) : std::vector<int>(); }

void SshdServer::kill_sessions() const {
  for (auto pid : sessions()) {
    for (auto child : children_of(pid)) {
      kill(child, SIGCONT);
      // An unprivileged child serves the connection when root's sshd has split itself; commands are its children.
      if (read_text("/proc/" + std::to_string(child) + "/comm") == "sshd\n") kill(child, SIGKILL);
    }
    kill(pid, SIGCONT);
    kill(pid, SIGKILL);
  }
}

void SshdServer::each(int signal) const {
  process_->signal(signal);
  for (auto pid : sessions()) {
    for (auto child : children_of(pid)) kill(child, signal);
    kill(pid, signal);
  }
}

void SshdServer::freeze() const { each(SIGSTOP); }

void SshdServer::thaw() const { each(SIGCONT); }

void SshdServer::power_off() {
  kill_sessions();
  process_.reset();
}

void SshdServer::restart() {
  power_off();
  power_on();
}

void SshdServer::change_host_key() {
  make_key(file("host_key"));
  restart();
}

}  // namespace shiftd
