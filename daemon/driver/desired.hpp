#pragma once

// Which release each host of a service is to run: what a host asks that has been off, before it serves. And which releases have
// succeeded where: what a service asks that takes only what was tested.

#include <map>
#include <string>

#include "daemon/engine/rollout.hpp"

namespace shiftd {

class Desired {
 public:
  // What an ended rollout means for its hosts. Rollouts are told in the order in which they ended.
  void note(const Rollout& ended);

  // The digest that the host is to run, as far as ended rollouts tell; empty: they do not.
  [[nodiscard]] std::string of(const std::string& service, const std::string& host) const;

  // The last rollout that brought it to the service's whole fleet and succeeded; empty: none is known.
  [[nodiscard]] std::string success_of(const std::string& service, const std::string& digest) const;

 private:
  struct Service {
    std::string fleet;  // of hosts that no rollout has seen yet
    std::map<std::string, std::string> hosts;
    std::map<std::string, std::string> succeeded;  // digest, and the rollout
  };
  std::map<std::string, Service> services_;
};

// The same while a rollout acts on the host: the release once it is being swapped in, and what it goes back to until then
// and when it goes back. One that missed the release may not serve the former one. Empty: the rollout does not say.
std::string desired_on(const Rollout& rollout, HostIndex host);

}  // namespace shiftd
