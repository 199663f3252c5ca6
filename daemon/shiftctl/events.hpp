#pragma once

// Server-sent events as they come in pieces.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace shiftd {

struct SentEvent {
  std::string id;     // empty: it has none
  std::string event;  // "host_moved", "end"
  std::string data;
};

// The events that are complete with this piece. A line longer than the longest record ends the stream: `broken()`.
class SentEvents {
 public:
  std::vector<SentEvent> take(std::string_view piece);
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  void line(std::string_view text, std::vector<SentEvent>& complete);

  std::string rest_;
  SentEvent next_;
  bool has_data_ = false;
  bool broken_ = false;
};

}  // namespace shiftd
