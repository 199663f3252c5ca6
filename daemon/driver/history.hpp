#pragma once

// What a service's hosts did on their old releases, as the journal keeps it: counts of some seconds each, hours of them.

#include <string>
#include <vector>

#include "daemon/analysis/options.hpp"
#include "daemon/analysis/verdict.hpp"
#include "daemon/engine/plan.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

// Lets the test learn from it, before its first tick. `hosts`: as the test will be told of them, counts ignored.
void teach(CanaryTest& test, const std::vector<CountsPoint>& points, std::vector<HostTick> hosts, Duration length);

// Of those hosts, the ones that have been ill by their history: as a canary they would tell nothing.
std::vector<std::string> ill_hosts(const std::vector<CountsPoint>& points, const std::vector<std::string>& hosts, Duration length);

// What people should know of each stage before they say yes: how long the verdict takes to catch a bad release, and
// whether a good one can prove itself within the bake. Empty where the history tells too little.
std::vector<std::string> power_notes(const Plan& plan, const AnalysisOptions& options, const std::vector<CountsPoint>& points,
                                     Duration length);

}  // namespace shiftd
