#pragma once

// What a service's hosts did on their old releases, as the journal keeps it: counts of some seconds each, hours of them.

#include <string>
#include <vector>

#include "daemon/analysis/options.hpp"
#include "daemon/analysis/verdict.hpp"
#include "daemon/driver/service.hpp"
#include "daemon/engine/plan.hpp"
#include "daemon/engine/rollout.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

// How much of a service's history is kept: less of a large fleet, whose hosts show as much in less time. Never less than
// what is wanted before the first host leaves.
Duration kept_history(const Service& service);

// How much history there is of hosts that took requests, gaps left out.
Duration known_history(const std::vector<CountsPoint>& points, Duration length);

// What has to be known before the plan's first host leaves, 0 where nothing is judged; the plan's notes say what is missing.
void plan_watch(Plan& plan, const Service& service, const std::vector<CountsPoint>& points);

// What a plan's stages make of the service's settings.
AnalysisOptions options_for(const Plan& plan, const Service& service);

// A rollout as a trace that can be judged again: the history that it learnt from, as far as it is still kept, and then what
// was recorded of it. `hosts` as in the plan.
std::string rollout_trace(const Rollout& rollout, const Service& service, const std::vector<CountsPoint>& history,
                          const std::vector<CountsPoint>& recording);

// A service's history as a trace of which every row comes before an upgrade.
std::string history_trace(const Service& service, const std::vector<CountsPoint>& history);

// Lets the test learn from it, before its first tick. `hosts`: as the test will be told of them, counts ignored.
void teach(CanaryTest& test, const std::vector<CountsPoint>& points, std::vector<HostTick> hosts, Duration length);

// Of those hosts, the ones that have been ill by their history: as a canary they would tell nothing.
std::vector<std::string> ill_hosts(const std::vector<CountsPoint>& points, const std::vector<std::string>& hosts, Duration length);

// What people should know of each stage before they say yes: how long the verdict takes to catch a bad release, and
// whether a good one can prove itself within the bake. Empty where the history tells too little.
std::vector<std::string> power_notes(const Plan& plan, const AnalysisOptions& options, const std::vector<CountsPoint>& points,
                                     Duration length);

}  // namespace shiftd
