#pragma once

// What the service file says of releases.

#include <chrono>
#include <optional>
#include <string>

#include "daemon/base/time.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

// A release that commands of the service's own bring to a host: a package, a checkout, a configuration management's run.
struct CustomSteps {
  enum class Where { host, shiftd };

  std::string run;            // brings the host to {{release}}
  std::string revert;         // brings it back to {{release}}, which it had before
  std::string prepare;        // while the host still serves, may be repeated: fetches what `run` will need; empty: nothing
  std::string dry_run;        // prints what `run` would change, and changes nothing; empty: not asked
  Where where = Where::host;  // on whose machine all of them run

  bool operator==(const CustomSteps&) const = default;
};

struct ReleaseOptions {
  std::string path;             // on the host: "/srv/web"; placeholders allowed
  std::string restart;          // command on the host that restarts the service and returns
  std::string version_url;      // GET answers the running release's version or digest as text; empty: version_command
  std::string version_command;  // command on the host that prints it
  Duration restart_limit{std::chrono::minutes(2)};
  Duration prove_limit{std::chrono::seconds(30)};
  int keep = 5;                                             // complete releases left on the host, besides the running one and the previous
  std::optional<CustomSteps> custom;                        // none: tarballs
  std::string reboot{};                                     // command on the host that reboots it, and need not return; empty: nobody does
  Duration reboot_limit{std::chrono::minutes(10)};          // from that command until the host has booted
  std::string boot_id = "/proc/sys/kernel/random/boot_id";  // file on the host that holds something else after each boot

  std::uint64_t epoch = 0;  // of this daemon, as RemoteJob's; no configuration says it

  bool operator==(const ReleaseOptions&) const = default;
};

// Gives the executor of a host; it outlives the releaser.
class Hosts {
 public:
  virtual ~Hosts() = default;
  virtual Executor& executor(const std::string& host) = 0;
};

}  // namespace shiftd
