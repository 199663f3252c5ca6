#pragma once

// Tells one sink what happens in all rollouts, from the journal and at its own pace: whatever the sink does, no rollout waits.
//
// At least once, each rollout's announcements in their order: the journal keeps how many records the sink is done with, and
// what was told without that having been saved (a crash in between) is told again. Nothing is kept in memory but the one
// announcement that is being told.

#include <list>
#include <memory>
#include <set>
#include <string>

#include "daemon/announce/sink.hpp"
#include "daemon/driver/control.hpp"
#include "daemon/io/backoff.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

class Announcer {
 public:
  // `control` knows every rollout of the journal when run() begins. All of them outlive the announcer.
  Announcer(Clock& clock, Journal& journal, Control& control, std::unique_ptr<Sink> sink, Selectors selectors);

  // Until it is cancelled. A sink that is new here hears of the rollouts under way from their beginning, and of no earlier one.
  Task<> run();

  [[nodiscard]] SinkStatus status() const { return status_; }

 private:
  struct Open {
    std::string rollout;
    std::uint64_t done = 0;  // records that need not be told any more
    Announcing fold;
  };

  Task<> take_up();
  Task<> find_new();
  // Whether there is nothing more to come of the rollout.
  Task<bool> tell_of(Open& open);
  // Returns when the sink has taken it, or refused it for ever.
  Task<> tell(Announcement announcement);
  Task<> save(Open& open);
  [[nodiscard]] bool is_wanted(const Announcement& announcement) const;

  Clock& clock_;
  Journal& journal_;
  Control& control_;
  std::unique_ptr<Sink> sink_;
  Selectors selectors_;
  SinkStatus status_;
  std::set<std::string> seen_;
  std::list<Open> open_;
};

}  // namespace shiftd
