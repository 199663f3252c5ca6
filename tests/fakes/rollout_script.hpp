#pragma once

// Stories of rollouts as transcripts, tests/scenarios/*.txt: commands, a line `----`, and everything that happened, one
// line for each record and each effect, ended by an empty line. The commands (see rollout_script.cpp) speak for the world
// and for people; no driver is there.
//
//   plan hosts=2 stages=50%,100%      a fleet as it was found, and the rollout's plan; begins a story anew
//   run [brief|quiet] [until=web1:draining] the world answers, friendly, until nothing follows
//   done web1 upgrade | fail web1 upgrade 'disk full' | written web1 | seen web1 traffic=flowing health=down blind='no answer' | late web1
//   changed web1 in=app pooled=no weight=5 | forgot | lost 'front end' 'why' | back 'front end' | check web1 'why'
//   down web1 | up web1 | busy web1 | idle web1     what the load balancers find
//   served 90 of=1000 without=30s without_of=500     what the front end counts: requests to the release, of all
//   answered web1 90 of=100                          what the front end counts of a host: failures, of its requests
//   command promote 'why' override=yes | command rollback 'why' force=yes
//   judge promote|rollback 'why' | command take web1 'why' | after 5s | jump -2m | crash | state

#include <string>
#include <vector>

namespace shiftd {

// The transcript with what really happens in place of what was expected; equal when the expectations hold.
// Throws std::invalid_argument for a command that it does not know, naming the line.
std::string replay(const std::string& transcript);

}  // namespace shiftd
