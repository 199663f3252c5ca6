#pragma once

// Who a host is: the keys that a known_hosts file holds for it, in OpenSSH's format (man sshd, SSH_KNOWN_HOSTS FILE FORMAT).
//
// Read by us and not by libssh2, whose reader passes over `@revoked` lines and patterns without a word: a key that was
// revoked would be accepted. `@cert-authority` lines are passed over: libssh2 1.10 knows no certificates.
// Pure: no I/O, so that tables and fuzzers reach all of it.

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"

namespace shiftd {

class KnownHosts {
 public:
  enum class Verdict {
    known,    // this very key is there
    unknown,  // nothing is there for this host and this kind of key
    changed,  // another key of this kind is there
    revoked,  // the file says never to trust this key
  };

  // What the file's text says of one host. Lines that cannot be read are passed over, as OpenSSH does. A fleet's file is read
  // for each of its hosts: a line that is of another host costs no more than the look at its names.
  static KnownHosts of(std::string_view address, int port, std::string_view text);

  // `key_blob` is the host's public key as it came over the wire.
  [[nodiscard]] Verdict check(std::string_view key_type, std::string_view key_blob) const;

  // The kinds of key known for the host, in the file's order: "ssh-ed25519".
  [[nodiscard]] std::vector<std::string> key_types() const;

 private:
  struct Line {
    std::string key_type;
    std::string key_blob;
    bool with_port = false;  // under the host's own name; else under the one that it would have at port 22
    bool revoked = false;
  };
  std::vector<Line> lines_;
};

// The name that known_hosts keeps a host under: "mw1", or "[mw1]:2222" when the port is not 22.
std::string known_hosts_name(std::string_view address, int port);

// What a person reads when a host's key is not accepted: the fingerprint, and the command that would accept it.
Failure host_key_refused(KnownHosts::Verdict verdict, std::string_view address, int port, std::string_view key_type,
                         std::string_view key_blob, std::string_view file);

}  // namespace shiftd
