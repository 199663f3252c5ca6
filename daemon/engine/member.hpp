#pragma once

// The words in which the engine, the pool stores and the traffic views speak about one host in one pool.
//
// Setting is intent (what a pool store is asked for); MemberView is effect (what one load balancer really does). They
// are different types because writing a weight is not traffic moving.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/time.hpp"

namespace shiftd {

// conftool's three words. HAProxy knows ready (yes) and drain (no); what it calls maint is read as inactive and is
// never written.
enum class Pooled : std::uint8_t { yes, no, inactive };

std::string_view to_string(Pooled pooled);

struct Setting {
  Pooled pooled = Pooled::inactive;
  int weight = 0;

  bool operator==(const Setting&) const = default;
};

// "yes, weight 100"
std::string to_string(const Setting& setting);

// One member as its pool store holds it at one moment.
struct Observed {
  Setting setting;
  std::string bytes;     // exactly as stored; what is written back at the end
  std::string revision;  // opaque; a write is based on one

  bool operator==(const Observed&) const = default;
};

enum class Traffic : std::uint8_t {
  flowing,      // new requests may be sent to it
  draining,     // no new requests, but some are still there
  none,         // no new requests, none left
  cannot_tell,  // never to be taken for any of the others
};

enum class Health : std::uint8_t {
  up,
  down,
  unchecked,  // this load balancer does not check: nothing is known, and nothing is to be waited for
  unknown,    // it checks, and has not said yet
};

std::string_view to_string(Traffic traffic);
std::string_view to_string(Health health);

// What one load balancer does with one member now.
struct MemberView {
  Traffic traffic = Traffic::cannot_tell;
  Health health = Health::unknown;
  int weight = 0;       // effective, as the load balancer applies it
  int connections = 0;  // requests or connections in flight, whatever the load balancer counts
  std::string why;      // for cannot_tell: what it said or failed to say
  // What the load balancer last took up from the pool's store, as it says itself (PyBal: enabled and weight). None: it
  // does not say. Where the store holds something else, the load balancer has stopped listening to it.
  std::optional<Setting> taken_up;

  bool operator==(const MemberView&) const = default;
};

// A load balancer's own floor in one pool, as it says itself: it takes a failing member out only while at least `share`
// of the `counted` members are up and in (PyBal's depool-threshold). Members at `no` are counted, inactive ones are not.
struct DepoolThreshold {
  std::string view;  // who says so: "lvs1013/cdn_443"; empty: nobody
  double share = 0;
  std::uint32_t counted = 0;
  std::uint32_t others = 0;  // up and in, and none of the service's members

  // How many of the service's members have to stay up and in, so that it can still take out `margin` failing ones.
  [[nodiscard]] std::uint32_t needs(std::uint32_t margin) const;
  bool operator==(const DepoolThreshold&) const = default;
};

// "lvs1013/cdn_443 (threshold 0.5 of 10 members, 1 more for its monitors)"
std::string to_string(const DepoolThreshold& threshold, std::uint32_t margin);

// What the arithmetic of shares may assume of a pool. Declared by its adapter.
struct Capabilities {
  int weight_least = 1;             // the least weight that still gets traffic
  int weight_most = 256;            // the most that can be written
  bool weights_steer = true;        // false: only in or out works (static schedulers)
  bool shares_requests = true;      // false: weights share connections or hashes, so the share of requests is only bounded
  bool conditional_writes = false;  // true: compare-and-swap on the revision
  bool survives_restart = false;    // false: a restart of the store forgets what was set
  double depool_threshold = 0;      // the load balancer's own floor as a fraction of the pool, where its views do not say; 0: it has none
  bool cuts_connections = false;    // true: leaving the pool ends established connections, so they have to be idle before (IPVS)
  double writes_per_second = 0;     // how many changes its load balancers apply; 0: as many as are written

  // The least that we ever write to a member in traffic.
  [[nodiscard]] int smallest_weight() const { return std::max(weight_least, 1); }
  bool operator==(const Capabilities&) const = default;
};

// How long the pool's load balancers need to take up so many changes.
Duration time_for_writes(const Capabilities& capabilities, std::uint64_t writes);

}  // namespace shiftd
