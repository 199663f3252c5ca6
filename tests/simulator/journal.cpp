// The journal as one life of the daemon sees it: the disk outlives it, and what was asked of it may fail in every way
// that its interface allows.

#include <utility>

#include "tests/simulator/world.hpp"

namespace shiftd::simulator {
namespace {

class SimulatedJournal final : public Journal {
 public:
  SimulatedJournal(World& world, int life) : world_(world), life_(life) {}

  Task<Result<std::vector<RolloutSummary>>> list() override {
    co_await world_.reach(life_, 1ms);
    co_return co_await world_.disk->list();
  }

  Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records) override {
    auto kept = records;
    auto before = co_await before_save();
    if (!before) co_return before;
    auto created = co_await world_.disk->create(rollout, std::move(service), std::move(records));
    if (!created) co_return created;
    if (world_.witness != nullptr) world_.witness->saved(rollout, kept);
    co_return co_await after_save(false);
  }

  Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) override {
    auto kept = records;
    auto before = co_await before_save();
    if (!before) co_return before;
    auto appended = co_await world_.disk->append(rollout, expected, std::move(records), ended);
    if (!appended) co_return appended;
    if (world_.witness != nullptr) world_.witness->saved(rollout, kept);
    co_return co_await after_save(true);
  }

  Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most) override {
    co_await world_.reach(life_, 1ms);
    co_return co_await world_.disk->read(std::move(rollout), from, most);
  }

  Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint) override {
    co_await world_.reach(life_, 1ms);
    co_return co_await world_.disk->save_checkpoint(std::move(rollout), std::move(checkpoint));
  }
  Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout) override {
    co_await world_.reach(life_, 1ms);
    co_return co_await world_.disk->load_checkpoint(std::move(rollout));
  }
  Task<Result<void>> save_cursor(std::string reader, std::string rollout, std::uint64_t records) override {
    return world_.disk->save_cursor(std::move(reader), std::move(rollout), records);
  }
  Task<Result<std::map<std::string, std::uint64_t>>> load_cursors(std::string reader) override {
    return world_.disk->load_cursors(std::move(reader));
  }
  Task<Result<void>> add_counts(std::string, CountsPoint, Duration) override { co_return Result<void>{}; }
  Task<Result<std::vector<CountsPoint>>> read_counts(std::string service, Instant from) override {
    return world_.disk->read_counts(std::move(service), from);
  }
  Task<Result<void>> drop_counts(std::string series) override { return world_.disk->drop_counts(std::move(series)); }
  Task<Result<std::size_t>> retain(std::size_t keep) override { return world_.disk->retain(keep); }
  Task<Result<void>> check() override { return world_.disk->check(); }
  JournalStats stats() const override { return world_.disk->stats(); }

 private:
  Task<> die() {
    world_.kill();
    co_await world_.reach(-1, 0ms);
  }

  Task<Result<void>> before_save() {
    co_await world_.reach(life_, Duration(world_.chance.pick(0, 4)));
    if (world_.faults.strikes(Fault::killed_before_save)) co_await die();
    if (world_.clock.steady() < world_.disk_full_until) co_return Failure{Errc::exhausted, "the disk is full"};
    if (world_.faults.strikes(Fault::save_refused)) {
      world_.disk_full_since = world_.clock.steady();
      world_.disk_full_until = world_.clock.steady() + world_.faults.chance(Fault::save_refused).between(100ms, 60s);
      co_return Failure{Errc::exhausted, "the disk is full"};
    }
    if (world_.faults.strikes(Fault::save_lost)) co_return Failure{Errc::timed_out, "no answer"};
    co_return Result<void>{};
  }

  Task<Result<void>> after_save(bool may_be_unheard) {
    if (world_.faults.strikes(Fault::killed_after_save)) co_await die();
    if (may_be_unheard && world_.faults.strikes(Fault::save_unheard)) co_return Failure{Errc::timed_out, "no answer"};
    co_return Result<void>{};
  }

  World& world_;
  int life_;
};

}  // namespace

std::unique_ptr<Journal> World::make_journal(int its_life) { return std::make_unique<SimulatedJournal>(*this, its_life); }

}  // namespace shiftd::simulator
