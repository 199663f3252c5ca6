#pragma once

// conftool's objects in etcd (v2 API) as pool store: one service of one cluster in one datacenter is a pool, its hosts
// are the members.
//
// Every read goes through a quorum and every write is a compare-and-swap on the index that we last knew, so nobody's
// change is overwritten. What is claimed here was observed on etcd 3.4 and conftool 3.0; docs/conftool.md says what.

#include <memory>
#include <string>
#include <vector>

#include "daemon/io/clock.hpp"
#include "daemon/io/tls.hpp"
#include "lb-adapters/pool_store.hpp"

namespace shiftd {

struct ConftoolOptions {
  std::vector<std::string> endpoints;  // "https://conf1007.eqiad.wmnet:4001", members of one etcd; http for loopback
  std::string dc;                      // "eqiad"
  std::string cluster;                 // "cache_text"
  std::string service;                 // "cdn"
  std::string prefix = "/conftool/v1/pools";
  std::string credentials;  // a file like conftool's etcdrc, with username and password; empty: none are sent
  TlsFiles tls;             // for https
  int weight_most = 65535;
  // What follows from the load balancers that read the objects: PyBal programs IPVS.
  bool shares_requests = false;
  bool cuts_connections = true;
  double writes_per_second = 10;
  Duration timeout{std::chrono::seconds(1)};               // for one attempt at one endpoint
  Duration poll_interval{std::chrono::milliseconds(200)};  // how often watch() looks where nothing tells it of changes

  bool operator==(const ConftoolOptions&) const = default;
};

// Keeps to the etcd cluster that answered first: an endpoint that belongs to another one is as good as gone.
std::unique_ptr<PoolStore> make_conftool_pool_store(Clock& clock, ConftoolOptions options);

}  // namespace shiftd
