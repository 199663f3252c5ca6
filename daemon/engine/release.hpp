#pragma once

// What is deployed: a code version with its content digest. (Configuration versions join it here.)

#include <string>

namespace shiftd {

struct Release {
  std::string version;  // as people name it: "2.4.1"
  std::string digest;   // sha256 of the tarball, 64 hex digits: what hosts and the journal know it by
  std::string source;   // local path of the tarball on the daemon's machine

  bool operator==(const Release&) const = default;
};

}  // namespace shiftd
