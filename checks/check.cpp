#include "checks/check.hpp"
