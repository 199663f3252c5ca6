#pragma once

// A regular expression (ECMAScript) that may be searched for in text from strangers: its time grows with the length of
// the text, never exponentially, and it does not recurse over the text. So there are no back-references.

#include <regex>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"

namespace shiftd {

class Pattern {
 public:
  // Fails with bad_input, saying what is wrong with it.
  static Result<Pattern> parse(std::string text);

  // Whether it occurs in the first `searched_most` bytes.
  [[nodiscard]] bool found_in(std::string_view text) const;
  [[nodiscard]] const std::string& text() const { return text_; }

  static constexpr std::size_t searched_most = 64 * 1024;

 private:
  Pattern(std::string text, std::regex compiled) : text_(std::move(text)), compiled_(std::move(compiled)) {}

  std::string text_;
  std::regex compiled_;
};

}  // namespace shiftd
