#pragma once

// PyBal as traffic view, through its instrumentation HTTP: one pool of one PyBal.
//
// PyBal takes what it does from conftool's objects in etcd and programs IPVS with it. What it shows is what it means to
// do, not what the kernel does, and it shows no connections. What is claimed here was observed on PyBal 1.15.9;
// docs/pybal.md says what, and each of its traps has a test.

#include <memory>
#include <string>
#include <vector>

#include "daemon/io/clock.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {

struct PybalOptions {
  std::string name;     // of this PyBal: "lvs1013"
  std::string address;  // of its instrumentation: "lvs1013.eqiad.wmnet:9090"
  std::string pool;     // as PyBal names it: "cdn_443"
  // The monitors that have to have spoken of every member before anything is written: {"IdleConnection", "ProxyFetch"}.
  // Empty: those that PyBal reports for any member of the pool.
  std::vector<std::string> monitors;
  // The longest that one round of these monitors takes, interval and timeout together. Two of them have to pass after a
  // start of PyBal.
  Duration monitor_round{std::chrono::seconds(15)};
  Duration timeout{std::chrono::seconds(2)};  // for one of the three questions of a reading

  bool operator==(const PybalOptions&) const = default;
};

// Everything that forbids a write is in the reading's `closed`; a PyBal that does not say whether it may be written to
// closes the pool, too, and is still believed about its members.
//
// read() fails with not_found when there is no such pool, also for a misspelled name: PyBal answers both with 404.
std::unique_ptr<TrafficView> make_pybal_view(Clock& clock, PybalOptions options);

}  // namespace shiftd
