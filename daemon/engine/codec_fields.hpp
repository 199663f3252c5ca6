#pragma once

// Private to the codec: one list of fields per kind of record, read and written by the same list.

#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "daemon/engine/codec.hpp"

namespace shiftd {

struct FieldError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

nlohmann::json plan_to_json(const Plan& plan);
Plan plan_from_json(const nlohmann::json& json);
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
  void stage(StageIndex value) { key("stage"), text_ += std::to_string(value); }
  void host(HostIndex value) { key("host"), quote(names_.hosts.at(value)); }
  void member(MemberIndex value) { key("member"), quote(names_.members.at(value)); }
  void phase(HostPhase value) { key("phase"), quote(to_string(value)); }
  void outcome(Outcome value) { key("outcome"), quote(to_string(value)); }
  void setting(const Setting& value) {
    key("pooled"), quote(to_string(value.pooled));
    key("weight"), text_ += std::to_string(value.weight);
  }
  void observed(const Observed& value) {
    setting(value.setting);
    key("bytes"), quote(value.bytes);
    key("revision"), quote(value.revision);
  }
  void plan(const Plan& value) { key("plan"), text_ += plan_to_json(value).dump(); }
  void request(const Request& value) { key("request"), text_ += request_to_json(value).dump(); }

 private:
  void key(const char* name) { text_.append(",\"").append(name).append("\":"); }
  void quote(std::string_view value);

  const Codec::Names& names_;
  std::string text_;
};

class FieldReader {
 public:
  FieldReader(const nlohmann::json& json, const Codec::Names& names) : json_(json), names_(names) {}

  template <class T>
  void required(const char* name, T& value) {
    auto found = json_.find(name);
    if (found == json_.end()) throw FieldError(std::string("no field '") + name + "'");
    found->get_to(value);
  }
  template <class T>
  void field(const char* name, T& value) {
    if (auto found = json_.find(name); found != json_.end()) found->get_to(value);
  }
  void field(const char* name, Instant& value) {
    std::int64_t count = 0;
    required(name, count);
    value = Instant(Duration(count));
  }
  void field(const char* name, Duration& value) {
    std::int64_t count = 0;
    required(name, count);
    value = Duration(count);
  }
  void stage(StageIndex& value) { required("stage", value); }
  void host(HostIndex& value) { value = find("host", names_.host_index); }
  void member(MemberIndex& value) { value = find("member", names_.member_index); }
  void phase(HostPhase& value);
  void outcome(Outcome& value);
  void setting(Setting& value);
  void observed(Observed& value) {
    setting(value.setting);
    field("bytes", value.bytes);
    field("revision", value.revision);
  }
  void plan(Plan& value) { value = plan_from_json(json_.at("plan")); }
  void request(Request& value) { value = request_from_json(json_.at("request")); }

 private:
  template <class Map>
  typename Map::mapped_type find(const char* name, const Map& map) {
    auto found = map.find(json_.at(name).get_ref<const std::string&>());
    if (found == map.end())
      throw FieldError(std::string(name) + " '" + json_.at(name).get<std::string>().substr(0, 80) + "' is not in the plan");
    return found->second;
  }

  const nlohmann::json& json_;
  const Codec::Names& names_;
};

// clang-format off
template <class V> void fields(V& v, Requested& f) { v.request(f.request); }
template <class V> void fields(V& v, Planned& f) { v.plan(f.plan); }
template <class V> void fields(V& v, HostMoved& f) { v.host(f.host); v.phase(f.phase); v.field("effect", f.effect); v.field("failed", f.failed); v.field("why", f.why); }
template <class V> void fields(V& v, HostHealth& f) { v.host(f.host); v.field("down", f.down); v.field("why", f.why); }
template <class V> void fields(V& v, LateResult& f) { v.host(f.host); v.field("effect", f.effect); v.field("what", f.what); }
template <class V> void fields(V& v, MemberWanted& f) { v.member(f.member); v.setting(f.setting); v.field("verbatim", f.verbatim); v.field("effect", f.effect); }
template <class V> void fields(V& v, MemberSet& f) { v.member(f.member); v.field("effect", f.effect); v.observed(f.observed); }
template <class V> void fields(V& v, MemberConfirmed& f) { v.member(f.member); }
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
template <class V> void fields(V& v, Aborting& f) { v.field("by", f.by); v.field("reason", f.reason); }
template <class V> void fields(V& v, ClockJumped& f) { v.field("by_ms", f.by); }
template <class V> void fields(V& v, Quarantined& f) { v.field("why", f.why); }
template <class V> void fields(V& v, Ended& f) { v.outcome(f.outcome); v.field("reason", f.reason); }
// clang-format on

}  // namespace shiftd
