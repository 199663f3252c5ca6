#pragma once

// What HAProxy holds about one server, as values: its administrative state and its weight, the text that stands for
// them in the journal ("ready weight 100"), and the revision. Pure.

#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/engine/member.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"

namespace shiftd::haproxy {

inline constexpr int weight_most = 256;

enum class AdminState : std::uint8_t { ready, drain, maint };

// As `set server .. state` takes it.
std::string_view to_string(AdminState state);

struct MemberValue {
  AdminState state = AdminState::ready;
  int weight = 0;

  bool operator==(const MemberValue&) const = default;
};

MemberValue value_of(const ServerState& server);
// Nobody has set anything of it since its process began.
bool as_configured(const ServerState& server);

// "ready weight 100"
std::string to_string(const MemberValue& value);
// Fails with bad_input.
Result<MemberValue> parse_member_value(std::string_view text);

// ready is yes, drain is no, maint is inactive; a server that is ready with weight 0 is no: it gets no new requests.
Setting setting_of(const MemberValue& value);

// Fails with bad_input: weights are 1 to 256 (0 would take a server out that asks to be in), and maint is never written,
// because it breaks requests in flight under `on-marked-down shutdown-sessions` and lets them in unchecked afterwards.
Result<MemberValue> value_for(const Setting& setting);

// "<pid>:<start time>:<state>:<weight>"
struct Revision {
  std::string epoch;
  MemberValue value;
};
std::string to_string(const Revision& revision);
// Fails with bad_input.
Result<Revision> parse_revision(std::string_view text);

Observed observed(const std::string& epoch, const MemberValue& value);

}  // namespace shiftd::haproxy
