#pragma once

// Deliberate faults of the engine and of what the driver makes of it, to show that the checkers check. They are in this
// program only: it links the product's own objects, and puts a function of its own in front of a few of them
// (tests/CMakeLists.txt renames the real ones to true_...).

#include <array>
#include <string_view>

namespace shiftd::simulator {

enum class Mutant {
  none,
  skips_the_drain,
  takes_no_answer_for_empty,
  believes_one_view,
  ignores_the_bounds,
  undercuts_by_one_host,
  bounds_of_a_roll_back,
  overwrites_people,
  repools_what_was_out,
  weight_one_too_many,
  promotes_on_no_data,
  forgets_to_name_hosts,
  ends_without_a_word,
  swaps_again_when_unknown,
  restores_without_revert,
  trusts_late_results,
  forgets_what_was_outstanding,
  loses_a_write,
  believes_its_write_at_once,
  ends_with_hosts_on_their_way,
  forgets_that_a_store_forgot,
  exceeds_the_share,
  ignores_the_verdict,
  ignores_people,
  takes_failures_for_success,
  leaves_stragglers_out,
  forgets_due_weights,
};
inline constexpr std::size_t mutants_count = 27;

std::string_view name_of(Mutant mutant);
// From now on, in this process.
void become(Mutant mutant);

}  // namespace shiftd::simulator
