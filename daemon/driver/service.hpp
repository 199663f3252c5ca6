#pragma once

// One service as the driver works with it: interfaces only. main makes it from the configuration; tests and the simulator
// from stand-ins.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checks/check.hpp"
#include "checks/metric_source.hpp"
#include "daemon/analysis/metric.hpp"
#include "daemon/analysis/verdict.hpp"
#include "daemon/engine/rollout.hpp"
#include "daemon/engine/strategy.hpp"
#include "daemon/io/task.hpp"
#include "daemon/release/releaser.hpp"
#include "daemon/ssh/executor.hpp"
#include "lb-adapters/front_end.hpp"
#include "lb-adapters/pool_store.hpp"
#include "lb-adapters/traffic_view.hpp"

namespace shiftd {

// One pool, and every load balancer instance that has to show a change of it before the change counts.
struct ServicePool {
  std::unique_ptr<PoolStore> store;
  std::vector<std::unique_ptr<TrafficView>> views;
  std::unique_ptr<FrontEnd> front_end;  // counts by this pool's member names; none: this pool counts nothing
};

struct ServiceHost {
  HostPlace place;
  std::vector<std::pair<std::size_t, std::string>> members;  // pool, and the host's name in it
  Executor* executor = nullptr;                              // for checks that run on the host
  bool found = false;                                        // by FoundHosts; not named by the configuration
};

// Hosts that the configuration does not name: those that a pool's store holds when a rollout is planned.
struct FoundHosts {
  std::size_t pool = 0;
  // The host that is behind a member of that pool; none: it cannot be one of the service.
  std::function<std::optional<std::string>(std::string_view member)> host_of;
  // Fails with bad_input.
  std::function<Result<ServiceHost>(const std::string& name)> make;
};

// How a host is known to be idle, where leaving a pool cuts its established connections: the host itself counts them, as
// the load balancer may not see them (IPVS, direct routing).
struct IdleOptions {
  bool counts = true;                // false: it is only waited for the strategy's drain_grace
  std::vector<std::string> sockets;  // as the host's `ss` writes local addresses: ":443", "10.1.2.3:8080",
                                     // or {{address}}; empty: the port of the host's address
  std::vector<std::string> ignore;   // addresses whose connections never end: the load balancers' own monitors
  Duration pause{std::chrono::seconds(1)};
};

// A metric beside 5xx, and what its source is asked for: a ratio's two counters, or (with `all` empty) a threshold's value.
struct ServiceMetric {
  MetricOptions options;
  std::string bad;
  std::string all;
};

// What becomes of hosts that missed a release because they did not answer.
struct StragglerOptions {
  bool bring_back = true;  // false: only when somebody starts a rollout of them
  Duration ask_every{std::chrono::seconds(30)};
};

// How often the world is looked at.
struct Pace {
  Duration tick{std::chrono::milliseconds(500)};
  // While a host waits for a view to show something: soon at first, ever more slowly the longer it takes.
  Duration view_first{std::chrono::milliseconds(10)};
  Duration view{std::chrono::milliseconds(100)};
  Duration idle_view{std::chrono::seconds(1)};  // otherwise
  Duration counts{std::chrono::seconds(1)};
  Duration metrics{std::chrono::seconds(5)};
  Duration bake_check{std::chrono::seconds(5)};  // each host that serves the release is checked this often
  Duration checkpoint{std::chrono::seconds(10)};
  Duration keep_counts{std::chrono::hours(6)};     // of a small fleet; see kept_history()
  Duration call_limit{std::chrono::seconds(5)};    // for one call of a store, a view or a front end
  Duration reach_limit{std::chrono::seconds(30)};  // a host that is not reached for this long cannot be prepared
};

struct Service {
  std::string name;
  std::string tested_in;  // the service on which a release must have succeeded before; empty: none
  Strategy strategy;
  AnalysisOptions verdict;
  Pace pace;
  std::deque<ServiceHost> hosts;  // those that are found are added at its end, and stay
  std::optional<FoundHosts> found;
  std::vector<ServicePool> pools;
  std::unique_ptr<MetricSource> metric_source;  // none: no metrics
  std::vector<ServiceMetric> metrics;
  std::unique_ptr<Releaser> releaser;
  Duration reboot_limit{};  // what a host may take for its reboot, on top of strategy.upgrade_limit
  // What the service wants to be done when a rollout has succeeded; none: nothing. Logs what goes wrong.
  std::function<Task<>(Rollout)> on_success;
  std::vector<std::shared_ptr<Check>> checks;
  CheckPolicy check_policy;
  IdleOptions idle;
  StragglerOptions stragglers;
  bool polling = false;             // its front ends are being polled between rollouts
  std::vector<std::string> claims;  // what no two rollouts may act on at once: its pools and hosts
  std::shared_ptr<void> owned;      // whatever the parts above point into

  // The host of that name, made if it can be found in a pool. Stays where it is. Fails with: not_found, or as `make`.
  Result<ServiceHost*> host_named(const std::string& host);

 private:
  // Of the first `named_` of `hosts`: as many as were there when one was last asked for.
  std::unordered_map<std::string, ServiceHost*> by_name_;
  std::size_t named_ = 0;
};

}  // namespace shiftd
