#pragma once

// Which keys we log in with.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/agent.hpp"
#include "daemon/ssh/ssh.hpp"

namespace shiftd {

// Fails with bad_input.
Result<std::string> read_file(const std::string& path);

// A public key file names the one key of the agent that is meant.
bool is_public_key_file(const std::string& path);

// The public half of a private key, as it goes over the wire, from the text of its file. Nothing when that is not written in
// OpenSSH's own format, which holds it in the clear.
std::optional<std::string> public_half(std::string_view private_key);

struct Ed25519Key {
  std::string blob;  // the public half, as it goes over the wire
  std::string seed;  // the private one
};

// The key in the text of a private key's file, when it is an ed25519 key in OpenSSH's own format and has no passphrase.
std::optional<Ed25519Key> ed25519_key(std::string_view private_key);

// The agent's keys worth trying: only the named one when `key_file` is a public key; RSA last, because libssh2 1.10 signs
// with SHA-1 only, which sshd refuses since 8.8.
// Fails as agent_keys(), and with unauthenticated when the agent does not hold the named one.
Task<Result<std::vector<AgentKey>>> keys_to_try(const SshOptions& options);

Failure no_key_at_all();

}  // namespace shiftd
