#pragma once

// With libssh2 from a name to an authenticated session: resolve, connect, speak SSH, know the host, be known.

#include <memory>

#include "daemon/base/failure.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"
#include "daemon/ssh/connection.hpp"
#include "daemon/ssh/ssh.hpp"

namespace shiftd {

// Tries for `connect_timeout`, again and again only while sshd closes the connection before it has spoken (it does so at
// random when it has too many unauthenticated ones: MaxStartups).
// Fails with: unreachable, nothing was done; unauthenticated; bad_input (key or known_hosts file unusable).
Task<Result<std::shared_ptr<Connection>>> connect_session(Clock& clock, const SshOptions& options, SshTarget target);

}  // namespace shiftd
