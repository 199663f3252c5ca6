// What a save costs: append on a real file system, alone and with company.
//
// Run where the journal will live: TMPDIR=/var/lib/shiftd build/bench/journal_bench. The floor beside it is the same
// bytes written and fsynced by hand.

#include <fcntl.h>
#include <unistd.h>

#include <benchmark/benchmark.h>

#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using Records = std::vector<std::string>;

const std::string record(200, 'r');

void write_and_fsync(benchmark::State& state) {
  TemporaryDirectory directory;
  auto file = ::open((directory.path() + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::string frames(4 * 4120, 'f');  // about what one append puts into the log: four pages
  ::off_t at = 0;
  for (auto _ : state) {
    if (::pwrite(file, frames.data(), frames.size(), at) < 0 || ::fdatasync(file) != 0) state.SkipWithError("the disk");
    at = (at + static_cast<::off_t>(frames.size())) % (4 << 20);
  }
  ::close(file);
}
BENCHMARK(write_and_fsync)->UseRealTime()->Unit(benchmark::kMicrosecond);

// So many rollouts append one record each at the same time; the time is that of one round.
void append(benchmark::State& state) {
  TemporaryDirectory directory;
  boost::asio::io_context loop(1);
  auto opened = open_sqlite_journal(directory.path() + "/journal.db");
  if (!opened) return state.SkipWithError(opened.error().what.c_str());
  auto& journal = **opened;
  auto rollouts = static_cast<int>(state.range(0));
  for (int i = 0; i < rollouts; ++i) (void)run_task(loop, journal.create("r" + std::to_string(i), "web", Records(1, record)));

  bool failed = false;
  auto one = [](Journal& into, int number, std::uint64_t at, bool* fails) -> Task<> {
    auto appended = co_await into.append("r" + std::to_string(number), at, Records(1, record), false);
    if (!appended) *fails = true;
  };
  auto round = [&](std::uint64_t at) -> Task<> {
    TaskGroup tasks(loop.get_executor());
    for (int i = 0; i < rollouts; ++i) tasks.start("append", one(journal, i, at, &failed));
    co_await tasks.join();
  };
  auto before = journal.stats();
  std::uint64_t at = 1;
  for (auto _ : state) run_task(loop, round(at++));
  if (failed) state.SkipWithError("an append failed");
  auto commits = static_cast<double>(journal.stats().commits - before.commits);
  state.counters["commits_per_round"] = commits / static_cast<double>(state.iterations());
  state.SetItemsProcessed(state.iterations() * rollouts);
}
BENCHMARK(append)->Arg(1)->Arg(10)->Arg(100)->UseRealTime()->Unit(benchmark::kMicrosecond);

// Reading a rollout of 100,000 records back, as a restart does.
void read_back(benchmark::State& state) {
  TemporaryDirectory directory;
  boost::asio::io_context loop(1);
  auto opened = open_sqlite_journal(directory.path() + "/journal.db");
  if (!opened) return state.SkipWithError(opened.error().what.c_str());
  (void)run_task(loop, (*opened)->create("r1", "web", Records(100'000, record)));
  for (auto _ : state) {
    auto records = run_task(loop, (*opened)->read("r1", 0, 1'000'000));
    if (!records || records->size() != 100'000) state.SkipWithError("read");
  }
}
BENCHMARK(read_back)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace shiftd
