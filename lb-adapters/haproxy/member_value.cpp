#include "lb-adapters/haproxy/member_value.hpp"

#include <charconv>
#include <optional>

#include "lb-adapters/haproxy/runtime_reply.hpp"

namespace shiftd::haproxy {
namespace {

std::optional<AdminState> parse_state(std::string_view text) {
  for (auto state : {AdminState::ready, AdminState::drain, AdminState::maint}) {
    if (text == to_string(state)) return state;
  }
  return std::nullopt;
}

std::optional<int> parse_weight(std::string_view text) {
  int weight = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc{} || end != text.data() + text.size() || weight < 0 || weight > weight_most) return std::nullopt;
  return weight;
}

}  // namespace

std::string_view to_string(AdminState state) {
  switch (state) {
    case AdminState::ready: return "ready";
    case AdminState::drain: return "drain";
    case AdminState::maint: return "maint";
  }
  return "?";
}

MemberValue value_of(const ServerState& server) {
  auto state = AdminState::ready;
  if (server.admin_state & forced_drain) state = AdminState::drain;
  if (server.admin_state & forced_maint) state = AdminState::maint;
  return {state, server.weight};
}

bool as_configured(const ServerState& server) {
  auto forced = server.admin_state & (forced_maint | forced_drain);
  auto at_start = server.admin_state & configured_maint ? forced_maint : 0;
  return forced == at_start && server.weight == server.initial_weight;
}

std::string to_string(const MemberValue& value) { return std::string(to_string(value.state)) + " weight " + std::to_string(value.weight); }

Result<MemberValue> parse_member_value(std::string_view text) {
  constexpr std::string_view between = " weight ";
  auto at = text.find(between);
  if (at != std::string::npos) {
    auto state = parse_state(text.substr(0, at));
    auto weight = parse_weight(text.substr(at + between.size()));
    if (state && weight) return MemberValue{*state, *weight};
  }
  return Failure{Errc::bad_input, in_quotes(text) + " is not the state of a HAProxy server, which reads like 'ready weight 100'"};
}

Setting setting_of(const MemberValue& value) {
  switch (value.state) {
    case AdminState::ready: return {value.weight > 0 ? Pooled::yes : Pooled::no, value.weight};
    case AdminState::drain: return {Pooled::no, value.weight};
    case AdminState::maint: break;
  }
  return {Pooled::inactive, value.weight};
}

Result<MemberValue> value_for(const Setting& setting) {
  if (setting.pooled == Pooled::inactive) return Failure{Errc::bad_input, "HAProxy's maint state is never written: use drain (pooled no)"};
  if (setting.weight < 1 || setting.weight > weight_most) {
    return Failure{Errc::bad_input,
                   "weight " + std::to_string(setting.weight) + ": HAProxy's weights are 1 to " + std::to_string(weight_most)};
  }
  return MemberValue{setting.pooled == Pooled::yes ? AdminState::ready : AdminState::drain, setting.weight};
}

std::string to_string(const Revision& revision) {
  return revision.epoch + ":" + std::string(to_string(revision.value.state)) + ":" + std::to_string(revision.value.weight);
}

Result<Revision> parse_revision(std::string_view text) {
  auto weight_at = text.rfind(':');
  auto state_at = weight_at == std::string::npos || weight_at == 0 ? std::string::npos : text.rfind(':', weight_at - 1);
  if (state_at != std::string::npos && state_at > 0) {
    auto state = parse_state(text.substr(state_at + 1, weight_at - state_at - 1));
    auto weight = parse_weight(text.substr(weight_at + 1));
    if (state && weight) return Revision{std::string(text.substr(0, state_at)), {*state, *weight}};
  }
  return Failure{Errc::bad_input, in_quotes(text) + " is not a revision of a HAProxy server"};
}

Observed observed(const std::string& epoch, const MemberValue& value) {
  return {setting_of(value), to_string(value), to_string(Revision{epoch, value})};
}

}  // namespace shiftd::haproxy
