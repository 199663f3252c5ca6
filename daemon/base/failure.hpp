#pragma once

// What the world said when it said no.
//
// A Failure is a value: it travels in a Result, gathers the path it took ("set weight app/web3: connect 10.0.0.5:9999:
// refused") and is shown to people as it stands. What we got wrong ourselves is an INVARIANT; a cancelled operation is
// neither: it unwinds.

#include <iosfwd>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace shiftd {

enum class Errc {
  bad_input,         // what was given cannot be used; saying it again will not help
  not_found,         // the named thing does not exist there
  conflict,          // somebody else wrote since we read
  refused,           // the other side answered, and the answer is no
  unreachable,       // nobody answered at all: nothing has been done
  timed_out,         // no answer in time: whether it was done is unknown
  unexpected_reply,  // an answer that the protocol does not know
  unauthenticated,   // we, or they, could not prove who they are
  exhausted,         // a limit, a full disk, a full queue
  unavailable,       // it exists, and cannot serve now
};

// The word used in logs, JSON and the API: "timed_out".
std::string_view to_string(Errc code);

// Whether the same request may succeed later without anybody changing anything.
bool retryable(Errc code);

struct Failure {
  Errc code;
  std::string what;

  // The same failure with where it happened in front of it: "save rollout: disk full".
  [[nodiscard]] Failure during(std::string_view activity) const&;
  [[nodiscard]] Failure during(std::string_view activity) &&;

  bool operator==(const Failure&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Failure& failure);

template <class T>
using Result = boost::system::result<T, Failure>;

// Called by result.value() on a failure, found by its argument: the exception says what the failure said.
[[noreturn]] void throw_exception_from_error(const Failure& failure, const boost::source_location& where);

}  // namespace shiftd
