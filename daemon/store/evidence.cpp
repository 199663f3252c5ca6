#include "daemon/store/evidence.hpp"

#include <cstdio>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "daemon/store/accepted.hpp"
#include "daemon/store/private_file.hpp"

namespace shiftd {
namespace {

const Schema evidence_schema = {0x73686531, 1, R"(
  CREATE TABLE checkpoints (
    rollout TEXT PRIMARY KEY,
    checkpoint TEXT NOT NULL
  ) STRICT;
  CREATE TABLE counts (
    service TEXT NOT NULL,
    at INTEGER NOT NULL,
    counts TEXT NOT NULL
  ) STRICT;
  CREATE INDEX counts_in_time ON counts (service, at))"};

// Added later; a shiftd that does not know it leaves it alone.
constexpr auto cursors_table = R"(
  CREATE TABLE IF NOT EXISTS cursors (
    reader TEXT NOT NULL,
    rollout TEXT NOT NULL,
    records INTEGER NOT NULL,
    PRIMARY KEY (reader, rollout)
  ) STRICT)";

std::int64_t column(Instant at) { return at.time_since_epoch().count(); }

Result<std::unique_ptr<Database>> open_database(const std::string& path) {
  if (auto made = make_private_file(path); !made) return std::move(made).error();
  auto database = Database::open(path, Database::Access::read_write);
  if (!database) return database;
  if (auto known = has_schema(**database, evidence_schema); !known) return std::move(known).error();
  for (const auto* setting : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"}) {
    if (auto set = (*database)->run(setting); !set) return std::move(set).error();
  }
  if (auto made = bring_to(**database, evidence_schema); !made) return std::move(made).error();
  if (auto made = (*database)->script(cursors_table); !made) return std::move(made).error();
  (*database)->in_service();
  return database;
}

Result<void> set_aside(const std::string& path) {
  std::error_code error;
  for (const auto* log : {"-wal", "-shm"}) {
    std::filesystem::remove(path + log, error);
    if (error) return Failure{Errc::unavailable, fmt::format("{}{} cannot be removed: {}", path, log, error.message())};
  }
  std::filesystem::rename(path, path + ".unreadable", error);
  if (error) return Failure{Errc::unavailable, fmt::format("{} cannot be renamed: {}", path, error.message())};
  return {};
}

}  // namespace

Result<std::unique_ptr<Evidence>> Evidence::open(const std::string& path, std::string& notice) {
  auto database = open_database(path);
  if (!database && database.error().code == Errc::bad_input) {
    if (!notice.empty()) notice += "; ";
    notice += fmt::format("{}; set aside as {}.unreadable: the history of counts begins anew", database.error().what, path);
    if (auto gone = set_aside(path); !gone) return std::move(gone).error();
    database = open_database(path);
  }
  if (!database) return std::move(database).error();
  return std::unique_ptr<Evidence>(new Evidence(std::move(*database)));
}

Result<void> Evidence::in_transaction(const std::function<Result<void>()>& work) {
  if (auto begun = database_->begin(); !begun) return begun;
  auto done = work();
  if (done) return database_->commit();
  database_->roll_back();
  return done;
}

Task<Result<void>> Evidence::save_checkpoint(std::string rollout, std::string checkpoint) {
  if (auto accepted = accepted_name("rollout", rollout); !accepted) co_return accepted;
  if (auto accepted = accepted_text("checkpoint", checkpoint); !accepted) co_return accepted;
  std::function<Result<void>()> job = [this, rollout = std::move(rollout), checkpoint = std::move(checkpoint)] {
    return database_->run("INSERT OR REPLACE INTO checkpoints (rollout, checkpoint) VALUES (?, ?)", {rollout, checkpoint});
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<std::optional<std::string>>> Evidence::load_checkpoint(std::string rollout) {
  std::function<Result<std::optional<std::string>>()> job = [this, rollout = std::move(rollout)]() -> Result<std::optional<std::string>> {
    Query query(*database_, "SELECT checkpoint FROM checkpoints WHERE rollout = ?", {rollout});
    auto row = query.next();
    if (!row) return std::move(row).error();
    return *row ? std::optional(query.text(0)) : std::nullopt;
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<void>> Evidence::save_cursor(std::string reader, std::string rollout, std::uint64_t records) {
  if (auto accepted = accepted_name("reader", reader); !accepted) co_return accepted;
  if (auto accepted = accepted_name("rollout", rollout); !accepted) co_return accepted;
  std::function<Result<void>()> job = [this, reader = std::move(reader), rollout = std::move(rollout), records] {
    return database_->run("INSERT OR REPLACE INTO cursors (reader, rollout, records) VALUES (?, ?, ?)",
                          {reader, rollout, static_cast<std::int64_t>(records)});
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<std::map<std::string, std::uint64_t>>> Evidence::load_cursors(std::string reader) {
  using Cursors = std::map<std::string, std::uint64_t>;
  std::function<Result<Cursors>()> job = [this, reader = std::move(reader)]() -> Result<Cursors> {
    Cursors cursors;
    Query query(*database_, "SELECT rollout, records FROM cursors WHERE reader = ?", {reader});
    while (true) {
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) return cursors;
      cursors.emplace(query.text(0), static_cast<std::uint64_t>(query.integer(1)));
    }
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<void>> Evidence::forget(std::vector<std::string> rollouts) {
  std::function<Result<void>()> all = [this, rollouts = std::move(rollouts)]() -> Result<void> {
    for (const auto& rollout : rollouts) {
      for (const auto* statement : {"DELETE FROM checkpoints WHERE rollout = ?", "DELETE FROM cursors WHERE rollout = ?"}) {
        if (auto gone = database_->run(statement, {rollout}); !gone) return gone;
      }
      if (auto gone = database_->run("DELETE FROM counts WHERE service = ?", {recording_of(rollout)}); !gone) return gone;
    }
    return {};
  };
  std::function<Result<void>()> job = [this, all = std::move(all)] { return in_transaction(all); };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<void>> Evidence::add_counts(std::string service, CountsPoint point, Duration keep) {
  if (auto accepted = accepted_name("service", service); !accepted) co_return accepted;
  if (auto accepted = accepted_text("counts point", point.counts); !accepted) co_return accepted;
  std::function<Result<void>()> both = [this, service = std::move(service), point = std::move(point), keep]() -> Result<void> {
    auto added = database_->run("INSERT INTO counts (service, at, counts) VALUES (?, ?, ?)", {service, column(point.at), point.counts});
    if (!added) return added;
    return database_->run("DELETE FROM counts WHERE service = ? AND at < ?", {service, column(point.at - keep)});
  };
  std::function<Result<void>()> job = [this, both = std::move(both)] { return in_transaction(both); };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<void>> Evidence::drop_counts(std::string series) {
  std::function<Result<void>()> job = [this, series = std::move(series)] {
    return database_->run("DELETE FROM counts WHERE service = ?", {series});
  };
  co_return co_await thread_.run(std::move(job));
}

Task<Result<std::vector<CountsPoint>>> Evidence::read_counts(std::string service, Instant from) {
  std::function<Result<std::vector<CountsPoint>>()> job = [this, service = std::move(service), from]() -> Result<std::vector<CountsPoint>> {
    std::vector<CountsPoint> points;
    Query query(*database_, "SELECT at, counts FROM counts WHERE service = ? AND at >= ? ORDER BY at, rowid", {service, column(from)});
    while (true) {
      auto row = query.next();
      if (!row) return std::move(row).error();
      if (!*row) return points;
      points.push_back({Instant(Duration(query.integer(0))), query.text(1)});
    }
  };
  co_return co_await thread_.run(std::move(job));
}

}  // namespace shiftd
