#pragma once

// The least world in which a rollout can live without a driver: a store that holds a setting for each member, load
// balancers that do what the store says, hosts that do what they are asked to. Friendly unless told otherwise.
//
// Every event goes through feed(), which checks the engine's promises on each record (rollout_checks.hpp) and throws
// BrokenPromise with the seed or script line to be named by the caller.

#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/engine/codec.hpp"
#include "daemon/engine/decide.hpp"

namespace shiftd {

class BrokenPromise : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class EngineWorld {
 public:
  explicit EngineWorld(const Plan& plan, Instant now = Instant(Duration(1'764'000'000'000)));

  // As the driver does: what comes together is taken in before anything follows from it. While `more_comes` it is so for the next
  // event, and nothing is given back yet.
  Decision feed(const Event& event);
  Decision follow_up();

  // What the load balancers do with the member: what the store says, unless its host is down or busy.
  [[nodiscard]] Shown shown(MemberIndex member) const;
  [[nodiscard]] std::vector<Shown> shown_of(HostIndex host) const;

  Decision see(HostIndex host);
  // The host's step has ended well.
  Decision finish(HostIndex host, const std::string& note = {});
  Decision fail(HostIndex host, const std::string& why);
  // Carries out the write that is asked for: as the stores do, on the revision that was last known.
  Decision write(MemberIndex member);
  // Somebody else changes the member; tells nobody.
  void meddle(MemberIndex member, Setting setting);
  // What a watch of the store would say of the member. Nothing, when it is as known.
  Decision watch(MemberIndex member);
  // The store restarts, and every member is as its configuration says: as it was found.
  Decision forget(PoolIndex pool);
  // The daemon dies and comes back.
  void crash();

  // One friendly answer to whatever is outstanding. False: nothing is, but time.
  bool answer();
  // Lets time pass until something may follow: a bake's end with a good verdict, or a second. False: it waits for people,
  // or has ended.
  bool wait();

  [[nodiscard]] std::set<HostIndex> steps() const;
  [[nodiscard]] std::set<MemberIndex> writes() const;
  [[nodiscard]] std::size_t members() const { return rollout.members.size(); }

  Rollout rollout;
  Instant now;
  std::vector<Observed> store;  // by member
  std::set<HostIndex> down;     // fail the load balancers' checks
  std::set<HostIndex> busy;     // never drain
  std::vector<std::string> journal;
  bool more_comes = false;
  bool remembers = true;  // keeps the journal, and folds it again now and then

 private:
  void check();
  void keep(const Decision& decision);
  std::string next_revision() { return "w" + std::to_string(++revisions_); }

  Codec codec_;
  Decision told_;                   // of what came together so far
  std::optional<Rollout> checked_;  // the state after those of its records that were checked
  std::size_t checked_records_ = 0;
  std::map<HostIndex, std::vector<Shown>> last_seen_;
  std::uint64_t revisions_ = 0;
  std::uint64_t kept_ = 0;
};

// One record, or one effect, as a line for people: "web1      draining". Empty times are the caller's.
std::string text_of(const Rollout& rollout, const Record& record);
std::string text_of(const Rollout& rollout, const Effect& effect);

}  // namespace shiftd
