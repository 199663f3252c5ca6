#include "daemon/shiftctl/exit_code.hpp"

namespace shiftd {

ExitCode exit_code_of(std::string_view outcome) {
  if (outcome == "succeeded") return ExitCode::succeeded;
  if (outcome == "rolled_back") return ExitCode::rolled_back;
  if (outcome == "aborted") return ExitCode::aborted;
  return ExitCode::failed;
}

ExitCode exit_code_of(const Failure& failure) {
  switch (failure.code) {
    case Errc::unreachable: return ExitCode::unreachable;
    case Errc::bad_input: return ExitCode::bad_usage;
    case Errc::not_found:
    case Errc::conflict:
    case Errc::refused:
    case Errc::unauthenticated: return ExitCode::refused;
    case Errc::timed_out:
    case Errc::unexpected_reply:
    case Errc::exhausted:
    case Errc::unavailable: return ExitCode::failed;
  }
  return ExitCode::failed;
}

}  // namespace shiftd
