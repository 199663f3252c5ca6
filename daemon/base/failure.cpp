#include "daemon/base/failure.hpp"

#include <ostream>
#include <stdexcept>
#include <utility>

namespace shiftd {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::bad_input: return "bad_input";
    case Errc::not_found: return "not_found";
    case Errc::conflict: return "conflict";
    case Errc::refused: return "refused";
    case Errc::unreachable: return "unreachable";
    case Errc::timed_out: return "timed_out";
    case Errc::unexpected_reply: return "unexpected_reply";
    case Errc::unauthenticated: return "unauthenticated";
    case Errc::exhausted: return "exhausted";
    case Errc::unavailable: return "unavailable";
  }
  return "unknown";
}

bool retryable(Errc code) {
  switch (code) {
    case Errc::unreachable:
    case Errc::timed_out:
    case Errc::unavailable: return true;
    case Errc::bad_input:
    case Errc::not_found:
    case Errc::conflict:
    case Errc::refused:
    case Errc::unexpected_reply:
    case Errc::unauthenticated:
    case Errc::exhausted: return false;
  }
  return false;
}

Failure Failure::during(std::string_view activity) const& { return Failure(*this).during(activity); }

Failure Failure::during(std::string_view activity) && {
  what.insert(0, ": ").insert(0, activity);
  return std::move(*this);
}

std::ostream& operator<<(std::ostream& out, const Failure& failure) { return out << failure.what; }

void throw_exception_from_error(const Failure& failure, const boost::source_location&) { throw std::runtime_error(failure.what); }

}  // namespace shiftd
