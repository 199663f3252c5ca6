#pragma once

// A plan that was saved, to be run exactly as it was read.

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"

namespace shiftd {

// Writes shiftd's answer to a plan: whole, or not at all. Fails with bad_input: it cannot be written there.
Result<void> save_plan(const std::string& path, std::string_view answer);

struct SavedPlan {
  std::string answer;   // as it was saved
  std::string request;  // the body that asks for a plan of the same release and hosts again
  std::string digest;
};
// Fails with bad_input: no such file, or no plan in it.
Result<SavedPlan> read_plan(const std::string& path);

// The request's body with the plan's digest and the reason in it: a rollout of this plan or none.
std::string start_of(const SavedPlan& plan, std::string_view reason);

// Whether the plan would upgrade a host. Fails with unexpected_reply.
Result<bool> has_changes(std::string_view answer);

// A plan's text for a terminal: the diffs in it in their colours.
std::string coloured_plan(std::string_view text);

// What differs between two plans, one line each, at most `most` of them and one that counts the rest.
std::vector<std::string> plan_differences(std::string_view saved, std::string_view now, std::size_t most = 20);

}  // namespace shiftd
