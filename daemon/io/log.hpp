#pragma once

// The daemon's log: one line per event on standard error. spdlog behind it, kept out of this header.

#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "daemon/base/failure.hpp"

namespace shiftd::log {

enum class Level { debug, info, warning, error, off };

// Fails with bad_input on another word than debug, info, warning, error.
Result<Level> parse_level(std::string_view word);

// Lines below this level are dropped. Info at the start.
void set_level(Level level);
void write(Level level, std::string_view line);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace shiftd::log
