#include "daemon/driver/plan_digest.hpp"

#include "daemon/engine/codec.hpp"
#include "daemon/io/sha256.hpp"

namespace shiftd {

std::string plan_digest(Plan plan) {
  plan.request.rollout.clear();
  plan.request.by.clear();
  plan.request.reason.clear();
  plan.request.no_watch = false;
  plan.watch = Duration(0);  // how long is watched first changes nothing of what is done
  plan.notes.clear();
  for (auto& member : plan.members) {
    member.original.revision.clear();
    if (member.found) member.found->revision.clear();
  }
  return sha256_of(to_json(plan));
}

}  // namespace shiftd
