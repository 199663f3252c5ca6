#include "daemon/ssh/executor.hpp"
