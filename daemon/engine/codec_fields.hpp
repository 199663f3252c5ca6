#pragma once

// Private to the codec: one list of fields per kind of record, read and written by the same list.

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "daemon/engine/codec.hpp"
#include "daemon/engine/readable.hpp"

namespace shiftd {

struct FieldError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An integer that fits, and nothing that merely converts to one (1.5, true, "1").
template <class Int>
Int integer(const nlohmann::json& value, const char* name) {
  bool fits = false;
  if (value.is_number_unsigned()) {
    fits = std::in_range<Int>(value.get_ref<const nlohmann::json::number_unsigned_t&>());
  } else if (value.is_number_integer()) {
    fits = std::in_range<Int>(value.get_ref<const nlohmann::json::number_integer_t&>());
  }
  if (!fits) throw FieldError(std::string("'") + name + "' is no integer of its range");
  return value.get<Int>();
}

// What a store holds, byte for byte: a string; or, where the bytes are no UTF-8, {"hex":"ff00"}.
nlohmann::json bytes_to_json(const std::string& bytes);
std::string bytes_from_json(const nlohmann::json& value, const char* name);

// Text in which whatever is no UTF-8 is replaced.
std::string dumped(const nlohmann::json& value);

nlohmann::json plan_to_json(const Plan& plan);
Plan plan_from_json(const nlohmann::json& json);
nlohmann::json threshold_to_json(const DepoolThreshold& threshold);
DepoolThreshold threshold_from_json(const nlohmann::json& json);
nlohmann::json request_to_json(const Request& request);
Request request_from_json(const nlohmann::json& json);

// Appends to the text itself: records are small, written by the thousand, and their field names are ours.
class FieldWriter {
 public:
  explicit FieldWriter(const Codec::Names& names) : names_(names) { text_.reserve(160); }

  void begin(int version, Instant at, std::string_view kind) {
    text_ = "{\"v\":" + std::to_string(version) + ",\"at\":" + std::to_string(at.time_since_epoch().count()) + ",\"is\":\"";
    text_.append(kind).append("\"");
  }
  std::string end() {
    text_ += '}';
    return std::move(text_);
  }

  void field(const char* name, const std::string& value) {
    if (!value.empty()) key(name), quote(value);
  }
  void field(const char* name, bool value) {
    if (value) key(name), text_ += "true";
  }
  void field(const char* name, std::uint64_t value) {
    if (value != 0) key(name), text_ += std::to_string(value);
  }
  void field(const char* name, Instant value) { key(name), text_ += std::to_string(value.time_since_epoch().count()); }
  void field(const char* name, Duration value) { key(name), text_ += std::to_string(value.count()); }
  void field(const char* name, int value) { key(name), text_ += std::to_string(value); }
  void stage(StageIndex value) { key("stage"), text_ += std::to_string(value); }
  void host(HostIndex value) { key("host"), quote(names_.hosts.at(value)); }
  void pool(PoolIndex value) { key("pool"), quote(names_.pools.at(value)); }
  void member(MemberIndex value) { key("member"), quote(names_.members.at(value)); }
  void phase(HostPhase value) { key("phase"), quote(to_string(value)); }
  void outcome(Outcome value) { key("outcome"), quote(to_string(value)); }
  void setting(const Setting& value) {
    key("pooled"), quote(to_string(value.pooled));
    key("weight"), text_ += std::to_string(value.weight);
  }
  void observed(const Observed& value) {
    setting(value.setting);
    bytes("bytes", value.bytes);
    bytes("revision", value.revision);
  }
  void threshold(const DepoolThreshold& value) { key("threshold"), text_ += dumped(threshold_to_json(value)); }
  void plan(const Plan& value) { key("plan"), text_ += dumped(plan_to_json(value)); }
  void request(const Request& value) { key("request"), text_ += dumped(request_to_json(value)); }

 private:
  void key(const char* name) { text_.append(",\"").append(name).append("\":"); }
  void quote(std::string_view value);
  void bytes(const char* name, const std::string& value) {
    key(name);
    if (is_utf8(value)) {
      quote(value);
    } else {
      text_ += bytes_to_json(value).dump();
    }
  }

  const Codec::Names& names_;
  std::string text_;
};

class FieldReader {
 public:
  FieldReader(const nlohmann::json& json, const Codec::Names& names) : json_(json), names_(names) {}

  // Optional: what says nothing is left out.
  void field(const char* name, std::string& value) {
    if (auto found = json_.find(name); found != json_.end()) value = text(*found, name);
  }
  void field(const char* name, bool& value) {
    auto found = json_.find(name);
    if (found == json_.end()) return;
    if (!found->is_boolean()) throw FieldError(std::string("'") + name + "' is neither true nor false");
    value = found->get<bool>();
  }
  void field(const char* name, std::uint64_t& value) {
    if (auto found = json_.find(name); found != json_.end()) value = integer<std::uint64_t>(*found, name);
  }
  void field(const char* name, int& value) { value = integer<int>(required(name), name); }
  void field(const char* name, Instant& value) { value = Instant(Duration(integer<std::int64_t>(required(name), name))); }
  void field(const char* name, Duration& value) { value = Duration(integer<std::int64_t>(required(name), name)); }

  [[nodiscard]] int version() const { return integer<int>(required("v"), "v"); }
  [[nodiscard]] const std::string& word(const char* name) const { return text(required(name), name); }

  void stage(StageIndex& value) {
    value = integer<StageIndex>(required("stage"), "stage");
    if (value >= names_.stages) throw FieldError("stage " + std::to_string(value) + " is not in the plan");
  }
  void host(HostIndex& value) { value = find("host", names_.host_index); }
  void pool(PoolIndex& value) { value = find("pool", names_.pool_index); }
  void member(MemberIndex& value) { value = find("member", names_.member_index); }
  void phase(HostPhase& value) const;
  void outcome(Outcome& value) const;
  void setting(Setting& value);
  void observed(Observed& value) {
    setting(value.setting);
    value.bytes = bytes_from_json(required("bytes"), "bytes");
    value.revision = bytes_from_json(required("revision"), "revision");
  }
  void threshold(DepoolThreshold& value) { value = threshold_from_json(required("threshold")); }
  void plan(Plan& value) { value = plan_from_json(required("plan")); }
  void request(Request& value) { value = request_from_json(required("request")); }

 private:
  [[nodiscard]] const nlohmann::json& required(const char* name) const {
    auto found = json_.find(name);
    if (found == json_.end()) throw FieldError(std::string("no field '") + name + "'");
    return *found;
  }
  [[nodiscard]] static const std::string& text(const nlohmann::json& value, const char* name) {
    if (!value.is_string()) throw FieldError(std::string("'") + name + "' is no text");
    return value.get_ref<const std::string&>();
  }
  template <class Map>
  typename Map::mapped_type find(const char* name, const Map& map) const {
    const auto& wanted = word(name);
    auto found = map.find(wanted);
    if (found == map.end()) throw FieldError(std::string(name) + " '" + wanted.substr(0, 80) + "' is not in the plan");
    return found->second;
  }

  const nlohmann::json& json_;
  const Codec::Names& names_;
};

// clang-format off
template <class V> void fields(V& v, Requested& f) { v.request(f.request); }
template <class V> void fields(V& v, Planned& f) { v.plan(f.plan); }
template <class V> void fields(V& v, HostMoved& f) { v.host(f.host); v.phase(f.phase); v.field("effect", f.effect); v.field("failed", f.failed); v.field("why", f.why); v.field("empty", f.empty); v.field("key", f.key); v.field("rendered", f.rendered); }
template <class V> void fields(V& v, HostHealth& f) { v.host(f.host); v.field("down", f.down); v.field("why", f.why); }
template <class V> void fields(V& v, LateResult& f) { v.host(f.host); v.field("effect", f.effect); v.field("what", f.what); }
template <class V> void fields(V& v, MemberWanted& f) { v.member(f.member); v.setting(f.setting); v.field("verbatim", f.verbatim); v.field("effect", f.effect); }
template <class V> void fields(V& v, MemberSet& f) { v.member(f.member); v.field("effect", f.effect); v.observed(f.observed); }
template <class V> void fields(V& v, MemberConfirmed& f) { v.member(f.member); v.field("blind", f.blind); }
template <class V> void fields(V& v, MemberTaken& f) { v.member(f.member); v.observed(f.observed); }
template <class V> void fields(V& v, MemberReturned& f) { v.member(f.member); v.field("adopted", f.adopted); v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, SourceLost& f) { v.field("source", f.source); v.field("why", f.why); }
template <class V> void fields(V& v, SourceBack& f) { v.field("source", f.source); }
template <class V> void fields(V& v, StageBegun& f) { v.stage(f.stage); }
template <class V> void fields(V& v, StageBaking& f) { v.stage(f.stage); v.field("until", f.until); }
template <class V> void fields(V& v, StagePassed& f) { v.stage(f.stage); v.field("evidence", f.evidence); }
template <class V> void fields(V& v, GateReached& f) { v.stage(f.stage); }
template <class V> void fields(V& v, GatePassed& f) { v.stage(f.stage); v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, Held& f) { v.field("why", f.why); }
template <class V> void fields(V& v, Shrunk& f) { v.field("on", f.on); }
template <class V> void fields(V&, Finishing&) {}
template <class V> void fields(V& v, Paused& f) { v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, Resumed& f) { v.field("by", f.by); }
template <class V> void fields(V& v, RollingBack& f) { v.field("by", f.by); v.field("reason", f.reason); v.field("condemned", f.condemned); }
template <class V> void fields(V& v, Forced& f) { v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, Aborting& f) { v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, ClockJumped& f) { v.field("by_ms", f.by); }
template <class V> void fields(V& v, Quarantined& f) { v.field("why", f.why); }
template <class V> void fields(V& v, Overridden& f) { v.stage(f.stage); v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, MemberHealth& f) { v.member(f.member); v.field("down", f.down); v.field("why", f.why); }
template <class V> void fields(V& v, ShareOff& f) { v.pool(f.pool); v.field("why", f.why); }
template <class V> void fields(V& v, HostErring& f) { v.host(f.host); v.field("on", f.on); v.field("why", f.why); }
template <class V> void fields(V& v, ReleaseFound& f) { v.host(f.host); v.field("digest", f.digest); }
template <class V> void fields(V& v, ThresholdChanged& f) { v.pool(f.pool); v.threshold(f.threshold); }
template <class V> void fields(V& v, Watched& f) { v.field("history_ms", f.history); }
template <class V> void fields(V& v, MetricIgnored& f) { v.field("metric", f.metric); v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, Scaled& f) { v.field("by", f.by); }
template <class V> void fields(V& v, Ended& f) { v.outcome(f.outcome); v.field("reason", f.reason); }
template <class V> void fields(V& v, PoolClosed& f) { v.pool(f.pool); v.field("why", f.why); }
template <class V> void fields(V& v, PoolOpened& f) { v.pool(f.pool); }
template <class V> void fields(V& v, WeightsDue& f) { v.field("on", f.on); }
// clang-format on

}  // namespace shiftd
