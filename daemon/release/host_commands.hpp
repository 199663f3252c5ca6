#pragma once

// All that a rollout asks of one host, for a key that may do nothing else there (conf/hosts/shiftd-only).

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/releaser.hpp"

namespace shiftd {

// What is asked for differs from time to time at these places only: {{digest}}, {{release}}, {{version}}, {{kilobytes}},
// {{url}}, {{job}} and {{rollout}}. conf/hosts/shiftd-only says what may stand there.
struct HostCommand {
  std::string name;
  bool by_input = false;  // a program that /bin/sh is given on its input
  std::string text;
};

// The commands by which releases are brought, swapped and proven there, without those of configurations: their programs name
// the files of each. Fails with bad_input: a path or command that cannot be filled.
Result<std::vector<HostCommand>> release_commands(const ReleaseOptions& options, const HostPlace& host);

// The list as the wrapper reads it: a line "command NAME" or "input NAME", then the text, each line of it behind a tab.
std::string list_of(const std::vector<HostCommand>& commands);

}  // namespace shiftd
