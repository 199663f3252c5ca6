#include "daemon/shiftctl/table.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace shiftd {

std::string table_of(const std::vector<Row>& rows, std::string_view indent) {
  if (rows.empty()) return "";
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], row[column].size());
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line(indent);
    for (std::size_t column = 0; column < row.size(); ++column) line += fmt::format("{:<{}}  ", row[column], widths[column]);
    table += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return table;
}

}  // namespace shiftd
