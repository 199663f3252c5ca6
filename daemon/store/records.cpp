#include "daemon/store/records.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include <fmt/core.h>

#include "daemon/store/accepted.hpp"

namespace shiftd {
namespace {

constexpr int wal_pages_before_checkpoint = 1'000;  // 4 MB
constexpr int records_freed_in_a_step = 5'000;

std::int64_t column(std::uint64_t number) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(number, std::numeric_limits<std::int64_t>::max()));
}

Result<void> count_opening(Database& database) {
  if (auto begun = database.begin(); !begun) return begun;
  auto counted = database.script(
      "CREATE TABLE IF NOT EXISTS openings (count INTEGER NOT NULL) STRICT;"
      "INSERT INTO openings SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM openings);"
      "UPDATE openings SET count = count + 1");
  if (!counted) {
    database.roll_back();
    return counted;
  }
  return database.commit();
}

// A disk that takes nothing keeps no daemon from what it has to watch: it goes on in its former epoch.
Result<std::uint64_t> next_epoch(Database& database, std::string& notice) {
  if (auto counted = count_opening(database); !counted)
    notice = fmt::format("this start could not be counted, so hosts cannot tell this daemon from the one before: {}", counted.error().what);
  auto there = database.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'openings'");
  if (!there) return std::move(there).error();
  if (*there == 0) return std::uint64_t{0};
  auto count = database.integer("SELECT count FROM openings");
  if (!count) return std::move(count).error();
  return static_cast<std::uint64_t>(*count);
}

}  // namespace

// A rollout that is being removed has no id any more: nothing finds it, and its records are freed step by step.
const Schema records_schema = {0x73686a31, 1, R"(
  CREATE TABLE rollouts (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT UNIQUE,
    service TEXT NOT NULL,
    records INTEGER NOT NULL,
    ended INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE records (
    rollout INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (rollout, seq)
  ) STRICT, WITHOUT ROWID)"};

Result<std::vector<RolloutSummary>> list_rollouts(Database& database) {
  std::vector<RolloutSummary> summaries;
  Query query(database, "SELECT id, service, records, ended FROM rollouts WHERE id IS NOT NULL ORDER BY key");
  while (true) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return summaries;
    summaries.push_back({query.text(0), query.text(1), static_cast<std::uint64_t>(query.integer(2)), query.integer(3) != 0});
  }
}

Result<std::vector<std::string>> read_records(Database& database, const std::string& rollout, std::uint64_t from, std::size_t most) {
  Query find(database, "SELECT key, records FROM rollouts WHERE id = ?", {rollout});
  auto found = find.next();
  if (!found) return std::move(found).error();
  if (!*found) return no_such_rollout(rollout);
  auto next = static_cast<std::uint64_t>(find.integer(1));
  auto left = next > from ? std::min<std::uint64_t>(most, next - from) : 0;

  // A file that was salvaged may have gaps. A fold must not step over one.
  std::vector<std::string> records;
  Query query(database, "SELECT seq, record FROM records WHERE rollout = ? AND seq >= ? ORDER BY seq LIMIT ?",
              {find.integer(0), column(from), column(left)});
  for (auto seq = from; records.size() < left; ++seq) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row || query.integer(0) != column(seq)) return database.damaged(fmt::format("record {} of rollout {} is missing", seq, rollout));
    records.push_back(query.text(1));
  }
  return records;
}

Result<std::unique_ptr<Records>> Records::open(const std::string& path, std::string& notice) {
  auto opened = Database::open(path, Database::Access::read_write);
  if (!opened) return std::move(opened).error();
  auto& database = **opened;
  if (!database.writable()) return Failure{Errc::unavailable, fmt::format("{} cannot be written: it is read only", path)};

  // A daemon does not decide on a damaged truth.
  auto checked = database.text("PRAGMA quick_check(1)");
  if (!checked) return std::move(checked).error();
  if (*checked != "ok") return database.damaged(*checked);

  if (auto known = has_schema(database, records_schema); !known) return std::move(known).error();
  auto mode = database.text("PRAGMA journal_mode = WAL");
  if (!mode) return std::move(mode).error();
  if (*mode != "wal") {
    return Failure{Errc::unavailable, fmt::format("{}: its file system cannot keep a write-ahead log: use a local one", path)};
  }
  if (auto synced = database.run("PRAGMA synchronous = FULL"); !synced) return std::move(synced).error();
  if (auto made = bring_to(database, records_schema); !made) return std::move(made).error();
  auto epoch = next_epoch(database, notice);
  if (!epoch) return std::move(epoch).error();
  database.checkpoint_by_hand();
  database.in_service();
  return std::unique_ptr<Records>(new Records(std::move(*opened), *epoch));
}

Task<Result<std::vector<RolloutSummary>>> Records::list() {
  std::function<Result<std::vector<RolloutSummary>>()> job = [this] { return list_rollouts(*database_); };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<void>> Records::create(std::string rollout, std::string service, std::vector<std::string> records) {
  if (auto accepted = accepted_name("rollout", rollout); !accepted) co_return accepted;
  if (auto accepted = accepted_name("service", service); !accepted) co_return accepted;
  if (auto accepted = accepted_records(records); !accepted) co_return accepted;
  Write create{std::move(rollout), std::move(service), 0, std::move(records), true, false, nullptr};
  co_return co_await write(std::move(create));
}

Task<Result<void>> Records::append(std::string rollout, std::uint64_t expected, std::vector<std::string> records, bool ended) {
  if (auto accepted = accepted_records(records); !accepted) co_return accepted;
  Write append{std::move(rollout), {}, expected, std::move(records), false, ended, nullptr};
  co_return co_await write(std::move(append));
}

Task<Result<void>> Records::write(Write write) {
  auto answer = std::make_shared<Answer<Result<void>>>(co_await boost::asio::this_coro::executor);
  write.answer = answer;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(write));
  }
  thread_.post([this] { commit_waiting(); });
  co_return co_await Answer<Result<void>>::wait(std::move(answer));
}

Task<Result<std::vector<std::string>>> Records::read(std::string rollout, std::uint64_t from, std::size_t most) {
  std::function<Result<std::vector<std::string>>()> job = [this, rollout = std::move(rollout), from, most] {
    return read_records(*database_, rollout, from, most);
  };
  co_return co_await thread_.run(std::move(job));
}

void Records::commit_waiting() {
  std::vector<Write> group;
  {
    std::lock_guard lock(mutex_);
    group.swap(waiting_);
  }
  if (group.empty()) return;
  auto committed = commit(group);
  for (auto& write : group) {
    auto outcome = committed ? std::move(write.outcome) : committed;
    Answer<Result<void>>::give(std::move(write.answer), std::move(outcome));
  }
  // After the answers, so that nobody waits for it.
  checkpoint_when_due();
}

// One that fails loses nothing: the WAL keeps what it keeps, and the next commit tries again.
void Records::checkpoint_when_due() {
  if (database_->wal_pages() >= wal_pages_before_checkpoint) (void)database_->checkpoint();
}

// A failure is everybody's: also of those that were refused, since what they were refused for may have gone with it.
Result<void> Records::commit(std::vector<Write>& group) {
  auto began = std::chrono::steady_clock::now();
  if (auto begun = database_->begin(); !begun) return begun;
  std::uint64_t records = 0;
  for (auto& write : group) {
    if (auto put_in = put(write); !put_in) {
      database_->roll_back();
      return put_in;
    }
    if (write.outcome) records += write.records.size();
  }
  if (records == 0) {
    database_->roll_back();
    return {};
  }
  if (auto committed = database_->commit(); !committed) return committed;
  ++commits_;
  appended_ += records;
  committing_us_ += std::chrono::floor<std::chrono::microseconds>(std::chrono::steady_clock::now() - began).count();
  return {};
}

// Puts one write into the transaction, or refuses it alone, in its outcome, before anything of it was written.
// Fails when the database does.
Result<void> Records::put(Write& write) {
  Query find(*database_, "SELECT key, records, ended FROM rollouts WHERE id = ?", {write.rollout});
  auto found = find.next();
  if (!found) return std::move(found).error();
  auto count = static_cast<std::int64_t>(write.records.size());
  std::int64_t key = 0;
  std::uint64_t seq = write.expected;
  if (write.creates) {
    if (*found) {
      write.outcome = exists_already(write.rollout);
      return {};
    }
    auto opened =
        database_->run("INSERT INTO rollouts (id, service, records, ended) VALUES (?, ?, ?, 0)", {write.rollout, write.service, count});
    if (!opened) return opened;
    key = database_->last_key();
  } else {
    if (!*found) {
      write.outcome = no_such_rollout(write.rollout);
      return {};
    }
    key = find.integer(0);
    auto next = static_cast<std::uint64_t>(find.integer(1));
    if (find.integer(2) != 0) {
      write.outcome = has_ended(write.rollout);
      return {};
    }
    if (next != write.expected) {
      write.outcome = not_the_next(write.rollout, next, write.expected);
      return {};
    }
    auto moved =
        database_->run("UPDATE rollouts SET records = records + ?, ended = ? WHERE key = ?", {count, std::int64_t{write.ended}, key});
    if (!moved) return moved;
  }
  for (const auto& record : write.records) {
    auto kept = database_->run("INSERT INTO records (rollout, seq, record) VALUES (?, ?, ?)", {key, column(seq++), record});
    if (!kept) return kept;
  }
  return {};
}

// The version of the schema, written over itself: SQLite writes that page whether it changes or not.
Task<Result<void>> Records::check() {
  std::function<Result<void>()> job = [this]() -> Result<void> {
    if (auto begun = database_->begin(); !begun) return begun;
    auto written = database_->script(fmt::format("PRAGMA user_version = {}", records_schema.version).c_str());
    if (!written) {
      database_->roll_back();
      return written;
    }
    auto committed = database_->commit();
    checkpoint_when_due();
    return committed;
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<std::vector<std::string>>> Records::surplus(std::size_t keep) {
  std::function<Result<std::vector<std::string>>()> job = [this, keep]() -> Result<std::vector<std::string>> {
    std::vector<std::string> oldest;
    Query query(*database_,
                "SELECT id FROM rollouts WHERE ended AND id IS NOT NULL ORDER BY key "
                "LIMIT max(0, (SELECT count(*) FROM rollouts WHERE ended AND id IS NOT NULL) - ?)",
                {column(keep)});
    while (true) {
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) return oldest;
      oldest.push_back(query.text(0));
    }
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<void>> Records::remove(std::vector<std::string> rollouts) {
  std::function<Result<void>()> hide = [this, rollouts = std::move(rollouts)]() -> Result<void> {
    if (auto begun = database_->begin(); !begun) return begun;
    for (const auto& rollout : rollouts) {
      auto hidden = database_->run("UPDATE rollouts SET id = NULL WHERE id = ? AND ended", {rollout});
      if (!hidden) {
        database_->roll_back();
        return hidden;
      }
    }
    return database_->commit();
  };
  if (auto hidden = co_await thread_.run(std::move(hide)); !hidden) co_return hidden;

  std::function<Result<std::int64_t>()> step = [this] { return free_some(); };
  while (true) {
    auto freed = co_await thread_.run(step);
    if (!freed) co_return std::move(freed).error();
    if (*freed == 0) co_return Result<void>{};
  }
}

// Frees some records of a removed rollout, at last its row, and says how many rows went: 0: no removed one is left.
Result<std::int64_t> Records::free_some() {
  std::int64_t key = 0;
  {
    Query find(*database_, "SELECT key FROM rollouts WHERE id IS NULL LIMIT 1");
    auto found = find.next();
    if (!found) return std::move(found).error();
    if (!*found) return 0;
    key = find.integer(0);
  }
  auto freed =
      database_->run("DELETE FROM records WHERE rollout = ?1 AND seq IN (SELECT seq FROM records WHERE rollout = ?1 ORDER BY seq LIMIT ?2)",
                     {key, std::int64_t{records_freed_in_a_step}});
  if (freed && database_->changed() == 0) freed = database_->run("DELETE FROM rollouts WHERE key = ?", {key});
  if (!freed) return std::move(freed).error();
  auto rows = database_->changed();
  if (database_->wal_pages() >= wal_pages_before_checkpoint) (void)database_->checkpoint();
  return rows;
}

}  // namespace shiftd
