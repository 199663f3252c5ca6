#include "daemon/api/sse.hpp"

#include <algorithm>

namespace shiftd {

std::string_view kind_of_record(std::string_view record) {
  constexpr std::string_view key = "\"is\":\"";
  auto head = record.substr(0, 200);
  auto at = head.find(key);
  if (at == std::string_view::npos) return "record";
  auto word = head.substr(at + key.size());
  word = word.substr(0, word.find('"'));
  bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return c == '_' || (c >= 'a' && c <= 'z'); });
  return plain ? word : "record";
}

std::string event_text(std::uint64_t number, std::string_view record) {
  std::string text = "id: " + std::to_string(number) + "\nevent: ";
  text.append(kind_of_record(record)).append("\ndata: ");
  for (char c : record) {
    if (c == '\n') {
      text += "\ndata: ";
    } else if (c != '\r') {
      text += c;
    }
  }
  return text + "\n\n";
}

}  // namespace shiftd
