#include "daemon/shiftctl/words.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/base/time.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

// A field as people read it; empty when it is not there.
std::string text(const json& record, const char* name) {
  auto found = record.find(name);
  if (found == record.end()) return {};
  return clean(found->is_string() ? found->get_ref<const std::string&>() : found->dump());
}

std::int64_t number(const json& record, const char* name) {
  auto found = record.find(name);
  return found != record.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

bool flag(const json& record, const char* name) {
  auto found = record.find(name);
  return found != record.end() && found->is_boolean() && found->get<bool>();
}

// ": why" when there is something to say.
std::string because(const json& record, const char* name) {
  auto why = text(record, name);
  return why.empty() ? "" : ": " + why;
}

std::string by(const json& record) {
  auto who = text(record, "by");
  return who.empty() ? "" : " by " + who;
}

std::string stage(const json& record) { return fmt::format("stage {}", number(record, "stage") + 1); }

Tone tone_of_phase(std::string_view phase) {
  if (phase == "serving_new") return Tone::good;
  if (phase == "straggler" || phase == "out" || phase == "left") return Tone::bad;
  if (phase == "withdrawing" || phase == "reverting" || phase == "restored") return Tone::warning;
  return Tone::plain;
}

Sentence host_moved(const json& record) {
  auto phase = text(record, "phase");
  bool failed = flag(record, "failed");
  auto line =
      fmt::format("{} {}{}{}", text(record, "host"), failed ? "failed: it " : "", words_of_host_phase(phase), because(record, "why"));
  auto tone = failed ? Tone::bad : tone_of_phase(phase);
  return {line, "", tone, failed || tone != Tone::plain};
}

Sentence host_health(const json& record) {
  bool down = flag(record, "down");
  return {fmt::format("{}: a load balancer's check {}{}", text(record, "host"), down ? "fails" : "passes again", because(record, "why")),
          "", down ? Tone::bad : Tone::good, true};
}

Sentence planned(const json& record) {
  auto plan = record.value("plan", json::object());
  auto hosts = plan.contains("hosts") ? plan["hosts"].size() : 0;
  auto stages = plan.contains("stages") ? plan["stages"].size() : 0;
  return {fmt::format("planned: {} host{} in {} stage{}", hosts, hosts == 1 ? "" : "s", stages, stages == 1 ? "" : "s"), "", Tone::plain,
          true};
}

Sentence requested(const json& record) {
  auto request = record.value("request", json::object());
  auto release = request.value("release", json::object());
  return {
      fmt::format("{} to {} asked for{}{}", text(request, "service"), text(release, "version"), by(request), because(request, "reason")),
      "", Tone::plain, true};
}

Sentence member_wanted(const json& record) {
  return {fmt::format("{}: {} wanted: {}, weight {}", text(record, "member"), flag(record, "verbatim") ? "its original" : "a change",
                      text(record, "pooled"), number(record, "weight")),
          "", Tone::plain, false};
}

Sentence member_set(const json& record) {
  return {fmt::format("{} set to {}, weight {}", text(record, "member"), text(record, "pooled"), number(record, "weight")), "", Tone::plain,
          false};
}

Sentence member_confirmed(const json& record) {
  if (flag(record, "blind"))
    return {fmt::format("{}: as wanted by all who can tell; who cannot is not waited for", text(record, "member")), "", Tone::warning,
            true};
  return {fmt::format("{}: every view shows what was wanted", text(record, "member")), "", Tone::plain, false};
}

Sentence member_taken(const json& record) {
  auto member = text(record, "member");
  auto host = member.substr(member.rfind('/') == std::string::npos ? 0 : member.rfind('/') + 1);
  return {fmt::format("{} was changed by somebody else to {}, weight {}: theirs until `shiftctl release-hold {}`", member,
                      text(record, "pooled"), number(record, "weight"), host),
          "", Tone::bad, true};
}

Sentence member_returned(const json& record) {
  return {fmt::format("{} is ours again{}{}{}", text(record, "member"), flag(record, "adopted") ? ", as it was left," : "", by(record),
                      because(record, "reason")),
          "", Tone::plain, true};
}

Sentence source_lost(const json& record) {
  return {fmt::format("{} does not answer{}", text(record, "source"), because(record, "why")), "", Tone::bad, true};
}

Sentence source_back(const json& record) { return {text(record, "source") + " answers again", "", Tone::good, true}; }

Sentence pool_closed(const json& record) {
  return {fmt::format("nothing is written to {} now{}", text(record, "pool"), because(record, "why")), "", Tone::warning, true};
}

Sentence pool_opened(const json& record) { return {text(record, "pool") + " may be written to again", "", Tone::good, true}; }

Sentence weights_due(const json& record) {
  if (flag(record, "on")) return {"the stage's weights wait", "", Tone::warning, true};
  return {"no weights wait any more", "", Tone::plain, false};
}

Sentence stage_begun(const json& record) { return {stage(record) + " begins", "", Tone::plain, true}; }

Sentence stage_baking(const json& record) {
  Duration rest(number(record, "until") - number(record, "at"));
  return {fmt::format("{} bakes for {}", stage(record), to_string(rest)), "", Tone::plain, true};
}

Sentence stage_passed(const json& record) { return {stage(record) + " passed" + because(record, "evidence"), "", Tone::good, true}; }

Sentence gate_reached(const json& record) {
  return {stage(record) + " waits at its gate: `shiftctl promote` goes on, `shiftctl rollback` goes back", "", Tone::warning, true};
}

Sentence gate_passed(const json& record) {
  return {fmt::format("{} promoted{}{}", stage(record), by(record), because(record, "reason")), "", Tone::good, true};
}

Sentence held(const json& record) {
  auto why = text(record, "why");
  if (why.empty()) return {"goes on", "", Tone::good, true};
  return {"held: " + why, "", Tone::warning, true};
}

Sentence shrunk(const json& record) {
  if (flag(record, "on")) return {"the canary is brought to its least weight for lack of counters", "", Tone::warning, true};
  return {"the canary has its stage's weight again", "", Tone::good, true};
}

Sentence overridden(const json& record) {
  return {fmt::format("the verdict on {} is overridden{}{}", stage(record), by(record), because(record, "reason")), "", Tone::warning,
          true};
}

Sentence member_health(const json& record) {
  bool down = flag(record, "down");
  return {fmt::format("{}: the load balancer's check {}", text(record, "member"), down ? "fails" : "passes again"), "",
          down ? Tone::bad : Tone::good, true};
}

Sentence host_erring(const json& record) {
  bool on = flag(record, "on");
  return {fmt::format("{} {}{}", text(record, "host"),
                      on ? "answers mostly with failures, and counts as no capacity" : "answers well enough again to count as capacity",
                      because(record, "why")),
          "", on ? Tone::bad : Tone::good, true};
}

Sentence release_found(const json& record) {
  auto digest = text(record, "digest");
  return {fmt::format("{} answers, and {}", text(record, "host"), digest.empty() ? "has no release" : "has " + digest.substr(0, 12)), "",
          Tone::plain, false};
}

Sentence share_off(const json& record) {
  auto why = text(record, "why");
  if (why.empty()) return {fmt::format("{} serves the share that its weights give", text(record, "pool")), "", Tone::good, true};
  return {why, "", Tone::warning, true};
}

Sentence threshold_changed(const json& record) {
  auto found = record.find("threshold");
  const auto threshold = found == record.end() ? json::object() : *found;
  return {fmt::format("{}: {} takes failing members out only while {:.3g} of its {} members are up", text(record, "pool"),
                      text(threshold, "view"), threshold.value("share", 0.0), number(threshold, "counted")),
          "", Tone::warning, true};
}

Sentence watched(const json& record) {
  auto known = to_string(Duration(number(record, "history_ms")));
  return {known + " of the hosts' history are known: the first of them may leave", "", Tone::good, true};
}

Sentence metric_ignored(const json& record) {
  return {fmt::format("metric {} is ignored{}{}", text(record, "metric"), by(record), because(record, "reason")), "", Tone::warning, true};
}

Sentence scaled(const json& record) {
  auto by = number(record, "by");
  if (by <= 1) return {"the weights of the pools go back to their originals", "", Tone::plain, true};
  return {fmt::format("the weights of the pools are multiplied by {}, shares stay as they are", by), "", Tone::plain, true};
}

Sentence finishing(const json&) { return {"every stage has passed; tidying up", "", Tone::good, true}; }

Sentence paused(const json& record) { return {fmt::format("paused{}{}", by(record), because(record, "reason")), "", Tone::warning, true}; }

Sentence resumed(const json& record) { return {"resumed" + by(record), "", Tone::good, true}; }

Sentence rolling_back(const json& record) {
  return {fmt::format("rolling back{}{}{}", by(record), flag(record, "condemned") ? ", the release is condemned" : "",
                      because(record, "reason")),
          "", Tone::bad, true};
}

Sentence forced(const json& record) {
  return {fmt::format("it goes on{} though a load balancer cannot tell{}", by(record), because(record, "reason")), "", Tone::warning, true};
}

Sentence aborting(const json& record) { return {fmt::format("aborting{}{}", by(record), because(record, "reason")), "", Tone::bad, true}; }

Sentence clock_jumped(const json& record) {
  return {fmt::format("the clock jumped by {}; the bake begins again", to_string(Duration(number(record, "by_ms")))), "", Tone::warning,
          true};
}

Sentence quarantined(const json& record) {
  return {"quarantined, nothing is done any more until `shiftctl abort`" + because(record, "why"), "", Tone::bad, true};
}

Sentence late_result(const json& record) {
  return {text(record, "host") + ": a late result" + because(record, "what"), "", Tone::plain, false};
}

Sentence ended(const json& record) {
  auto outcome = text(record, "outcome");
  auto words = outcome;
  std::replace(words.begin(), words.end(), '_', ' ');
  return {words + because(record, "reason"), "", outcome == "succeeded" ? Tone::good : Tone::bad, true};
}

struct Kind {
  std::string_view is;
  Sentence (*say)(const json&);
};
constexpr std::array kinds = {
    Kind{"requested", requested},
    Kind{"planned", planned},
    Kind{"host_moved", host_moved},
    Kind{"host_health", host_health},
    Kind{"late_result", late_result},
    Kind{"member_wanted", member_wanted},
    Kind{"member_set", member_set},
    Kind{"member_confirmed", member_confirmed},
    Kind{"member_taken", member_taken},
    Kind{"member_returned", member_returned},
    Kind{"source_lost", source_lost},
    Kind{"source_back", source_back},
    Kind{"pool_closed", pool_closed},
    Kind{"pool_opened", pool_opened},
    Kind{"weights_due", weights_due},
    Kind{"stage_begun", stage_begun},
    Kind{"stage_baking", stage_baking},
    Kind{"stage_passed", stage_passed},
    Kind{"gate_reached", gate_reached},
    Kind{"gate_passed", gate_passed},
    Kind{"held", held},
    Kind{"shrunk", shrunk},
    Kind{"overridden", overridden},
    Kind{"member_health", member_health},
    Kind{"share_off", share_off},
    Kind{"host_erring", host_erring},
    Kind{"release_found", release_found},
    Kind{"forced", forced},
    Kind{"threshold_changed", threshold_changed},
    Kind{"watched", watched},
    Kind{"metric_ignored", metric_ignored},
    Kind{"scaled", scaled},
    Kind{"finishing", finishing},
    Kind{"paused", paused},
    Kind{"resumed", resumed},
    Kind{"rolling_back", rolling_back},
    Kind{"aborting", aborting},
    Kind{"clock_jumped", clock_jumped},
    Kind{"quarantined", quarantined},
    Kind{"ended", ended},
};

std::string clock_time(std::int64_t milliseconds) {
  // "2026-11-23T14:03:07.250Z"
  auto whole = to_string(Instant(Duration(milliseconds)));
  auto at = whole.find('T');
  return at == std::string::npos ? whole : whole.substr(at + 1, 8);
}

}  // namespace

std::string field(const json& answer, const char* name) { return clean(answer.value(name, std::string())); }

std::string clean(std::string_view given) {
  std::string cleaned(given);
  // C1 controls are two bytes in UTF-8, of which the first is 0xc2 and the second below 0xa0.
  for (std::size_t at = 0; at < cleaned.size(); ++at) {
    auto byte = static_cast<unsigned char>(cleaned[at]);
    bool second = at > 0 && static_cast<unsigned char>(given[at - 1]) == 0xc2 && byte < 0xa0;
    if (byte < 0x20 || byte == 0x7f || second) cleaned[at] = '?';
    if (second) cleaned[at - 1] = '?';
  }
  return cleaned;
}

std::string_view words_of_host_phase(std::string_view phase) {
  struct Words {
    std::string_view phase;
    std::string_view words;
  };
  static constexpr std::array table = {
      Words{"pooled_old", "serves the old release"},
      Words{"preparing", "is being prepared while it serves"},
      Words{"ready", "is prepared and still serves the old release"},
      Words{"quiescing", "takes few new connections and finishes those it has"},
      Words{"depooling", "is leaving its pools"},
      Words{"draining", "is out of its pools and drains"},
      Words{"upgrading", "is drained and being upgraded"},
      Words{"verifying", "is upgraded and being checked"},
      Words{"awaiting_health", "waits for the load balancers' checks"},
      Words{"joining", "is joining its pools"},
      Words{"serving_new", "serves the new release"},
      Words{"requiescing", "takes few new connections again and finishes those it has"},
      Words{"withdrawing", "is leaving its pools again"},
      Words{"emptying", "is out again and drains"},
      Words{"reverting", "is being put back on its former release"},
      Words{"reverifying", "is being checked on its former release"},
      Words{"rejoining", "is joining its pools with its original weight"},
      Words{"restored", "is restored and serves as it was found"},
      Words{"straggler", "cannot be upgraded and serves as it was found until the end"},
      Words{"out", "stays out of its pools and needs a person"},
      Words{"left", "was changed by somebody else and is left alone"},
  };
  auto found = std::find_if(table.begin(), table.end(), [&](const auto& words) { return words.phase == phase; });
  return found == table.end() ? phase : found->words;
}

Sentence sentence_of(std::string_view record) {
  auto parsed = json::parse(record, nullptr, false);
  if (!parsed.is_object()) return {"an unreadable record: " + clean(record.substr(0, 80)), "", Tone::warning, false};
  auto is = text(parsed, "is");
  auto found = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.is == is; });
  auto sentence = found != kinds.end() ? found->say(parsed) : Sentence{clean(record.substr(0, 200)), "", Tone::plain, false};
  sentence.time = clock_time(number(parsed, "at"));
  return sentence;
}

}  // namespace shiftd
