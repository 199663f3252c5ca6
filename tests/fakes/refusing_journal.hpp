#pragma once

// A journal that can be told to refuse, as one on a full disk does, to keep its answer to itself, or to take its time;
// otherwise the one in memory.

#include <memory>
#include <utility>

#include "daemon/io/clock.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

class RefusingJournal final : public Journal {
 public:
  explicit RefusingJournal(Clock& clock) : clock_(clock) {}

  bool full = false;
  Duration append_time{0};
  bool unheard = false;  // once: the next append is made, and its answer is timed_out

  Task<Result<std::vector<RolloutSummary>>> list() override { return memory_->list(); }
  Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records) override {
    if (full) return refuse();
    return memory_->create(std::move(rollout), std::move(service), std::move(records));
  }
  Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) override {
    if (full) return refuse();
    auto appended = memory_->append(std::move(rollout), expected, std::move(records), ended);
    if (std::exchange(unheard, false)) return unheard_of(std::move(appended));
    return append_time > Duration(0) ? later(std::move(appended)) : std::move(appended);
  }
  Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most) override {
    return memory_->read(std::move(rollout), from, most);
  }
  Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint) override {
    return memory_->save_checkpoint(std::move(rollout), std::move(checkpoint));
  }
  Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout) override {
    return memory_->load_checkpoint(std::move(rollout));
  }
  Task<Result<void>> save_cursor(std::string reader, std::string rollout, std::uint64_t records) override {
    return memory_->save_cursor(std::move(reader), std::move(rollout), records);
  }
  Task<Result<std::map<std::string, std::uint64_t>>> load_cursors(std::string reader) override {
    return memory_->load_cursors(std::move(reader));
  }
  Task<Result<void>> add_counts(std::string service, CountsPoint point, Duration keep) override {
    return memory_->add_counts(std::move(service), std::move(point), keep);
  }
  Task<Result<std::vector<CountsPoint>>> read_counts(std::string service, Instant from) override {
    return memory_->read_counts(std::move(service), from);
  }
  Task<Result<void>> drop_counts(std::string series) override { return memory_->drop_counts(std::move(series)); }
  Task<Result<std::size_t>> retain(std::size_t keep) override { return memory_->retain(keep); }
  Task<Result<void>> check() override { return full ? refuse() : memory_->check(); }
  JournalStats stats() const override { return memory_->stats(); }

 private:
  Task<Result<void>> later(Task<Result<void>> appended) {
    co_await clock_.sleep_for(append_time);
    co_return co_await std::move(appended);
  }
  static Task<Result<void>> unheard_of(Task<Result<void>> appended) {
    (void)co_await std::move(appended);
    co_return Failure{Errc::timed_out, "no answer"};
  }
  static Task<Result<void>> refuse() { co_return Failure{Errc::exhausted, "the disk is full"}; }

  Clock& clock_;
  std::unique_ptr<Journal> memory_ = make_memory_journal();
};

}  // namespace shiftd
