#pragma once

// A recorded rollout as text. "shiftd-trace 1": cumulative requests and 5xx of each host, tick by tick, with a fixed
// canary. "shiftd-trace 2" is what shiftd itself records: hosts join one by one, and each row says who served what.
// docs/verdict.md describes both.

#include <cstdint>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "daemon/analysis/verdict.hpp"

namespace shiftd {

struct TraceRow {
  TickFrame frame;
  bool anew = false;  // before it a stage began, or hosts joined
  std::vector<HostTick> hosts;
};

struct Trace {
  std::string id;
  std::size_t canaries = 0;        // known from the start; 0: they join one by one
  std::vector<std::string> hosts;  // their names
  AnalysisOptions options;         // that it was judged with; the defaults where it does not say
  std::vector<TraceRow> rows;      // the first row of the file only sets the counters: rows[0] is the file's row 1
};

// The head of a "shiftd-trace 2". Host names are without white space.
std::string trace_head(const std::string& id, const std::vector<std::string>& hosts, const AnalysisOptions& options);
// One of its rows, with its end of line; `hosts` as in the head.
std::string trace_row(const TraceRow& row);

// Fails with bad_input, naming the line: not a trace, or one with impossible numbers.
Result<Trace> read_trace(std::istream& in);

struct Replayed {
  struct Spoken {
    Call call = Call::keep_watching;
    std::size_t row = 0;
    Verdict verdict;
    Evidence evidence;
  };
  std::vector<Spoken> spoken;  // the first promotion and the roll back, if they came; or how it stood at the end
};

// Judges a recorded rollout. `each` hears of every tick, if it is given.
Replayed replay(const Trace& trace, const AnalysisOptions& options,
                const std::function<void(std::size_t row, const CanaryTest& test, const Verdict& verdict)>& each = {});

}  // namespace shiftd
