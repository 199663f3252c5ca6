#include "daemon/store/journal.hpp"

#include <fmt/core.h>

#include "daemon/store/accepted.hpp"

namespace shiftd {

Result<void> accepted_name(std::string_view kind, std::string_view name) {
  if (!name.empty() && name.size() <= most_name_bytes) return {};
  return Failure{Errc::bad_input, fmt::format("the {}'s name must have 1 to {} bytes, not {}", kind, most_name_bytes, name.size())};
}

Result<void> accepted_text(std::string_view kind, std::string_view text) {
  if (text.size() <= most_record_bytes) return {};
  return Failure{Errc::bad_input, fmt::format("a {} of {} bytes is too large: the journal takes {}", kind, text.size(), most_record_bytes)};
}

Result<void> accepted_records(const std::vector<std::string>& records) {
  if (records.empty()) return Failure{Errc::bad_input, "there is no record to append"};
  for (const auto& record : records) {
    if (auto accepted = accepted_text("record", record); !accepted) return accepted;
  }
  return {};
}

Failure exists_already(std::string_view rollout) { return {Errc::conflict, fmt::format("rollout {} exists already", rollout)}; }

Failure no_such_rollout(std::string_view rollout) { return {Errc::not_found, fmt::format("the journal has no rollout {}", rollout)}; }

Failure has_ended(std::string_view rollout) {
  return {Errc::conflict, fmt::format("rollout {} has ended: nothing more is appended to it", rollout)};
}

Failure not_the_next(std::string_view rollout, std::uint64_t next, std::uint64_t expected) {
  return {Errc::conflict, fmt::format("rollout {}: the next record is number {}, not {}: somebody else appended", rollout, next, expected)};
}

}  // namespace shiftd
