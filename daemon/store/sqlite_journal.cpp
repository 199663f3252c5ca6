// The embedded journal: records and evidence, each in a file and on a thread of its own, behind one lock.

#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "daemon/store/evidence.hpp"
#include "daemon/store/journal.hpp"
#include "daemon/store/lock_file.hpp"
#include "daemon/store/private_file.hpp"
#include "daemon/store/records.hpp"

namespace shiftd {
namespace {

class SqliteJournal final : public Journal {
 public:
  SqliteJournal(LockFile lock, std::unique_ptr<Records> records, std::unique_ptr<Evidence> evidence, std::string notice)
      : lock_(std::move(lock)), records_(std::move(records)), evidence_(std::move(evidence)), notice_(std::move(notice)) {}

  Task<Result<std::vector<RolloutSummary>>> list() override { return records_->list(); }

  Task<Result<void>> create(std::string rollout, std::string service, std::vector<std::string> records) override {
    return records_->create(std::move(rollout), std::move(service), std::move(records));
  }

  Task<Result<void>> append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) override {
    return records_->append(std::move(rollout), expected, std::move(records), ended);
  }

  Task<Result<std::vector<std::string>>> read(std::string rollout, std::uint64_t from, std::size_t most) override {
    return records_->read(std::move(rollout), from, most);
  }

  Task<Result<void>> save_checkpoint(std::string rollout, std::string checkpoint) override {
    return evidence_->save_checkpoint(std::move(rollout), std::move(checkpoint));
  }

  Task<Result<std::optional<std::string>>> load_checkpoint(std::string rollout) override {
    return evidence_->load_checkpoint(std::move(rollout));
  }

  Task<Result<void>> save_cursor(std::string reader, std::string rollout, std::uint64_t records) override {
    return evidence_->save_cursor(std::move(reader), std::move(rollout), records);
  }

  Task<Result<std::map<std::string, std::uint64_t>>> load_cursors(std::string reader) override {
    return evidence_->load_cursors(std::move(reader));
  }

  Task<Result<void>> add_counts(std::string service, CountsPoint point, Duration keep) override {
    return evidence_->add_counts(std::move(service), std::move(point), keep);
  }

  Task<Result<std::vector<CountsPoint>>> read_counts(std::string service, Instant from) override {
    return evidence_->read_counts(std::move(service), from);
  }

  Task<Result<void>> drop_counts(std::string series) override { return evidence_->drop_counts(std::move(series)); }

  // What is kept beside them first: killed in between, an ended rollout is left without it, and needs it no more.
  Task<Result<std::size_t>> retain(std::size_t keep) override {
    auto surplus = co_await records_->surplus(keep);
    if (!surplus) co_return std::move(surplus).error();
    if (auto forgotten = co_await evidence_->forget(*surplus); !forgotten) co_return std::move(forgotten).error();
    if (auto removed = co_await records_->remove(*surplus); !removed) co_return std::move(removed).error();
    co_return surplus->size();
  }

  Task<Result<void>> check() override { return records_->check(); }

  JournalStats stats() const override {
    return {records_->commits(), records_->appended(), records_->committing(), records_->epoch(), notice_};
  }

 private:
  LockFile lock_;  // first: it goes last
  std::unique_ptr<Records> records_;
  std::unique_ptr<Evidence> evidence_;
  std::string notice_;
};

}  // namespace

Result<std::unique_ptr<Journal>> open_sqlite_journal(const std::string& path) {
  // Two names of one file must lead to one lock.
  std::error_code error;
  auto real = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  if (error) return Failure{Errc::bad_input, fmt::format("journal {}: {}", path, error.message())};
  auto directory = real.parent_path();
  if (!std::filesystem::is_directory(directory, error)) {
    auto why = error && error != std::errc::no_such_file_or_directory ? error.message() : "make it, mode 0700, owned by the daemon's user";
    return Failure{Errc::bad_input, fmt::format("journal {}: there is no directory {}: {}", path, directory.string(), why)};
  }

  auto lock = LockFile::take(real.string() + ".lock");
  if (!lock) return std::move(lock).error().during("journal");
  if (auto made = make_private_file(real.string()); !made) return std::move(made).error().during("journal");
  std::string notice;
  auto records = Records::open(real.string(), notice);
  if (!records) return std::move(records).error().during("journal");
  auto evidence = Evidence::open(real.string() + ".evidence", notice);
  if (!evidence) return std::move(evidence).error().during("journal");
  return std::make_unique<SqliteJournal>(std::move(*lock), std::move(*records), std::move(*evidence), std::move(notice));
}

}  // namespace shiftd
