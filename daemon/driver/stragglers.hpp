#pragma once

// What ended rollouts have left out of its pools: the originals that are owed to members, and the hosts that missed a release.
// In memory; the journal's rollouts, told again in their order, make it anew.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/engine/rollout.hpp"

namespace shiftd {

// A host that a rollout which succeeded on the others had to leave out of its pools.
struct Straggler {
  std::string host;
  Release release;  // that it missed
  std::string rollout;

  bool operator==(const Straggler&) const = default;
};

class Stragglers {
 public:
  // What a rollout leaves as it ends. A later one of the same hosts has the last word.
  void note(const Rollout& ended);

  // The original that is owed to a member that its store holds as `now`, by a rollout of `release`. None when somebody else has set
  // it since; and none by a restart to a host that has missed a release, which it does not bring.
  [[nodiscard]] std::optional<Observed> owed(const std::string& pool, const std::string& member, const Observed& now,
                                             const Release& release) const;

  // By the names of their hosts.
  [[nodiscard]] std::vector<Straggler> of(const std::string& service) const;

 private:
  struct Debt {
    Observed original;
    Observed left;                // as its store held it when the rollout ended
    bool missed_release = false;  // and not only a restart
  };

  std::map<std::pair<std::string, std::string>, Debt> debts_;           // by pool and member
  std::map<std::string, std::map<std::string, Straggler>> by_service_;  // and host
};

}  // namespace shiftd
