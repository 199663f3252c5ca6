#include "daemon/shiftctl/events.hpp"

namespace shiftd {
namespace {

// The plan of a large fleet is one record, and one line.
constexpr std::size_t line_most = std::size_t{80} << 20;

}  // namespace

std::vector<SentEvent> SentEvents::take(std::string_view piece) {
  std::vector<SentEvent> complete;
  while (!broken_ && !piece.empty()) {
    auto end = piece.find('\n');
    rest_.append(piece.substr(0, end));
    if (rest_.size() + next_.data.size() > line_most) broken_ = true;
    if (end == std::string_view::npos) break;
    piece.remove_prefix(end + 1);
    if (!rest_.empty() && rest_.back() == '\r') rest_.pop_back();
    line(rest_, complete);
    rest_.clear();
  }
  return complete;
}

void SentEvents::line(std::string_view text, std::vector<SentEvent>& complete) {
  if (text.empty()) {
    if (has_data_) complete.push_back(std::move(next_));
    next_ = {};
    has_data_ = false;
    return;
  }
  auto colon = text.find(':');
  auto name = text.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "id") next_.id = value;
  if (name == "event") next_.event = value;
  if (name == "data") {
    if (has_data_) next_.data += '\n';
    next_.data += value;
    has_data_ = true;
  }
}

}  // namespace shiftd
