// A journal that is forgotten with its process. It refuses what the durable one refuses; the contract suite holds both
// to the same words.

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <utility>

#include "daemon/store/accepted.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {
namespace {

class MemoryJournal final : public Journal {
 public:
  Task<Result<std::vector<RolloutSummary>>> list() override {
    std::vector<RolloutSummary> summaries;
    for (const auto& kept : rollouts_) summaries.push_back({kept.id, kept.service, kept.records.size(), kept.ended});
    co_return summaries;
  }

  Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records) override {
    if (auto accepted = accepted_name("rollout", rollout); !accepted) co_return accepted;
    if (auto accepted = accepted_name("service", service); !accepted) co_return accepted;
    if (auto accepted = accepted_records(records); !accepted) co_return accepted;
    if (find(rollout) != rollouts_.end()) co_return exists_already(rollout);
    counted(records.size());
    rollouts_.push_back({std::move(rollout), std::move(service), std::move(records), false});
    co_return Result<void>{};
  }

  Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) override {
    if (auto accepted = accepted_records(records); !accepted) co_return accepted;
    auto kept = find(rollout);
    if (kept == rollouts_.end()) co_return no_such_rollout(rollout);
    if (kept->ended) co_return has_ended(rollout);
    if (kept->records.size() != expected) co_return not_the_next(rollout, kept->records.size(), expected);
    counted(records.size());
    std::move(records.begin(), records.end(), std::back_inserter(kept->records));
    kept->ended = ended;
    co_return Result<void>{};
  }

  Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most) override {
    auto kept = find(rollout);
    if (kept == rollouts_.end()) co_return no_such_rollout(rollout);
    auto first = std::min<std::uint64_t>(from, kept->records.size());
    auto count = std::min<std::uint64_t>(most, kept->records.size() - first);
    auto begin = kept->records.begin() + static_cast<std::ptrdiff_t>(first);
    co_return std::vector<std::string>(begin, begin + static_cast<std::ptrdiff_t>(count));
  }

  Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint) override {
    if (auto accepted = accepted_name("rollout", rollout); !accepted) co_return accepted;
    if (auto accepted = accepted_text("checkpoint", checkpoint); !accepted) co_return accepted;
    checkpoints_[std::move(rollout)] = std::move(checkpoint);
    co_return Result<void>{};
  }

  Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout) override {
    auto found = checkpoints_.find(rollout);
    co_return found == checkpoints_.end() ? std::nullopt : std::optional(found->second);
  }

  Task<Result<void>> save_cursor(std::string reader, std::string rollout, std::uint64_t records) override {
    if (auto accepted = accepted_name("reader", reader); !accepted) co_return accepted;
    if (auto accepted = accepted_name("rollout", rollout); !accepted) co_return accepted;
    cursors_[std::move(reader)][std::move(rollout)] = records;
    co_return Result<void>{};
  }

  Task<Result<std::map<std::string, std::uint64_t>>> load_cursors(std::string reader) override { co_return cursors_[std::move(reader)]; }

  Task<Result<void>> add_counts(std::string service, CountsPoint point, Duration keep) override {
    if (auto accepted = accepted_name("service", service); !accepted) co_return accepted;
    if (auto accepted = accepted_text("counts point", point.counts); !accepted) co_return accepted;
    auto& series = counts_[std::move(service)];
    auto oldest = point.at - keep;
    series.emplace(point.at, std::move(point.counts));
    series.erase(series.begin(), series.lower_bound(oldest));
    co_return Result<void>{};
  }

  Task<Result<std::vector<CountsPoint>>> read_counts(std::string service, Instant from) override {
    std::vector<CountsPoint> points;
    const auto& series = counts_[service];
    for (auto point = series.lower_bound(from); point != series.end(); ++point) points.push_back({point->first, point->second});
    co_return points;
  }

  Task<Result<void>> check() override { co_return Result<void>{}; }

  Task<Result<void>> drop_counts(std::string series) override {
    counts_.erase(series);
    co_return Result<void>{};
  }

  Task<Result<std::size_t>> retain(std::size_t keep) override {
    auto ended = static_cast<std::size_t>(std::count_if(rollouts_.begin(), rollouts_.end(), [](const Kept& kept) { return kept.ended; }));
    auto surplus = ended > keep ? ended - keep : 0;
    auto left = surplus;
    std::erase_if(rollouts_, [&](const Kept& kept) {
      if (!kept.ended || left == 0) return false;
      checkpoints_.erase(kept.id);
      for (auto& [reader, cursors] : cursors_) cursors.erase(kept.id);
      counts_.erase(recording_of(kept.id));
      --left;
      return true;
    });
    co_return surplus;
  }

  JournalStats stats() const override { return stats_; }

 private:
  struct Kept {
    std::string id;
    std::string service;
    std::vector<std::string> records;
    bool ended;
  };

  std::vector<Kept>::iterator find(const std::string& rollout) {
    return std::find_if(rollouts_.begin(), rollouts_.end(), [&](const Kept& kept) { return kept.id == rollout; });
  }

  void counted(std::size_t records) {
    ++stats_.commits;
    stats_.appended_records += records;
  }

  std::vector<Kept> rollouts_;
  std::map<std::string, std::string> checkpoints_;
  std::map<std::string, std::map<std::string, std::uint64_t>> cursors_;  // by reader and rollout
  std::map<std::string, std::multimap<Instant, std::string>> counts_;
  JournalStats stats_;
};

}  // namespace

std::unique_ptr<Journal> make_memory_journal() { return std::make_unique<MemoryJournal>(); }

}  // namespace shiftd
