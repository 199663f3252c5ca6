#include "daemon/analysis/trace.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

#include "daemon/analysis/number_text.hpp"
#include "daemon/analysis/tune.hpp"

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
  // False: there is none.
  bool next(std::string& line) {
    if (!std::getline(in_, line)) return false;
    ++number_;
    return true;
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

Trace read_first_kind(Lines& lines) {
  Trace trace;
  auto head = read_head(lines, trace);
  std::vector<Counters> before(head.canary.size());
  for (std::int64_t host = 0; host < head.hosts; ++host) trace.hosts.push_back(std::to_string(host));
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

// What a host served in a row of the second kind, as a letter: 'w' is a canary host that had served the release for long.
struct Letter {
  char letter;
  Cohort cohort;
  bool seasoned;
};
constexpr std::array letters = {Letter{'b', Cohort::baseline, false}, Letter{'c', Cohort::canary, false}, Letter{'w', Cohort::canary, true},
                                Letter{'d', Cohort::candidate, false}, Letter{'-', Cohort::neither, false}};

// Reads the numbers of a row; from_chars, as rows are many and long.
class Numbers {
 public:
  Numbers(const Lines& lines, std::string_view row) : lines_(lines), left_(row) {}

  template <class T>
  T next(const char* name, T least, T most) {
    skip(' ');
    T value{};
    auto parsed = std::from_chars(left_.data(), left_.data() + left_.size(), value);
    if (parsed.ec != std::errc() || !(value >= least && value <= most)) lines_.fail(std::string("'") + name + "' is missing or impossible");
    left_.remove_prefix(static_cast<std::size_t>(parsed.ptr - left_.data()));
    return value;
  }
  char letter() {
    skip(' ');
    if (left_.empty()) lines_.fail("a host is missing");
    auto found = left_.front();
    left_.remove_prefix(1);
    return found;
  }
  bool skip(char wanted) {
    if (left_.empty() || left_.front() != wanted) return false;
    left_.remove_prefix(1);
    return true;
  }
  [[nodiscard]] bool at_a_number() const { return !left_.empty() && left_.front() >= '0' && left_.front() <= '9'; }
  [[nodiscard]] bool over() const { return left_.empty(); }

 private:
  const Lines& lines_;
  std::string_view left_;
};

TraceRow read_row(const Lines& lines, const std::string& text, const Trace& trace) {
  constexpr std::int64_t latest = INT64_MAX / 4;
  Numbers numbers(lines, text);
  TraceRow row;
  row.frame.end = Instant(Duration(numbers.next<std::int64_t>("end", -latest, latest)));
  row.frame.length = Duration(numbers.next<std::int64_t>("length", 1, 86'400'000));
  row.frame.season = static_cast<Season>(numbers.next("phase", 0, 2));
  row.frame.stage = numbers.next<std::uint32_t>("stage", 0, UINT32_MAX);
  row.frame.next_share = numbers.next<double>("next_share", 1e-9, 1);
  row.anew = numbers.next("anew", 0, 1) == 1;
  row.hosts.reserve(trace.hosts.size());
  for (const auto& name : trace.hosts) {
    auto& tick = row.hosts.emplace_back();
    tick.host = name;
    auto letter = numbers.letter();
    auto known = std::find_if(letters.begin(), letters.end(), [&](const Letter& each) { return each.letter == letter; });
    if (known == letters.end()) lines.fail("what host " + name + " serves is one of b, c, w, d and -");
    tick.cohort = known->cohort;
    tick.seasoned = known->seasoned;
    if (!numbers.at_a_number()) continue;
    tick.requests = numbers.next<std::uint64_t>("requests", 0, INT64_MAX);
    if (numbers.skip(':')) tick.failures = numbers.next<std::uint64_t>("failures", 0, INT64_MAX);
  }
  if (!numbers.over()) lines.fail("more than one entry for each host");
  return row;
}

Trace read_second_kind(Lines& lines) {
  Trace trace;
  std::string word;
  if (auto line = lines.next(); !(line >> word >> trace.id) || word != "id") lines.fail("'id' is expected");
  auto line = lines.next();
  if (!(line >> word) || word != "hosts") lines.fail("'hosts' is expected");
  while (line >> word && static_cast<std::int64_t>(trace.hosts.size()) < hosts_most) trace.hosts.push_back(word);
  if (trace.hosts.empty()) lines.fail("there is no host");
  line = lines.next();
  if (!(line >> word) || word != "tune") lines.fail("'tune' is expected");
  while (line >> word) {
    if (auto tuned = tune(trace.options, word); !tuned) lines.fail(tuned.error().what);
  }
  for (std::string text; lines.next(text);) {
    if (static_cast<std::int64_t>(trace.rows.size()) >= rows_most) lines.fail("there are too many rows");
    trace.rows.push_back(read_row(lines, text, trace));
  }
  return trace;
}

Trace read(std::istream& in) {
  Lines lines(in);
  std::string word;
  std::string kind;
  auto line = lines.next();
  if (!(line >> word >> kind) || word != "shiftd-trace") lines.fail("not a shiftd-trace");
  if (kind == "1") return read_first_kind(lines);
  if (kind == "2") return read_second_kind(lines);
  lines.fail("a shiftd-trace of another kind than 1 and 2");
}

}  // namespace

std::string trace_head(const std::string& id, const std::vector<std::string>& hosts, const AnalysisOptions& options) {
  auto text = "shiftd-trace 2\nid " + id + "\nhosts";
  for (const auto& host : hosts) text += " " + host;
  return text + "\ntune " + settings_text(options) + "\n";
}

std::string trace_row(const TraceRow& row) {
  std::string text;
  text.reserve(64 + 8 * row.hosts.size());
  append_number(text, row.frame.end.time_since_epoch().count());
  append_number(text += ' ', row.frame.length.count());
  append_number(text += ' ', static_cast<int>(row.frame.season));
  append_number(text += ' ', row.frame.stage);
  append_number(text += ' ', row.frame.next_share);
  text += row.anew ? " 1" : " 0";
  for (const auto& host : row.hosts) {
    auto is = [&](const Letter& each) {
      return each.cohort == host.cohort && each.seasoned == (host.seasoned && host.cohort == Cohort::canary);
    };
    text += ' ';
    text += std::find_if(letters.begin(), letters.end(), is)->letter;
    if (host.requests == 0) continue;
    append_number(text, host.requests);
    if (host.failures > 0) append_number(text += ':', std::min(host.failures, host.requests));
  }
  return text += '\n';
}

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
    const auto& frame = trace.rows[i].frame;
    if (trace.rows[i].anew) test.stage_changed(frame.end);
    verdict = test.tick(frame, trace.rows[i].hosts);
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
