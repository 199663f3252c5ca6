#pragma once

// Records in words: the one place where what happened becomes a sentence for people.

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace shiftd {

enum class Tone : std::uint8_t { plain, good, warning, bad };

struct Sentence {
  std::string text;  // one line, without control characters
  std::string time;  // "14:03:07", UTC
  Tone tone = Tone::plain;
  bool important = false;  // worth a line where not everything is shown
};

// `record` is a record's JSON text. A kind that is not known here is named, with its fields.
Sentence sentence_of(std::string_view record);

// The host phase in a few words: "is leaving its pools".
std::string_view words_of_host_phase(std::string_view phase);

// A text field of an answer, cleaned; empty when it is not there.
std::string field(const nlohmann::json& answer, const char* name);

// Without control characters, so that no host and no check can write to somebody's terminal.
std::string clean(std::string_view text);

}  // namespace shiftd
