#include "daemon/analysis/trace.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

namespace shiftd {
namespace {

constexpr std::int64_t hosts_most = 100'000;
constexpr std::int64_t rows_most = 10'000'000;

// Instants are not negative in a trace of their own: the first canary request is long after 1970.
constexpr Instant origin(std::chrono::hours(24 * 365 * 30));

class Lines {
 public:
  explicit Lines(std::istream& in) : in_(in) {}
  std::istringstream next() {
    std::string line;
    if (!std::getline(in_, line)) fail("the file ends too early");
    ++number_;
    return std::istringstream(line);
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("line " + std::to_string(number_ + (in_ ? 0 : 1)) + ": " + what);
  }
  template <class T>
  T read(std::istringstream& line, const std::string& name, T least, T most) {
    T value{};
    if (!(line >> value) || !(value >= least && value <= most)) fail("'" + name + "' is missing or impossible");
    return value;
  }

 private:
  std::istream& in_;
  std::size_t number_ = 0;
};

struct Counters {
  std::int64_t requests = -1;
  std::int64_t failures = -1;
};

// A negative count of requests is a failed poll. Counters that went down began again at zero, both of them. After a failed poll the next
// good one carries the sum.
void add_difference(HostTick& tick, Counters& before, const Counters& now) {
  tick.requests = tick.failures = 0;
  if (now.requests < 0) return;
  auto from = before.requests < 0 ? now : now.requests < before.requests || now.failures < before.failures ? Counters{0, 0} : before;
  tick.requests = static_cast<std::uint64_t>(now.requests - from.requests);
  tick.failures = std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(now.failures - from.failures, 0)), tick.requests);
  before = now;
}

struct Head {
  std::int64_t hosts = 0;
  std::vector<bool> canary;
  double next_share = 1;
  Duration tick{0};
  std::int64_t rows = 0;
};

Head read_head(Lines& lines, Trace& trace) {
  std::string word;
  std::string number;
  if (auto line = lines.next(); !(line >> word >> number) || word != "shiftd-trace" || number != "1") lines.fail("not a shiftd-trace 1");
  Head head;
  auto expect = [&](const char* name) {
    auto line = lines.next();
    if (!(line >> word) || word != name) lines.fail(std::string("'") + name + "' is expected");
    return line;
  };
  auto line = expect("id");
  if (!(line >> trace.id)) lines.fail("the id is missing");
  line = expect("tick");
  head.tick = Duration(std::lround(lines.read<double>(line, "tick", 0.001, 86'400) * 1000));
  line = expect("hosts");
  head.hosts = lines.read<std::int64_t>(line, "hosts", 1, hosts_most);
  head.canary.assign(static_cast<std::size_t>(head.hosts), false);
  line = expect("canary");
  for (std::int64_t host = -1; line >> host;) {
    if (host < 0 || host >= head.hosts) lines.fail("a canary host is not one of the hosts");
    head.canary[static_cast<std::size_t>(host)] = true;
  }
  trace.canaries = static_cast<std::size_t>(std::count(head.canary.begin(), head.canary.end(), true));
  if (trace.canaries == 0) lines.fail("there is no canary host");
  line = expect("next_share");
  head.next_share = lines.read<double>(line, "next_share", 1e-9, 1);
  line = expect("rows");
  head.rows = lines.read<std::int64_t>(line, "rows", 1, rows_most);
  return head;
}

Trace read(std::istream& in) {
  Trace trace;
  Lines lines(in);
  auto head = read_head(lines, trace);
  std::vector<Counters> before(head.canary.size());
  std::map<double, std::uint32_t> stages;  // by share
  for (std::int64_t row = 0; row < head.rows; ++row) {
    auto line = lines.next();
    TraceRow next;
    auto at = lines.read<double>(line, "t", -1e8, 1e8);
    auto season = lines.read<int>(line, "phase", 0, 2);
    auto share = lines.read<double>(line, "share", 0, 1);
    next.frame = {.end = origin + Duration(std::lround(at * 1000)),
                  .length = head.tick,
                  .season = static_cast<Season>(season),
                  .stage = stages.emplace(share, static_cast<std::uint32_t>(stages.size())).first->second,
                  .next_share = head.next_share};
    for (std::size_t host = 0; host < before.size(); ++host) {
      Counters now;
      now.requests = lines.read<std::int64_t>(line, "req", INT64_MIN / 4, INT64_MAX / 4);
      now.failures = lines.read<std::int64_t>(line, "err", INT64_MIN / 4, INT64_MAX / 4);
      auto& tick = next.hosts.emplace_back();
      tick.host = std::to_string(host);
      auto canary = season == 0 ? Cohort::candidate : season == 1 ? Cohort::neither : Cohort::canary;
      tick.cohort = head.canary[host] ? canary : Cohort::baseline;
      add_difference(tick, before[host], now);
    }
    if (row > 0) trace.rows.push_back(std::move(next));
  }
  return trace;
}

}  // namespace

Result<Trace> read_trace(std::istream& in) {
  try {
    return read(in);
  } catch (const std::invalid_argument& error) {
    return Failure{Errc::bad_input, error.what()};
  }
}

Replayed replay(const Trace& trace, const AnalysisOptions& options,
                const std::function<void(std::size_t, const CanaryTest&, const Verdict&)>& each) {
  Replayed result;
  CanaryTest test(options, trace.canaries);
  Verdict verdict;
  bool promoted = false;
  for (std::size_t i = 0; i < trace.rows.size(); ++i) {
    verdict = test.tick(trace.rows[i].frame, trace.rows[i].hosts);
    if (each) each(i + 1, test, verdict);
    bool rolls_back = verdict.call == Call::roll_back;
    if (!rolls_back && (verdict.call != Call::promote || promoted)) continue;
    promoted = true;
    result.spoken.push_back({verdict.call, i + 1, verdict, test.evidence(trace.rows[i].hosts)});
    if (rolls_back) return result;
  }
  if (result.spoken.empty() && !trace.rows.empty()) {
    result.spoken.push_back({Call::keep_watching, trace.rows.size(), verdict, test.evidence(trace.rows.back().hosts)});
  }
  return result;
}

}  // namespace shiftd
