#pragma once

// Numbers as text, for all that analysis writes down and reads again.

#include <array>
#include <charconv>
#include <string>

namespace shiftd {

// Appends the shortest text that reads back exactly.
template <class T>
void append_number(std::string& text, T value) {
  std::array<char, 40> digits{};
  auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text.append(digits.data(), end);
}

}  // namespace shiftd
