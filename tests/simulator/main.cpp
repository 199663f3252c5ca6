// simulate: runs seeds of the simulated world; docs/testing.md says how to read what it prints.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "daemon/io/log.hpp"
#include "tests/simulator/report.hpp"

int main(int argc, char** argv) {
  using namespace shiftd::simulator;
  shiftd::log::set_level(shiftd::log::Level::off);  // what goes wrong here is meant to
  return run_seeds(parse_arguments(argc, argv));
}
