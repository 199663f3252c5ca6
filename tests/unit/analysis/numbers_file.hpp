#pragma once

// Tables of numbers under tests/data: a head line with the names of the columns, then numbers with commas between.

#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace shiftd {

inline std::vector<std::vector<double>> numbers_in(const std::string& path) {
  std::ifstream file(std::string(SHIFTD_SOURCE_DIR) + "/tests/data/" + path);
  std::string line;
  if (!std::getline(file, line)) throw std::runtime_error("cannot read " + path);
  std::vector<std::vector<double>> rows;
  while (std::getline(file, line)) {
    auto& row = rows.emplace_back();
    const char* at = line.data();
    const char* end = at + line.size();
    while (at < end) {
      auto parsed = std::from_chars(at, end, row.emplace_back());
      if (parsed.ec != std::errc()) throw std::runtime_error(path + ": no number in '" + line + "'");
      at = parsed.ptr + 1;
    }
  }
  return rows;
}

}  // namespace shiftd
