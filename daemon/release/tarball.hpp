#pragma once

// The releaser for tarballs: code comes as a .tar.gz with its sha256 and is swapped in by a symbolic link.

#include <memory>
#include <string>
#include <vector>

#include "daemon/io/clock.hpp"
#include "daemon/release/releaser.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

struct ReleaseOptions {
  std::string path;             // on the host: "/srv/web"; placeholders allowed
  std::string restart;          // command on the host that restarts the service and returns
  std::string version_url;      // GET answers the running release's version or digest as text; empty: version_command
  std::string version_command;  // command on the host that prints it
  Duration restart_limit{std::chrono::minutes(2)};
  Duration prove_limit{std::chrono::seconds(30)};
  int keep = 5;  // complete releases left on the host, besides the running one and the previous

  bool operator==(const ReleaseOptions&) const = default;
};

// Gives the executor of a host; it outlives the releaser.
class Hosts {
 public:
  virtual ~Hosts() = default;
  virtual Executor& executor(const std::string& host) = 0;
};

std::unique_ptr<Releaser> make_tarball_releaser(Clock& clock, ReleaseOptions options, Hosts& hosts);

}  // namespace shiftd
