#pragma once

// One rollout on one screen, as text: pure functions from the API's status JSON.

#include <span>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/shiftctl/words.hpp"

namespace shiftd {

struct Look {
  std::size_t width = 80;  // columns; sentences go on below, everything else is cut
  bool colour = false;
  std::size_t rows = 1'000;  // of the live view: the oldest events leave it first
};

// The live view: what it is, stages, share, one cell per host, both cohorts, the last events. `notice`: a line on top,
// when there is something to say. Lines end with '\n'.
// Fails with unexpected_reply: `status` is not what the API answers.
Result<std::string> draw(std::string_view status, std::span<const Sentence> events, std::string_view notice, Look look);

// `shiftctl status`: the same head, and a line for each host.
Result<std::string> draw_status(std::string_view status, Look look);

// `shiftctl list`, from GET /api/v1/rollouts.
Result<std::string> draw_list(std::string_view list);

}  // namespace shiftd
