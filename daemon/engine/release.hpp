#pragma once

// What is deployed. The engine takes its digest as it is: what code and which configuration are behind it, the releaser knows.

#include <string>

namespace shiftd {

struct Release {
  std::string version;   // as people name it: "2.4.1"
  std::string digest;    // what hosts and the journal know it by: a tarball's sha256, 64 hex digits, or else its version
  std::string source;    // local path of the tarball on the daemon's machine; empty: it comes in another way
  std::string config{};  // the configuration that was asked for, for the releaser; empty: none was named
  // Nothing brings the former release back after it (a changed database): a roll back takes its hosts out of traffic, and stops.
  bool irreversible = false;

  bool operator==(const Release&) const = default;
};

}  // namespace shiftd
