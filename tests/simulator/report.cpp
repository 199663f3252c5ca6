#include "tests/simulator/report.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

namespace shiftd::simulator {
namespace {

constexpr std::size_t kept_violations = 64;

// Written by one worker, read by the one who waits for it: in memory that both have.
struct Sum {
  struct Violation {
    std::uint64_t seed;
    char promise[64];
    char how[500];
  };
  std::uint64_t seed = 0;  // under way
  std::uint64_t seeds = 0;
  std::uint64_t violations = 0;
  std::uint64_t rollouts = 0;
  std::uint64_t ended[5]{};
  std::uint64_t steps = 0;
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;
  std::uint64_t good_judged = 0;
  std::uint64_t good_condemned = 0;
  std::array<std::uint64_t, faults_count> faults{};
  Transitions transitions;
  Violation kept[kept_violations];

  void violate(std::uint64_t its_seed, const std::string& promise, const std::string& how) {
    if (violations < kept_violations) {
      auto& violation = kept[violations];
      violation.seed = its_seed;
      std::snprintf(violation.promise, sizeof violation.promise, "%s", promise.c_str());
      std::snprintf(violation.how, sizeof violation.how, "%s", how.c_str());
    }
    ++violations;
  }

  // What one run and a sum of runs count alike.
  template <class Counts>
  void add_counts(const Counts& counts) {
    rollouts += counts.rollouts;
    for (std::size_t outcome = 0; outcome < 5; ++outcome) ended[outcome] += counts.ended[outcome];
    steps += counts.steps;
    records += counts.records;
    record_bytes += counts.record_bytes;
    good_judged += counts.good_judged;
    good_condemned += counts.good_condemned;
    for (std::size_t fault = 0; fault < faults_count; ++fault) faults[fault] += counts.faults[fault];
    add(counts.transitions);
  }

  void add(std::uint64_t its_seed, const RunResult& result) {
    ++seeds;
    add_counts(result);
    if (!result.promise.empty()) violate(its_seed, result.promise, result.how);
  }

  void add(const Sum& other) {
    seeds += other.seeds;
    add_counts(other);
    for (std::uint64_t index = 0; index < other.violations; ++index) {
      if (index < kept_violations && violations < kept_violations) kept[violations] = other.kept[index];
      ++violations;
    }
  }

  void add(const Transitions& more) {
    for (std::size_t from = 0; from < host_phases; ++from)
      for (std::size_t to = 0; to < host_phases; ++to) transitions.hosts[from][to] += more.hosts[from][to];
    for (std::size_t from = 0; from < rollout_phases; ++from)
      for (std::size_t to = 0; to < rollout_phases; ++to) transitions.rollouts[from][to] += more.rollouts[from][to];
  }
};

std::string command_for(std::uint64_t seed, const Limits& limits) {
  auto text = "tests/simulate --seed " + std::to_string(seed);
  if (limits.hosts > 0) text += " --hosts " + std::to_string(limits.hosts);
  for (auto fault : limits.without) text += " --without " + std::string(fault_table()[static_cast<std::size_t>(fault)].name);
  return text;
}

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// Every seed from `first` in strides. A worker that dies is a violation of the seed that it worked on; another goes on.
struct Worker {
  Sum* sum = nullptr;
  std::uint64_t next = 0;
  pid_t pid = 0;
};

void work(Sum& sum, std::uint64_t from, const Arguments& arguments, double until) {
  for (auto seed = from; seed <= arguments.last && (until == 0 || now() < until); seed += static_cast<std::uint64_t>(arguments.jobs)) {
    sum.seed = seed;
    sum.add(seed, simulate(seed, arguments.limits, false));
  }
  sum.seed = 0;
}

void run_workers(const Arguments& arguments, Sum& total) {
  auto until = arguments.minutes > 0 ? now() + arguments.minutes * 60 : 0;
  std::vector<Worker> workers(static_cast<std::size_t>(arguments.jobs));
  auto launch = [&](Worker& worker) {
    std::fflush(stdout);
    worker.pid = fork();
    if (worker.pid != 0) return;
    work(*worker.sum, worker.next, arguments, until);
    _exit(0);
  };
  for (std::size_t index = 0; index < workers.size(); ++index) {
    auto* memory = mmap(nullptr, sizeof(Sum), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    workers[index].sum = new (memory) Sum;
    workers[index].next = arguments.first + index;
    launch(workers[index]);
  }
  for (std::size_t left = workers.size(); left > 0;) {
    int status = 0;
    auto pid = wait(&status);
    auto worker = std::find_if(workers.begin(), workers.end(), [&](const Worker& one) { return one.pid == pid; });
    if (worker == workers.end()) continue;
    if (auto seed = worker->sum->seed; seed != 0) {
      worker->sum->violate(seed, "the_daemon_lives", "the process ended with status " + std::to_string(status));
      worker->sum->seed = 0;
      worker->next = seed + static_cast<std::uint64_t>(arguments.jobs);
      launch(*worker);
      continue;
    }
    --left;
  }
  for (auto& worker : workers) {
    total.add(*worker.sum);
    munmap(worker.sum, sizeof(Sum));
  }
}

// The arrows of the diagram in docs/engine.md: "  draining --> depooling: traffic comes again".
std::vector<std::pair<std::string, std::string>> drawn_transitions(const std::string& page) {
  std::vector<std::pair<std::string, std::string>> arrows;
  std::ifstream file(page);
  for (std::string line; std::getline(file, line);) {
    auto arrow = line.find(" --> ");
    if (arrow == line.npos || line.find("[*]") != line.npos) continue;
    auto from = line.substr(0, arrow);
    from.erase(0, from.find_first_not_of(' '));
    auto to = line.substr(arrow + 5);
    arrows.emplace_back(from, to.substr(0, to.find(':')));
  }
  return arrows;
}

int print_coverage(const Sum& sum, const Arguments& arguments) {
  int missed = 0;
  std::printf("faults:\n");
  for (std::size_t fault = 0; fault < faults_count; ++fault) {
    std::printf("  %-24s %10llu\n", std::string(fault_table()[fault].name).c_str(), static_cast<unsigned long long>(sum.faults[fault]));
    if (sum.faults[fault] == 0) ++missed;
  }
  std::printf("transitions of hosts:\n");
  auto arrows = drawn_transitions(arguments.engine_page);
  for (std::size_t from = 0; from < host_phases; ++from) {
    for (std::size_t to = 0; to < host_phases; ++to) {
      auto arrow = std::pair(std::string(to_string(static_cast<HostPhase>(from))), std::string(to_string(static_cast<HostPhase>(to))));
      bool drawn = std::find(arrows.begin(), arrows.end(), arrow) != arrows.end();
      auto times = sum.transitions.hosts[from][to];
      if (times == 0 && !drawn) continue;
      std::printf("  %-16s %-16s %10llu%s\n", arrow.first.c_str(), arrow.second.c_str(), static_cast<unsigned long long>(times),
                  times == 0 ? "  never" : "");
      if (times == 0) ++missed;
    }
  }
  if (arrows.empty()) ++missed;
  std::printf("transitions of rollouts:\n");
  for (std::size_t from = 0; from < rollout_phases; ++from) {
    for (std::size_t to = 0; to < rollout_phases; ++to) {
      if (auto times = sum.transitions.rollouts[from][to]; times > 0)
        std::printf("  %-16s %-16s %10llu\n", std::string(to_string(static_cast<Phase>(from))).c_str(),
                    std::string(to_string(static_cast<Phase>(to))).c_str(), static_cast<unsigned long long>(times));
    }
  }
  return missed;
}

[[noreturn]] void usage(const std::string& wrong) {
  std::fprintf(stderr,
               "simulate: %s\n"
               "usage: simulate [--seed N | --seeds A..B] [--minutes M] [--jobs N] [--whole] [--reduce] [--hosts N] [--without FAULT]...\n",
               wrong.c_str());
  std::exit(2);
}

}  // namespace

Arguments parse_arguments(int argc, char** argv) {
  Arguments arguments;
  arguments.engine_page = SHIFTD_SOURCE_DIR "/docs/engine.md";
  std::vector<std::string> words(argv + 1, argv + argc);
  for (std::size_t at = 0; at < words.size(); ++at) {
    const auto& word = words[at];
    auto value = [&]() -> const std::string& {
      if (at + 1 == words.size()) usage(word + " wants a value");
      return words[++at];
    };
    if (word == "--seed") {
      arguments.one = true;
      arguments.first = arguments.last = std::stoull(value());
    } else if (word == "--seeds") {
      const auto& range = value();
      auto dots = range.find("..");
      if (dots == range.npos) usage("--seeds wants A..B, not '" + range + "'");
      arguments.first = std::stoull(range.substr(0, dots));
      arguments.last = std::stoull(range.substr(dots + 2));
    } else if (word == "--minutes") {
      arguments.minutes = std::stod(value());
    } else if (word == "--jobs") {
      arguments.jobs = std::max(1, std::stoi(value()));
    } else if (word == "--hosts") {
      arguments.limits.hosts = std::stoi(value());
    } else if (word == "--without") {
      const auto& name = value();
      const auto& table = fault_table();
      auto found = std::find_if(table.begin(), table.end(), [&](const FaultRow& row) { return row.name == name; });
      if (found == table.end()) usage("there is no fault '" + name + "'");
      arguments.limits.without.push_back(static_cast<Fault>(found - table.begin()));
    } else if (word == "--whole") {
      arguments.whole = true;
    } else if (word == "--reduce") {
      arguments.reduce = true;
    } else {
      usage("what is '" + word + "'?");
    }
  }
  return arguments;
}

// Takes faults and hosts away for as long as the same promise is still broken.
Limits reduced(std::uint64_t seed, Limits limits, const std::string& promise) {
  auto still = [&](const Limits& smaller) { return simulate(seed, smaller, false).promise == promise; };
  for (std::size_t fault = 0; fault < faults_count; ++fault) {
    auto smaller = limits;
    smaller.without.push_back(static_cast<Fault>(fault));
    if (still(smaller)) limits = std::move(smaller);
  }
  for (int hosts : {1, 2, 3, 4, 5, 6, 8, 12, 20, 50}) {
    if (limits.hosts > 0 && hosts >= limits.hosts) break;
    auto smaller = limits;
    smaller.hosts = hosts;
    if (!still(smaller)) continue;
    limits = std::move(smaller);
    break;
  }
  return limits;
}

int run_seeds(const Arguments& arguments) {
  auto total = std::make_unique<Sum>();
  auto limits = arguments.limits;
  auto began = now();
  if (arguments.one) {
    if (arguments.reduce) {
      auto first = simulate(arguments.first, limits, false);
      if (!first.promise.empty()) limits = reduced(arguments.first, limits, first.promise);
      std::printf("%s\n", command_for(arguments.first, limits).c_str());
    }
    total->add(arguments.first, simulate(arguments.first, limits, true));
  } else {
    run_workers(arguments, *total);
  }
  int missed = arguments.one ? 0 : print_coverage(*total, arguments);
  auto seconds = now() - began;
  for (std::uint64_t index = 0; index < std::min<std::uint64_t>(total->violations, kept_violations); ++index) {
    const auto& violation = total->kept[index];
    std::printf("VIOLATION of %s: %s\n  %s\n", violation.promise, violation.how, command_for(violation.seed, limits).c_str());
  }
  if (!arguments.one) {
    std::printf(
        "outcomes: %llu succeeded, %llu rolled back, %llu failed, %llu aborted; %.1f s, %.0f rollouts/s, %llu records of %llu bytes\n",
        static_cast<unsigned long long>(total->ended[1]), static_cast<unsigned long long>(total->ended[2]),
        static_cast<unsigned long long>(total->ended[3]), static_cast<unsigned long long>(total->ended[4]), seconds,
        static_cast<double>(total->rollouts) / seconds, static_cast<unsigned long long>(total->records),
        static_cast<unsigned long long>(total->records == 0 ? 0 : total->record_bytes / total->records));
    std::printf("the verdict condemned %llu of %llu good releases\n", static_cast<unsigned long long>(total->good_condemned),
                static_cast<unsigned long long>(total->good_judged));
    // Its confidence is 99%; a few more may be chance where few were judged.
    if (total->good_condemned > 3 + total->good_judged / 50) total->violate(0, "a_good_release_is_not_condemned", "too often");
  }
  if (arguments.whole && missed > 0) std::printf("%d faults or transitions were never hit\n", missed);
  std::uint64_t faults = 0;
  for (auto hits : total->faults) faults += hits;
  std::printf("%llu seeds, %llu violations, %llu rollouts, %llu steps, %llu faults\n", static_cast<unsigned long long>(total->seeds),
              static_cast<unsigned long long>(total->violations), static_cast<unsigned long long>(total->rollouts),
              static_cast<unsigned long long>(total->steps), static_cast<unsigned long long>(faults));
  return total->violations > 0 || (arguments.whole && missed > 0) ? 1 : 0;
}

}  // namespace shiftd::simulator
