#pragma once

// The two questions that we ask an ssh-agent (or keyholder's filter in front of one): which keys, and a signature.
//
// Our own messages (draft-miller-ssh-agent) over a unix socket on the loop: libssh2's agent calls block it. Nothing is
// ever added to, removed from or forwarded through the agent. One connection per question.

#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

struct AgentKey {
  std::string blob;     // the public key as it goes over the wire
  std::string comment;  // what people call it
};

// The kind of key that a blob begins with: "ssh-ed25519"; empty when it is no key.
std::string key_type_of(const std::string& blob);

// Fails with: unreachable (no agent at that socket), unexpected_reply, refused.
Task<Result<std::vector<AgentKey>>> agent_keys(std::string socket);

// The bare signature, without its algorithm's name, as libssh2's sign callback wants it.
// Fails as agent_keys(); refused: the agent would not sign.
Task<Result<std::string>> agent_sign(std::string socket, std::string key_blob, std::string data);

}  // namespace shiftd
