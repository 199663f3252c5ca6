#pragma once

// A pool in memory, seen from all three sides: a store to write to, the load balancer's view of it, and its counters.
// The script of a test is in its public members; what the parts do with them is held to the same contract suite as the
// real adapters (tests/contract/pool_store). Outlives the parts made of it.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/io/clock.hpp"
#include "lb-adapters/front_end.hpp"
#include "lb-adapters/pool_store.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {

class FakePool {
 public:
  struct Member {
    Setting setting;
    Health health = Health::up;
    int connections = 0;         // while it is out: draining until this is 0
    std::string malformed;       // what read() says is wrong with it
    std::uint64_t requests = 0;  // since the last poll of the front end
    std::uint64_t failures = 0;
    int revision = 1;
    bool as_configured = false;  // nobody has changed it since the restart
  };

  explicit FakePool(Clock& clock, std::string name = "fake/app") : clock_(clock), name_(std::move(name)) {}

  // The world, as anybody may change it.
  std::map<std::string, Member> members;
  Capabilities capabilities;
  Duration latency{0};         // of every call
  Duration poll_interval{10};  // of watch()
  bool conditional = false;    // every change of a member makes its revision stale; else only another value does

  // Faults. A call takes the first that applies to it.
  std::optional<Failure> store_fails;             // read(), write() and watch() fail so, and do nothing, until it is taken away
  std::optional<Failure> view_fails;              // until it is taken away
  std::optional<Failure> front_end_fails;         // until it is taken away
  std::optional<Failure> next_write_fails;        // once, and nothing is written
  bool next_write_lands_unheard = false;          // once: it is written, and the answer is timed_out
  std::optional<Duration> next_write_lands_late;  // once: timed_out now, and written after this, unless written since

  // What a person does behind our back.
  void person_sets(const std::string& member, Setting setting);
  // A new life of the load balancer: every member is what `original` says where it is named.
  void restart(const std::map<std::string, Setting>& original = {});
  // Requests that were served since the last poll.
  void serve(const std::string& member, std::uint64_t requests, std::uint64_t failures = 0);

  // Each write that changed something, in order: "mw1: no, weight 100".
  std::vector<std::string> written;
  std::uint64_t unattributed = 0;  // for the next poll
  std::uint64_t lost = 0;          // for the next poll

  std::unique_ptr<PoolStore> make_store();
  std::unique_ptr<TrafficView> make_view();
  std::unique_ptr<FrontEnd> make_front_end();

 private:
  friend class FakePoolStore;
  friend class FakeView;
  friend class FakeFrontEnd;

  struct LateWrite {
    Steady when;
    std::string member;
    int revision;  // lands only on this one
    Setting setting;
  };

  Task<> answer_after_latency();
  void land_late_writes();
  [[nodiscard]] PoolReading reading() const;
  [[nodiscard]] Observed observed(const Member& member) const;
  static void change(Member& member, Setting setting);

  Clock& clock_;
  std::string name_;
  int life_ = 1;
  bool reset_ = false;
  std::vector<LateWrite> late_;
};

}  // namespace shiftd
