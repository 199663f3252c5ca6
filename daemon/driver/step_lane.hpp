#pragma once

// Private to the driver: what is being done on one host. One step at a time; a newer one replaces a waiting one.

#include "daemon/driver/driver.hpp"

namespace shiftd {

struct Driver::StepLane {
  bool running = false;
  EffectId next = 0;
  Step next_step = Step::prepare;
  EffectId current = 0;
  Step current_step = Step::prepare;
  TaskGroup* doing = nullptr;  // while a step is under way
};

}  // namespace shiftd
