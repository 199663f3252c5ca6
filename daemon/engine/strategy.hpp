#pragma once

// How a service wants to be shifted. Written by people in YAML, frozen in the plan when a rollout starts.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "daemon/base/basis_points.hpp"
#include "daemon/base/time.hpp"

namespace shiftd {

// A number of hosts, absolute or of the fleet. Percentages of hosts round down.
struct HostQuota {
  int count = 0;
  std::optional<BasisPoints> percent;

  [[nodiscard]] int of(int hosts) const;
  bool operator==(const HostQuota&) const = default;
};

std::string to_string(const HostQuota& quota);

inline constexpr HostQuota every_host{0, all_traffic};

// Which hosts are upgraded first: so many, or just these.
using CanaryChoice = std::variant<HostQuota, std::vector<std::string>>;

enum class Gate : std::uint8_t { open, manual };

struct StageSpec {
  BasisPoints share;
  Duration bake{std::chrono::seconds(60)};
  Gate gate = Gate::open;  // manual: after its bake the rollout waits for `promote`

  bool operator==(const StageSpec&) const = default;
};

// What is done with a host that has not drained in time.
enum class DrainDeadline : std::uint8_t { give_back, go_on };

// What is done with a host that is found out of all of its pools. It is never put into them.
enum class Depooled : std::uint8_t { upgrade, skip };

enum class WhenBusy : std::uint8_t { refuse, queue };

inline constexpr std::uint32_t prepare_at_once_most = 80;

struct Strategy {
  CanaryChoice canary = HostQuota{1, {}};
  std::vector<StageSpec> stages;  // shares rise; the last is 100%
  HostQuota batch{1, {}};
  HostQuota max_failed{0, BasisPoints{1'000}};  // 10% of the hosts, rounded down
  std::optional<BasisPoints> floor;             // of the serving capacity found at the start; default: what max_load implies
  std::optional<double> max_load;               // any host's load relative to normal; default max(1.25, N/(N-1))
  double max_load_rollback = 2;
  bool allow_downtime = false;  // a fleet of one host may be taken out of traffic
  bool scale_pool = false;      // all weights may be raised by one factor, so that small shares can be expressed
  WhenBusy when_busy = WhenBusy::refuse;
  Depooled depooled = Depooled::upgrade;
  std::optional<int> max_members;          // the most members of pools that one rollout may touch
  std::optional<HostQuota> prepare_ahead;  // prepared or being prepared ahead of their turn; default: ten, or two batches
  std::optional<int> prepare_at_once;      // of them, being prepared; default: three, or a batch

  Duration confirm_limit{std::chrono::seconds(10)};  // until every view shows a written change
  Duration drain_limit{std::chrono::minutes(5)};
  DrainDeadline on_drain_limit = DrainDeadline::give_back;
  Duration rollback_drain_limit{std::chrono::seconds(5)};  // for hosts of a condemned release; then it is taken away under them
  Duration drain_grace{0};                                 // kept empty for this long before it is touched
  std::optional<Duration> prepare_limit;                   // default: upgrade_limit
  Duration upgrade_limit{std::chrono::minutes(10)};
  Duration verify_limit{std::chrono::minutes(2)};
  Duration health_limit{std::chrono::minutes(1)};  // until the load balancers' own checks pass again
  Duration blind_limit{std::chrono::minutes(2)};   // without front-end counters, before the canary is made small
  int min_requests = 50;                           // canary requests before a stage may pass

  bool operator==(const Strategy&) const = default;
};

}  // namespace shiftd
