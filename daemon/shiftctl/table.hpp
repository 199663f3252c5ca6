#pragma once

// Text in columns.

#include <string>
#include <string_view>
#include <vector>

namespace shiftd {

using Row = std::vector<std::string>;

// A line for each row, each after `indent` and without blanks at its end. A column is as wide as the longest that stands in it.
// No row may have more columns than the first.
std::string table_of(const std::vector<Row>& rows, std::string_view indent);

}  // namespace shiftd
