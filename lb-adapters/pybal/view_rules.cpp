#include "lb-adapters/pybal/view_rules.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

namespace shiftd::pybal {
namespace {

constexpr std::size_t named_at_most = 3;

// "be1, be2, be3 and 4 more"
std::string names(const std::vector<std::string>& all) {
  std::string text;
  for (std::size_t i = 0; i < std::min(all.size(), named_at_most); ++i) text += (i == 0 ? "" : ", ") + all[i];
  if (all.size() > named_at_most) text += " and " + std::to_string(all.size() - named_at_most) + " more";
  return text;
}

std::set<std::string> monitors_of(const Metrics& metrics, const PybalOptions& options) {
  std::set<std::string> all(options.monitors.begin(), options.monitors.end());
  if (!all.empty()) return all;
  for (const auto& [host, spoken] : metrics.spoken) all.insert(spoken.begin(), spoken.end());
  return all;
}

bool spoke(const Metrics& metrics, const std::string& host, const std::set<std::string>& monitors) {
  auto found = metrics.spoken.find(host);
  return !monitors.empty() && found != metrics.spoken.end() &&
         std::includes(found->second.begin(), found->second.end(), monitors.begin(), monitors.end());
}

class Gates {
 public:
  Gates(const Answers& answers, const PybalOptions& options) : answers_(answers), options_(options) {}

  std::vector<std::string> closed() && {
    if (answers_.servers.empty()) close("its pool is empty");
    members();
    alert();
    if (answers_.metrics) {
      uptime();
      monitors();
      threshold();
    } else {
      close("it does not say whether it may be written to: " + answers_.metrics.error().what);
    }
    return std::move(closed_);
  }

 private:
  void close(std::string why) { closed_.push_back(std::move(why)); }

  void members() {
    std::vector<std::string> held;
    for (const auto& server : answers_.servers) {
      if (server.pooled && !server.up) held.push_back(server.host);
    }
    if (held.empty()) return;
    close(names(held) + (held.size() == 1 ? " is" : " are") + " down but pooled: any write would take " +
          (held.size() == 1 ? "it" : "them") + " out");
  }

  void alert() {
    if (!answers_.alert) return close("its alerts cannot be read: " + answers_.alert.error().what);
    if (!answers_.alert->empty()) close("it alerts: " + *answers_.alert);
  }

  void uptime() {
    const auto& started = answers_.metrics->started;
    if (!started) return close("it does not say when it started");
    auto up = std::chrono::duration<double>(answers_.now.time_since_epoch()).count() - *started;
    auto needed = 2 * std::chrono::duration<double>(options_.monitor_round).count();
    if (up >= needed) return;
    auto whole_seconds = std::chrono::seconds(static_cast<std::int64_t>(std::clamp(up, 0.0, needed)));
    close("it has been up for " + to_string(Duration(whole_seconds)) + ", its monitors need " + to_string(2 * options_.monitor_round));
  }

  void monitors() {
    auto all = monitors_of(*answers_.metrics, options_);
    if (all.empty()) return close("no monitor has said anything yet");
    std::vector<std::string> silent;
    for (const auto& server : answers_.servers) {
      if (!spoke(*answers_.metrics, server.host, all)) silent.push_back(server.host);
    }
    if (!silent.empty()) close("not every monitor has spoken of " + names(silent));
  }

  void threshold() {
    const auto& metrics = *answers_.metrics;
    if (!metrics.depool_threshold) close("it does not say its depool threshold");
    if (!metrics.pooled_down) close("it does not say how many servers are down but pooled");
    if (metrics.pooled_down.value_or(0) > 0) close("it counts servers that are down but pooled");
    if (!metrics.can_depool) return close("it does not say whether it can depool");
    auto enabled = std::count_if(answers_.servers.begin(), answers_.servers.end(), [](const Server& each) { return each.enabled; });
    auto serving =
        std::count_if(answers_.servers.begin(), answers_.servers.end(), [](const Server& each) { return each.enabled && each.up; });
    // Where nobody fails, it is those at `no` that are missing. That no more of them leave is the floor's affair; they must be
    // able to come back.
    if (serving == enabled) return;
    // Its own word is refreshed only when it changes something: the sum is done here, too.
    auto least = static_cast<double>(answers_.servers.size()) * metrics.depool_threshold.value_or(0);
    if (*metrics.can_depool < 1 || static_cast<double>(serving) < least) {
      close("it can take no failing member out: " + std::to_string(serving) + " of " + std::to_string(answers_.servers.size()) +
            " are up and enabled");
    }
  }

  const Answers& answers_;
  const PybalOptions& options_;
  std::vector<std::string> closed_;
};

}  // namespace

MemberView view_of(const Server& server, bool all_monitors_spoke) {
  MemberView view;
  view.traffic = server.enabled || server.pooled ? Traffic::flowing : Traffic::none;
  // An `ipvsadm` without -w, as PyBal writes it for 0, means weight 1.
  if (server.pooled) view.weight = std::max(server.weight, 1);
  if (!server.up) {
    view.health = Health::down;
  } else {
    view.health = all_monitors_spoke ? Health::up : Health::unknown;
  }
  view.taken_up = Setting{server.enabled ? Pooled::yes : Pooled::no, server.weight};
  return view;
}

ViewReading reading_of(const Answers& answers, const PybalOptions& options) {
  ViewReading reading;
  std::set<std::string> monitors;
  if (answers.metrics) {
    monitors = monitors_of(*answers.metrics, options);
    if (answers.metrics->started) reading.epoch = std::to_string(*answers.metrics->started);
    reading.depool_threshold = answers.metrics->depool_threshold.value_or(0);
    if (answers.metrics->depool_threshold) reading.counted = static_cast<std::uint32_t>(answers.servers.size());
  }
  for (const auto& server : answers.servers) {
    bool all_spoke = answers.metrics && spoke(*answers.metrics, server.host, monitors);
    reading.members.emplace_back(server.host, view_of(server, all_spoke));
  }
  reading.closed = Gates(answers, options).closed();
  return reading;
}

}  // namespace shiftd::pybal
