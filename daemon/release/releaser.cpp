#include "daemon/release/releaser.hpp"
