#pragma once

// The control API without its sockets: a request in, an answer out.

#include "daemon/api/http.hpp"
#include "daemon/driver/control.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

// `control` and `clock` outlive the task. Cancelled: what was asked of `control` may have been done.
Task<ApiAnswer> answer(Control& control, Clock& clock, ApiRequest request);

// Whether the request changes something, or asks the fleet: then it has to be known who asks.
bool needs_name(const ApiRequest& request);

}  // namespace shiftd
