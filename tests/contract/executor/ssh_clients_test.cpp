// Hosts of all kinds, and which of the two clients reaches them: the table of docs/hosts.md.

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/keys.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

Result<CommandResult> greet(SshOptions options, SshTarget target) {
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), std::move(options));
  auto host = connector->to(std::move(target));
  return loop.run(host->run("echo hello"));
}

Result<CommandResult> greet_with(SshClient client, SshOptions options, const SshTarget& target) {
  options.client = client;
  return greet(std::move(options), target);
}

void expect_greeting(const Result<CommandResult>& result) {
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "hello\n");
}

// Refused by libssh2 with the setting that helps, and served by openssh.
void expect_openssh_only(const SshOptions& options, const SshTarget& target) {
  auto refused = greet_with(SshClient::libssh2, options, target);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("client: openssh"), std::string::npos) << refused.error();
  expect_greeting(greet_with(SshClient::openssh, options, target));
}

TEST(SshClients, AHostOfNothingButChacha20IsServedByOpenssh) {
  SshdServer sshd({.max_startups = "100", .more_config = "Ciphers chacha20-poly1305@openssh.com", .file_size_most = 0});
  expect_openssh_only(sshd.client(), sshd.target());
}

TEST(SshClients, AHostOfNothingButGcmIsServedByOpenssh) {
  SshdServer sshd({.max_startups = "100", .more_config = "Ciphers aes256-gcm@openssh.com", .file_size_most = 0});
  expect_openssh_only(sshd.client(), sshd.target());
}

TEST(SshClients, AHostOfEncryptThenMacIsServedByOpenssh) {
  SshdServer sshd({.max_startups = "100",
                   .more_config = "MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com\nCiphers aes256-ctr",
                   .file_size_most = 0});
  expect_openssh_only(sshd.client(), sshd.target());
}

TEST(SshClients, AHostWithAnRsaKeyAndNoOtherIsServedByOpenssh) {
  TemporaryDirectory dir;
  auto rsa = new_key(dir, "rsa", "rsa");
  SshdServer sshd(
      {.max_startups = "100", .more_config = "HostKey " + rsa + "\nHostKeyAlgorithms rsa-sha2-512,rsa-sha2-256", .file_size_most = 0});
  auto options = sshd.client();
  write_text(options.known_hosts, "[127.0.0.1]:" + std::to_string(sshd.port()) + " " + read_text(rsa + ".pub"));
  expect_openssh_only(options, sshd.target());
}

TEST(SshClients, AnRsaKeyOfOursLogsInByOpenssh) {
  TemporaryDirectory dir;
  SshdServer sshd;
  auto options = sshd.client();
  options.key_file = new_key(dir, "rsa", "rsa");
  write_text(sshd.file("authorized_keys"), read_text(options.key_file + ".pub"));
  expect_openssh_only(options, sshd.target());
  // The same from an agent.
  Agent agent(options.key_file);
  options.key_file.clear();
  options.agent_socket = agent.socket();
  expect_openssh_only(options, sshd.target());
}

TEST(SshClients, AHostBehindAJumpIsReachedByOpenssh) {
  SshdServer jump;
  SshdServer sshd;
  auto options = sshd.client();
  options.client = SshClient::openssh;
  options.jump = user_name() + "@127.0.0.1:" + std::to_string(jump.port());
  // The jump is logged in to with the same key, and its host key is checked like any other.
  write_text(jump.file("authorized_keys"), read_text(sshd.file("user_key.pub")));
  auto unknown = greet(options, sshd.target());
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::unauthenticated) << unknown.error();
  write_text(options.known_hosts, read_text(options.known_hosts) + read_text(jump.file("known_hosts")));
  expect_greeting(greet(options, sshd.target()));
  EXPECT_NE(jump.log().find("Accepted publickey"), std::string::npos);

  auto nobody = sshd.target();
  nobody.port = free_port();
  auto unreachable = greet(options, nobody);
  ASSERT_FALSE(unreachable);
  EXPECT_EQ(unreachable.error().code, Errc::unreachable) << unreachable.error();
}

class EitherClient : public testing::TestWithParam<SshClient> {};

INSTANTIATE_TEST_SUITE_P(Clients, EitherClient, testing::Values(SshClient::libssh2, SshClient::openssh),
                         [](const auto& client) { return client.param == SshClient::libssh2 ? "Libssh2" : "Openssh"; });

TEST_P(EitherClient, AHostMayHaveAUserOfItsOwn) {
  SshdServer sshd;
  auto options = sshd.client();
  auto target = sshd.target();
  options.user = "shiftd-nobody-of-that-name";
  target.user = user_name();
  expect_greeting(greet_with(GetParam(), options, target));
  std::swap(options.user, target.user);
  auto refused = greet_with(GetParam(), options, target);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthenticated);
  EXPECT_NE(refused.error().what.find(target.user), std::string::npos) << refused.error();
}

TEST_P(EitherClient, AnAgentBehindAFilterThatPassesListAndSignOnlyIsEnough) {
  SshdServer sshd;
  Agent agent(sshd.file("user_key"));
  auto listen = sshd.file("filter");
  auto log = sshd.file("filter.log");
  Process filter({.command = {"python3", std::string(SHIFTD_SOURCE_DIR) + "/tests/fakes/agent_filter.py", listen, agent.socket(), log},
                  .environment = {},
                  .output = sshd.file("filter.out")});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(listen); })) << read_text(sshd.file("filter.out"));
  auto options = sshd.client();
  options.agent_socket = listen;
  options.key_file = sshd.file("user_key.pub");
  expect_greeting(greet_with(GetParam(), options, sshd.target()));
  if (GetParam() == SshClient::libssh2) {
    std::istringstream asked(read_text(log));
    std::set<int> kinds;
    for (int kind = 0; asked >> kind;) kinds.insert(kind);
    EXPECT_EQ(kinds, (std::set<int>{11, 13})) << "nothing but the list and a signature is asked of an agent";
  }
}

// The command lines of this process's children.
std::string children() {
  std::ifstream list("/proc/self/task/" + std::to_string(getpid()) + "/children");
  std::string lines;
  for (int pid = 0; list >> pid;) lines += read_text("/proc/" + std::to_string(pid) + "/cmdline") + "\n";
  return lines;
}

TEST(SshOfOpenssh, ItsChildIsToldNothingSecretAndEndsWithItsConnection) {
  SshdServer sshd;
  OnALoop loop;
  auto options = sshd.client();
  options.client = SshClient::openssh;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->run("true # a word of a command", "a word of its input")));
  auto running = children();
  EXPECT_NE(running.find("ControlPersist=no"), std::string::npos) << running;
  for (const auto* word : {"a word of", "user_key"}) EXPECT_EQ(running.find(word), std::string::npos) << running;
  host->close();
  EXPECT_TRUE(eventually([&] {
    loop.context().restart();
    loop.context().poll();
    return children().find("ControlPersist=no") == std::string::npos;
  }));
}

TEST(SshOfOpenssh, AChildThatIsKilledIsReplacedByTheNextCall) {
  SshdServer sshd;
  OnALoop loop;
  auto options = sshd.client();
  options.client = SshClient::openssh;
  auto connector = make_ssh_connector(loop.clock(), options);
  auto host = connector->to(sshd.target());
  ASSERT_TRUE(loop.run(host->open()));
  std::ifstream list("/proc/self/task/" + std::to_string(getpid()) + "/children");
  for (int pid = 0; list >> pid;) {
    if (read_text("/proc/" + std::to_string(pid) + "/comm") == "ssh\n") kill(pid, SIGKILL);
  }
  auto result = loop.run(host->run("echo again"));
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->out, "again\n");
}

TEST(SshOfOpenssh, APathThatSshConfigCannotHoldIsBadInput) {
  SshdServer sshd;
  auto options = sshd.client();
  options.client = SshClient::openssh;
  options.known_hosts = sshd.file("known\"hosts");
  write_text(options.known_hosts, "");
  auto refused = greet(options, sshd.target());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::bad_input) << refused.error();
  // A percent sign and a blank, which ssh would expand and split, are meant.
  options.known_hosts = sshd.file("100% known");
  write_text(options.known_hosts, read_text(sshd.file("known_hosts")));
  expect_greeting(greet(options, sshd.target()));
}

}  // namespace
}  // namespace shiftd
