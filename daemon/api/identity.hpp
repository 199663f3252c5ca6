#pragma once

// Who asks. On the unix socket the file's permissions decide who may, and the kernel says who it is; over TCP a bearer
// token decides, and the name is what the caller says of itself.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include <boost/asio/thread_pool.hpp>

#include "daemon/base/failure.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

// A secret that can only be compared, in a time that does not depend on what was given.
class Token {
 public:
  // One line, at least 16 printable characters, in a file that others cannot read.
  // Fails with bad_input; not_found: no such file. No failure shows the content.
  static Result<Token> read(const std::string& path);

  // `authorization` is the header's value: "Bearer TOKEN".
  [[nodiscard]] bool matches(std::string_view authorization) const;

 private:
  explicit Token(std::string digest) : digest_(std::move(digest)) {}
  std::string digest_;
};

// Who may ask what over TCP.
struct Tokens {
  Token everything;
  std::optional<Token> desired;  // may only be told what hosts are to run: for the hosts themselves
};

// "alice via token", from what the header X-Shiftd-User says; "somebody via token" when it says nothing usable.
std::string name_via_token(std::string_view claimed);

// The user behind a connection to a unix socket. Fails with unavailable: the kernel does not say.
Result<uid_t> peer_uid(int unix_socket);

// User names by number. The system may ask a directory server for them, which takes its time: on a thread of its own,
// once for each user.
class UserNames {
 public:
  // "alice", or "uid 1234" when the system knows no name.
  Task<std::string> of(uid_t uid);

 private:
  std::map<uid_t, std::string> known_;
  boost::asio::thread_pool lookups_{1};
};

}  // namespace shiftd
