#include "checks/pattern.hpp"

#include <utility>

namespace shiftd {

Result<Pattern> Pattern::parse(std::string text) {
  // libstdc++'s default executor recurses once per character (a body of 64 KiB overflows the stack) and takes exponential
  // time on patterns like (a+)+$. Its breadth-first one (__polynomial) does neither. It still starts again at every
  // position when it searches, which is quadratic: so the search is part of the pattern, and runs once from the front.
  constexpr auto safely = std::regex::ECMAScript | std::regex_constants::__polynomial;
  try {
    std::regex alone(text, safely);
    std::regex searched("[\\s\\S]*?(?:" + text + ")", safely);
    return Pattern(std::move(text), std::move(searched));
  } catch (const std::regex_error& error) {
    auto why = error.code() == std::regex_constants::error_complexity ? "back-references cannot be used" : error.what();
    return Failure{Errc::bad_input, "'" + text + "' is no regular expression: " + why};
  }
}

bool Pattern::found_in(std::string_view text) const {
  text = text.substr(0, searched_most);
  try {
    return std::regex_search(text.begin(), text.end(), compiled_, std::regex_constants::match_continuous);
  } catch (const std::regex_error&) {
    // Too much for it (error_complexity, error_stack): not shown to be there.
    return false;
  }
}

}  // namespace shiftd
