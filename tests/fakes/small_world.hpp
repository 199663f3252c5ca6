#pragma once

// A stand-in for everything around a driver: a fleet with one pool, its load balancer, its front end and its hosts, in
// memory. It behaves as documented of HAProxy: a change is shown at once, connections drain over time, a restart forgets.
// Time is the clock's; traffic is a steady rate shared by weight, with failures at each release's own rate.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/driver/service.hpp"
#include "daemon/io/clock.hpp"
#include "tests/fakes/fake_executor.hpp"

namespace shiftd {

struct SmallWorld {
  struct Host {
    std::string current;  // the digest that `current` names
    std::string running;  // the digest that answers
    Setting setting{Pooled::yes, 100};
    Setting taken_up{Pooled::yes, 100};  // what the load balancer has last heard of it
    Steady drains_at{};                  // when its last request will have ended
    std::optional<Setting> past;         // what the store still tells of it, though it holds something else
    std::string malformed;               // why nobody can understand what the store holds of it
    std::string dry_run;                 // what an upgrade says that it would change
    Steady idle_at{};                    // when the last connection that it has will have ended; while it has weight, new ones come
    std::shared_ptr<FakeExecutor> executor;
    bool reachable = true;
    bool checks_pass = true;
    bool health_up = true;
    double ill_rate = 0;  // of its requests fail, whatever release it runs
    struct Job {
      Steady ends{};
      bool works = true;
    };
    std::map<std::string, Job> jobs;   // by id; each ran once
    std::map<std::string, int> swaps;  // by digest: how often it was swapped in
    int boots = 0;                     // how often it was rebooted
    bool stands_by = false;            // was asked to, once it was prepared
    double requests = 0;               // served, fractions kept
    double failures = 0;
    double slow = 0;
  };

  SmallWorld(Clock& clock, int hosts, int weight = 100);

  std::unique_ptr<Service> service(Strategy strategy);
  AnalysisOptions verdict;  // nothing is watched first

  // What users have met since the beginning: requests by digest and failures, and requests to a host with no service.
  void pass_time();

  Host& add_host(const std::string& name, int weight = 100);

  Clock& clock;
  std::string configuration = "c1";            // what "/latest" names now
  std::map<std::string, Host> hosts;           // web01, web02, ...
  double rate = 200;                           // requests a second, in all
  std::map<std::string, double> failure_rate;  // by digest
  std::set<std::string> fails_to_start;        // digests whose restart fails
  std::set<std::string> fails_checks;          // digests whose checks fail
  bool hosts_reboot = true;                    // the service says how
  Capabilities capabilities;
  Duration connection_time{3'000};  // how long users stay connected
  int cut_connections = 0;          // that a host still had as it left the pool, where that cuts them
  Duration prepare_time{50};
  Duration drain_time{200};
  Duration upgrade_time{300};
  Duration look_time{0};
  Duration write_time{0};                              // of the first member; the second takes twice as long, and so on
  std::function<void(Host&)> at_check = [](Host&) {};  // what happens to a host while it is checked
  bool hosts_are_found = false;                        // the configuration names none: those that the store holds are the service's
  bool store_answers = true;
  Duration read_time{0};  // until the store has answered what it holds
  int looks = 0;          // how often the load balancer was asked what it does
  bool view_answers = true;
  std::vector<std::string> view_closed;  // why the load balancer wants nothing to be written now
  double view_threshold = 0;             // the load balancer's own; 0: it does not say
  bool view_listens = true;              // false: it hears of no change any more
  int writes = 0;                        // that the store has taken
  std::vector<std::pair<Setting, Steady>> written_at;
  bool front_end_answers = true;
  std::vector<ServiceMetric> metrics;        // of the service
  std::map<std::string, double> slow_share;  // of its requests, by digest; counted since the beginning
  std::string metrics_trouble;               // why its metrics cannot be read
  int epoch = 1;
  double failed_requests = 0;
  double all_requests = 0;
  Steady passed_until;

  // What a host's own `ss` lists.
  [[nodiscard]] int connections(const Host& host) const;

  // HAProxy is restarted: members are as its configuration says.
  void restart_balancer();
};

}  // namespace shiftd
