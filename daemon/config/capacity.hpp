#pragma once

// Whether the strategy's stages and batches can be done at all with the capacity of the service's hosts.
//
// The true plan is made when a rollout starts, from the weights that the pools have then. Here every host is assumed to
// have weight 100, so that a strategy that can never work is refused before anybody needs it.

#include <string>
#include <vector>

#include "daemon/config/config.hpp"

namespace shiftd {

struct CapacityProblem {
  std::string key;   // that would have to change: "strategy.stages[2].share"
  std::string text;  // with the sum that was done
};

std::vector<CapacityProblem> check_capacity(const ServiceConfig& service);

}  // namespace shiftd
