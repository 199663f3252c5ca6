#pragma once

// What a request's body may say. Everything is bounded, and what is not known is refused by its name.

#include <string>
#include <string_view>

#include "daemon/driver/control.hpp"

namespace shiftd {

// {"service": "web", "release": {"version", "source", "sha256", "config"}, "limit": [], "reason": "", "if_plan": ""}
// Fails with bad_input, naming the field and what would be right.
Result<StartRequest> parse_start(std::string_view body, std::string by);

// {"host": "", "reason": "", "override": false}; `override` is for promote, and needs a reason. An empty body is an empty object. `host` is
// for release-hold and take, which need it, and for nothing else; take needs a reason. Fails as parse_start does.
Result<CommandRequest> parse_command(Verb verb, std::string_view body, std::string by);

}  // namespace shiftd
