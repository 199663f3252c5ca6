#include "daemon/store/journal.hpp"
