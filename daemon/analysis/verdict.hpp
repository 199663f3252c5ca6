#pragma once

// The canary verdict: is the new release answering more 5xx than the old one, beyond what is tolerated?
//
// Pure: counts in, verdict and evidence out. Looking often costs nothing: the test is valid at any time. Several tests are
// averaged, each for what the others cannot see: all canary hosts together, each alone, bursts by block, and winsorised
// counts; docs/verdict.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/analysis/block_tests.hpp"
#include "daemon/analysis/comparison.hpp"
#include "daemon/analysis/history.hpp"
#include "daemon/analysis/options.hpp"
#include "daemon/analysis/promote_test.hpp"
#include "daemon/analysis/ratio.hpp"
#include "daemon/analysis/tolerance.hpp"
#include "daemon/base/failure.hpp"
#include "daemon/base/time.hpp"

namespace shiftd {

enum class Call : std::uint8_t { keep_watching, promote, roll_back };

std::string_view to_string(Call call);

enum class Cohort : std::uint8_t {
  canary,     // serves the new release
  baseline,   // serves the old one
  candidate,  // serves the old one and will be canary: learnt of, not compared with
  neither,
};

// How far the rollout has come: blocks never reach from one into the next.
enum class Season : std::uint8_t { before, between, live };

// One tick of one host.
struct HostTick {
  std::string host;
  Cohort cohort = Cohort::neither;
  bool seasoned = false;  // a canary host that has served the release for long: it has no warm-up
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;  // what exceeds `requests` is not counted
};

struct TickFrame {
  Instant end;
  Duration length{0};
  Season season = Season::live;
  std::uint32_t stage = 0;
  double next_share = 1;  // of all traffic, at the next stage: what a promotion would risk
};

struct Verdict {
  Call call = Call::keep_watching;
  double log_e = never_started;        // rolls back at log(1 / (1 - confidence)); before the first canary request: never_started
  double log_promote = never_started;  // of the proof for the next stage

  bool operator==(const Verdict&) const = default;
};

// What the evidence consists of, for people.
struct Evidence {
  std::uint64_t canary_requests = 0;  // in this rollout
  std::uint64_t canary_failures = 0;
  std::uint64_t baseline_requests = 0;  // since the canary's first request
  std::uint64_t baseline_failures = 0;
  std::uint64_t stage_canary_requests = 0;  // since the stage's weights were last changed
  double e_value = 1;                       // rolls back at 1 / (1 - confidence)
  double promote_e_value = 0;               // promotes at 1 / (1 - promote_confidence)
  double tolerated = 1;                     // times the baseline's rate, with what is known of the hosts
  std::optional<double> former_rate;        // of the old release, over its hosts' history; none: hardly any is known
  RatioInterval ratio;
  std::string strongest;                  // the test that says most: "cohort", "bursts", "winsorised" or "host NAME"
  std::optional<std::uint32_t> bad_host;  // it alone fails, the others do not
  std::optional<Duration> until_promote;  // at the present rates; none: never, or not to be told
  std::string text;                       // one line for people

  bool operator==(const Evidence&) const = default;
};

// Copyable. Called by one thread. Each tick names the same hosts in the same order.
class CanaryTest {
 public:
  // `fixed_canaries`: so many hosts, known beforehand, are the canary from first to last; 0: hosts join one by one.
  explicit CanaryTest(AnalysisOptions options, std::size_t fixed_canaries = 0);

  // Takes in one tick. Once it says roll_back it never says anything else.
  Verdict tick(const TickFrame& frame, const std::vector<HostTick>& hosts);

  // A stage began, or hosts joined: counts what follows apart, and gives the tests a fresh start mass.
  void stage_changed(Instant now);

  // The one bad host leaves: what was found is forgotten, and the remaining hosts are judged anew. A good release is no
  // more often rolled back for it: that takes a second alarm.
  void leave_out(std::uint32_t host);

  [[nodiscard]] Evidence evidence(const std::vector<HostTick>& hosts) const;
  // By its history, the host would be a canary that tells nothing.
  [[nodiscard]] bool was_ill_before(std::uint32_t host) const;
  // How long hosts have been watched on the old release: what bursts and differences are learnt from.
  [[nodiscard]] Duration watched() const { return state_.watched; }

  // The whole state without the options, versioned JSON; a restored test goes on as if nothing had happened.
  [[nodiscard]] std::string checkpoint() const;
  // Fails with bad_input: not a checkpoint of this version; the test is unchanged.
  Result<void> restore(const std::string& checkpoint);

  // Public for the checkpoint's reader and writer only.
  struct Canary {
    std::uint32_t host = 0;
    std::optional<Instant> first_request;
    bool after_burst = false;
    Comparison alone;
    bool operator==(const Canary&) const = default;
  };
  // Blocks of two lengths, under way.
  struct UnderWay {
    Block hosts;
    Duration length{0};
    bool operator==(const UnderWay&) const = default;
  };
  struct State {
    Comparison cohort;
    std::vector<Canary> canaries;  // in the order in which they joined
    BurstTest bursts;
    WinsorisedTest winsorised;
    PromoteTest promote;
    History history;
    Prediction baseline;
    UnderWay block;
    UnderWay long_block;
    Comparison::Used block_floor;  // of the cohort: sums over the block under way
    std::optional<Instant> began;  // when the interval began in which the canary got its first request
    std::optional<Season> season;
    std::vector<Cohort> cohorts;  // at the last tick
    Evidence counted;             // its counts only
    double log_e = never_started;
    double highest_log_e = never_started;
    Duration watched{0};
    StrataCounts strata;  // for the ratio's interval
    double tolerated = 1;
    Instant last;  // end of the last tick
    bool operator==(const State&) const = default;
  };

 private:
  struct Known;  // what the past says, for the present tick
  void begin_season(Season season);
  void note_cohorts(const std::vector<HostTick>& hosts);
  void gather(const std::vector<HostTick>& hosts);
  [[nodiscard]] Known known() const;
  void start_copies(Instant now);
  void compare(const TickFrame& frame, const std::vector<HostTick>& hosts, Known& now);
  void judge_block(const TickFrame& frame, Known& now);
  [[nodiscard]] bool judges_hosts() const { return fixed_canaries_ != 1; }
  [[nodiscard]] double host_weight(std::size_t place) const;
  // What each test adds to the whole.
  struct Terms {
    double cohort = 0;
    double hosts = 0;
    double bursts = 0;
    double winsorised = 0;
    double worst = 0;  // of the single hosts
    std::size_t worst_place = 0;
    [[nodiscard]] double sum() const { return cohort + hosts + bursts + winsorised; }
  };
  [[nodiscard]] Terms terms() const;
  [[nodiscard]] std::optional<std::uint32_t> bad_host(const Terms& terms) const;
  [[nodiscard]] std::optional<Duration> until_promote() const;
  [[nodiscard]] Verdict judge(const TickFrame& frame, const Known& now) const;
  void learn(const TickFrame& frame, Known& now, bool block_ends);
  void end_block(Known& now);
  void count(const TickFrame& frame, const Known& now);
  [[nodiscard]] double roll_back_at() const { return -std::log(1 - options_.confidence); }

  AnalysisOptions options_;
  std::size_t fixed_canaries_ = 0;
  State state_;

  // Of the present tick; kept to save their memory.
  Parts parts_;
  std::vector<CanaryTick> canary_ticks_;
  std::vector<HostBlock> tick_;
  std::size_t present_ = 0;  // hosts that are canary now
  HostBlock canary_sum_;
  HostBlock baseline_sum_;
};

}  // namespace shiftd
