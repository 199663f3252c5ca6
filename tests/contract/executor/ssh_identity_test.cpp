// Who the host is, and who we are: host keys and log-in keys against the real sshd and the real ssh-agent.

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/ssh/ssh.hpp"
#include "tests/contract/executor/keys.hpp"
#include "tests/contract/executor/on_a_loop.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/sshd_server.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

class SshIdentity : public testing::TestWithParam<SshClient> {
 protected:
  static SshOptions client_of(const SshdServer& sshd) {
    auto options = sshd.client();
    options.client = GetParam();
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(Clients, SshIdentity, testing::Values(SshClient::libssh2, SshClient::openssh),
                         [](const auto& client) { return client.param == SshClient::libssh2 ? "Libssh2" : "Openssh"; });

// What opening a connection with these options comes to.
Result<void> open_with(SshdServer& sshd, SshOptions options) {
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), std::move(options));
  auto host = connector->to(sshd.target());
  return loop.run(host->open());
}

void expect_unauthenticated(const Result<void>& opened, std::initializer_list<std::string> words) {
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unauthenticated) << opened.error();
  for (const auto& word : words) EXPECT_NE(opened.error().what.find(word), std::string::npos) << word << " in: " << opened.error();
}

TEST_P(SshIdentity, AnUnknownHostIsRefusedWithTheCommandThatAcceptsIt) {
  SshdServer sshd;
  auto options = client_of(sshd);
  write_text(options.known_hosts, "other.example ssh-ed25519 AAAA\n");
  auto port = std::to_string(sshd.port());
  expect_unauthenticated(open_with(sshd, options), {"unknown host key", "[127.0.0.1]:" + port, "ssh-keyscan -p " + port,
                                                    " '127.0.0.1' >> '" + options.known_hosts + "'"});
}

TEST(SshIdentityOfLibssh2, AnUnknownHostIsRefusedWithItsFingerprint) {
  SshdServer sshd;
  auto options = sshd.client();
  write_text(options.known_hosts, "");
  expect_unauthenticated(open_with(sshd, options), {"SHA256:", "-t ed25519"});
}

TEST_P(SshIdentity, TheCommandThatAcceptsAHostDoesSo) {
  SshdServer sshd;
  auto options = client_of(sshd);
  write_text(options.known_hosts, "");
  auto refused = open_with(sshd, options);
  ASSERT_FALSE(refused);
  auto command = refused.error().what.substr(refused.error().what.find("ssh-keyscan"));
  ASSERT_EQ(Process::run({"sh", "-c", command}), 0) << command;
  auto opened = open_with(sshd, options);
  EXPECT_TRUE(opened) << opened.error();
}

TEST_P(SshIdentity, AHostInHashedKnownHostsIsKnown) {
  SshdServer sshd;
  auto options = client_of(sshd);
  ASSERT_EQ(Process::run({"ssh-keygen", "-H", "-f", options.known_hosts}), 0);
  ASSERT_EQ(read_text(options.known_hosts).find("127.0.0.1"), std::string::npos);
  auto opened = open_with(sshd, options);
  EXPECT_TRUE(opened) << opened.error();
}

TEST_P(SshIdentity, AChangedHostKeyIsRefusedLoudly) {
  SshdServer sshd;
  sshd.change_host_key();
  expect_unauthenticated(open_with(sshd, client_of(sshd)), {"HOST KEY HAS CHANGED", "SHA256:", "ssh-keygen -f"});
}

TEST_P(SshIdentity, ARevokedHostKeyIsRefusedEvenWhenItIsKnown) {
  SshdServer sshd;
  auto options = client_of(sshd);
  auto key = read_text(sshd.file("host_key.pub"));
  write_text(options.known_hosts, read_text(options.known_hosts) + "@revoked * " + key);
  expect_unauthenticated(open_with(sshd, options), {"REVOKED"});
}

TEST_P(SshIdentity, TheKindOfHostKeyThatIsKnownIsAskedFor) {
  TemporaryDirectory dir;
  auto second = new_key(dir, "ecdsa", "ecdsa");
  SshdServer sshd({.max_startups = "100", .more_config = "HostKey " + second, .file_size_most = 0});
  auto options = client_of(sshd);
  write_text(options.known_hosts, "[127.0.0.1]:" + std::to_string(sshd.port()) + " " + read_text(second + ".pub"));
  auto opened = open_with(sshd, options);
  EXPECT_TRUE(opened) << opened.error();
}

TEST_P(SshIdentity, AMissingKnownHostsFileIsBadInput) {
  SshdServer sshd;
  auto options = client_of(sshd);
  options.known_hosts = "/nonexistent/known_hosts";
  auto opened = open_with(sshd, options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::bad_input);
  EXPECT_NE(opened.error().what.find("/nonexistent/known_hosts"), std::string::npos) << opened.error();
}

TEST_P(SshIdentity, AKeyThatTheHostDoesNotTakeIsNamed) {
  SshdServer sshd;
  TemporaryDirectory dir;
  auto options = client_of(sshd);
  options.key_file = new_key(dir, "stranger");
  expect_unauthenticated(open_with(sshd, options), {"no key accepted", options.user, options.key_file});
}

TEST_P(SshIdentity, AKeyFileThatIsNoneIsBadInput) {
  SshdServer sshd;
  for (const auto& content : {std::string("no key at all"), std::string()}) {
    auto options = client_of(sshd);
    options.key_file = sshd.file("not-a-key");
    write_text(options.key_file, content);
    auto opened = open_with(sshd, options);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::bad_input) << opened.error();
  }
}

TEST_P(SshIdentity, LogsInWithAKeyOfTheAgent) {
  SshdServer sshd;
  Agent agent(sshd.file("user_key"));
  auto options = client_of(sshd);
  options.key_file.clear();
  options.agent_socket = agent.socket();
  auto opened = open_with(sshd, options);
  EXPECT_TRUE(opened) << opened.error();
}

TEST_P(SshIdentity, FindsTheRightOneAmongTheAgentsKeys) {
  SshdServer sshd;
  TemporaryDirectory dir;
  Agent agent("");
  agent.add(new_key(dir, "first"));
  agent.add(new_key(dir, "second", "ecdsa"));
  agent.add(sshd.file("user_key"));
  auto options = client_of(sshd);
  options.key_file.clear();
  options.agent_socket = agent.socket();
  auto opened = open_with(sshd, options);
  EXPECT_TRUE(opened) << opened.error();
}

TEST_P(SshIdentity, APublicKeyFilePicksTheAgentsKeyAmongMoreThanTheHostLetsUsTry) {
  SshdServer sshd;
  TemporaryDirectory dir;
  Agent agent("");
  for (int i = 0; i < 8; ++i) agent.add(new_key(dir, "key" + std::to_string(i)));
  agent.add(sshd.file("user_key"));
  auto options = client_of(sshd);
  options.agent_socket = agent.socket();
  options.key_file.clear();
  expect_unauthenticated(open_with(sshd, options), {"no key accepted"});
  options.key_file = sshd.file("user_key.pub");
  auto opened = open_with(sshd, options);
  EXPECT_TRUE(opened) << opened.error();
}

// As ssh-keygen prints it, of the public half of `key_file`.
std::string fingerprint_of(const TemporaryDirectory& dir, const std::string& key_file) {
  auto out = dir.path() + "/fingerprint";
  EXPECT_EQ(Process::run({"sh", "-c", "ssh-keygen -lf '" + key_file + ".pub' >'" + out + "'"}), 0);
  auto text = read_text(out);
  auto from = text.find("SHA256:");
  return text.substr(from, text.find(' ', from) - from);
}

// The executor's key before it was opened, while it is open, and after it was closed.
std::vector<std::string> keys_of(SshdServer& sshd, SshOptions options) {
  OnALoop loop;
  auto connector = make_ssh_connector(loop.clock(), std::move(options));
  auto host = connector->to(sshd.target());
  std::vector<std::string> keys{host->key()};
  auto opened = loop.run(host->open());
  EXPECT_TRUE(opened) << opened.error();
  keys.push_back(host->key());
  host->close();
  keys.push_back(host->key());
  return keys;
}

TEST_P(SshIdentity, TheKeyThatTheHostTookIsToldWhileThereIsAConnection) {
  SshdServer sshd;
  TemporaryDirectory dir;
  auto options = client_of(sshd);
  auto fingerprint = fingerprint_of(dir, options.key_file);
  const std::vector<std::string> wanted{"", fingerprint, ""};
  EXPECT_EQ(keys_of(sshd, options), wanted);

  // The agent's second. Its comment is somebody else's word.
  Agent agent(new_key(dir, "stranger"));
  auto commented = dir.path() + "/commented";
  ASSERT_EQ(Process::run({"ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-C", "a SHA256:made-up one", "-f", commented}), 0);
  agent.add(commented);
  write_text(sshd.file("authorized_keys"), read_text(commented + ".pub"));
  options.key_file.clear();
  options.agent_socket = agent.socket();
  EXPECT_EQ(keys_of(sshd, options)[1], fingerprint_of(dir, commented));
}

// Which is how ssh-keygen wrote keys until 2018.
TEST_P(SshIdentity, OfAKeyFileInPemFormOnlySshTellsTheFingerprint) {
  SshdServer sshd;
  TemporaryDirectory dir;
  auto options = client_of(sshd);
  options.key_file = dir.path() + "/pem";
  ASSERT_EQ(Process::run({"ssh-keygen", "-q", "-t", "ecdsa", "-m", "PEM", "-N", "", "-f", options.key_file}), 0);
  write_text(sshd.file("authorized_keys"), read_text(options.key_file + ".pub"));
  EXPECT_EQ(keys_of(sshd, options)[1], GetParam() == SshClient::openssh ? fingerprint_of(dir, options.key_file) : "");
}

TEST_P(SshIdentity, AKeyFileWithAPassphraseLogsNobodyIn) {
  SshdServer sshd;
  TemporaryDirectory dir;
  auto options = client_of(sshd);
  options.key_file = dir.path() + "/locked";
  ASSERT_EQ(Process::run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "a secret", "-f", options.key_file}), 0);
  write_text(sshd.file("authorized_keys"), read_text(options.key_file + ".pub"));
  auto opened = open_with(sshd, options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, GetParam() == SshClient::openssh ? Errc::unauthenticated : Errc::bad_input) << opened.error();
}

TEST_P(SshIdentity, AFrozenAgentCostsTheTimeoutAndNotTheLoop) {
  SshdServer sshd;
  Agent agent(sshd.file("user_key"));
  agent.process().freeze();
  auto options = client_of(sshd);
  options.key_file.clear();
  options.agent_socket = agent.socket();
  options.connect_timeout = 400ms;
  auto opened = open_with(sshd, options);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unreachable) << opened.error();
}

TEST_P(SshIdentity, AnAgentThatIsNotThereIsSaidSo) {
  SshdServer sshd;
  auto options = client_of(sshd);
  options.key_file.clear();
  options.agent_socket = sshd.file("no-agent");
  auto opened = open_with(sshd, options);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("ssh-agent at " + options.agent_socket), std::string::npos) << opened.error();
}

TEST_P(SshIdentity, WithoutAnyKeyNothingIsTried) {
  SshdServer sshd;
  auto options = client_of(sshd);
  options.key_file.clear();
  expect_unauthenticated(open_with(sshd, options), {"no key to log in with"});
}

}  // namespace
}  // namespace shiftd
