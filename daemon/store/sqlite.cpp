#include "daemon/store/sqlite.hpp"

#include <sqlite3.h>

#include <utility>

#include <fmt/core.h>

namespace shiftd {
namespace {

// How long a statement waits for another process that has the file locked: a person with the sqlite3 shell.
constexpr int busy_milliseconds = 5'000;

Failure failure_of(const std::string& path, int code, const char* message) {
  switch (code & 0xff) {
    case SQLITE_FULL: return {Errc::exhausted, fmt::format("{}: the disk is full", path)};
    case SQLITE_BUSY: return {Errc::unavailable, fmt::format("{}: another process keeps it locked", path)};
    case SQLITE_NOTADB: return {Errc::bad_input, fmt::format("{} is not a journal: {}", path, message)};
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG: return {Errc::exhausted, fmt::format("{}: {}", path, message)};
    default: return {Errc::unavailable, fmt::format("{}: {} ({})", path, message, sqlite3_errstr(code))};
  }
}

}  // namespace

Query::Query(Database& database, std::string_view sql, std::initializer_list<Value> values) : database_(database), prepared_(SQLITE_OK) {
  auto found = database.statements_.find(std::string(sql));
  if (found != database.statements_.end()) {
    statement_ = found->second;
  } else {
    prepared_ =
        sqlite3_prepare_v3(database.connection_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
    if (prepared_ != SQLITE_OK) return;
    database.statements_.emplace(sql, statement_);
  }
  int parameter = 1;
  for (const auto& value : values) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      prepared_ = sqlite3_bind_int64(statement_, parameter++, *integer);
    } else {
      auto text = std::get<std::string_view>(value);
      prepared_ = sqlite3_bind_text64(statement_, parameter++, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    if (prepared_ != SQLITE_OK) return;
  }
}

Query::~Query() {
  if (!statement_) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Result<bool> Query::next() {
  if (prepared_ != SQLITE_OK) return database_.failure(prepared_);
  auto code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_.failure(code);
}

std::int64_t Query::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Query::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path, Access access) {
  sqlite3* connection = nullptr;
  auto flags = (access == Access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
  auto code = sqlite3_open_v2(path.c_str(), &connection, flags, nullptr);
  std::unique_ptr<Database> database(new Database(path, connection));
  if (!connection) return failure_of(path, code, "out of memory");
  if (code != SQLITE_OK) return database->failure(code);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, busy_milliseconds);
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

Result<void> Database::run(std::string_view sql, std::initializer_list<Query::Value> values) {
  Query query(*this, sql, values);
  while (true) {
    auto row = query.next();
    if (!row) return std::move(row).error();
    if (!*row) return {};
  }
}

Result<void> Database::script(const char* statements) {
  auto code = sqlite3_exec(connection_, statements, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure(code);
  return {};
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  Query query(*this, sql);
  auto row = query.next();
  if (!row) return std::move(row).error();
  return *row ? query.integer(0) : 0;
}

Result<std::string> Database::text(std::string_view sql) {
  Query query(*this, sql);
  auto row = query.next();
  if (!row) return std::move(row).error();
  return *row ? query.text(0) : std::string();
}

Result<void> Database::begin() { return run("BEGIN IMMEDIATE"); }

Result<void> Database::commit() {
  auto committed = run("COMMIT");
  if (committed) return committed;
  auto code = last_error_;
  roll_back();
  if (code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC) return committed;

  // The commit mark stands in the WAL and only its fsync failed: a recovery that reads the WAL would believe it. An
  // emptied WAL cannot be believed. (The next commit would also overwrite it, but may never come.)
  auto busy = integer("PRAGMA wal_checkpoint(TRUNCATE)");
  if (busy && *busy == 0) return committed;
  return Failure{Errc::timed_out, committed.error().what + ": whether it was kept is unknown"};
}

void Database::roll_back() {
  // SQLite has rolled back by itself after some errors. A roll back that fails leaves nothing in the file either.
  if (!sqlite3_get_autocommit(connection_)) (void)run("ROLLBACK");
}

void Database::checkpoint_by_hand() {
  auto remember = [](void* pages, sqlite3*, const char*, int now) {
    *static_cast<int*>(pages) = now;
    return SQLITE_OK;
  };
  sqlite3_wal_hook(connection_, remember, &wal_pages_);
}

Result<void> Database::checkpoint() {
  wal_pages_ = 0;
  return run("PRAGMA wal_checkpoint(PASSIVE)");
}

bool Database::writable() const { return sqlite3_db_readonly(connection_, "main") == 0; }

std::int64_t Database::last_key() const { return sqlite3_last_insert_rowid(connection_); }

std::int64_t Database::changed() const { return sqlite3_changes64(connection_); }

Failure Database::failure(int code) {
  last_error_ = code;
  auto kind = code & 0xff;
  if (kind == SQLITE_CORRUPT || (kind == SQLITE_NOTADB && in_service_)) return damaged(sqlite3_errmsg(connection_));
  return failure_of(path_, code, sqlite3_errmsg(connection_));
}

Failure Database::damaged(std::string_view what) const {
  auto code = in_service_ ? Errc::unavailable : Errc::bad_input;
  return {code, fmt::format("{} is damaged: {}: see docs/journal.md, Recovery", path_, what)};
}

Result<bool> has_schema(Database& database, const Schema& schema) {
  auto kind = database.integer("PRAGMA application_id");
  if (!kind) return std::move(kind).error();
  auto version = database.integer("PRAGMA user_version");
  if (!version) return std::move(version).error();
  auto tables = database.integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return std::move(tables).error();
  if (*kind == 0 && *version == 0 && *tables == 0) return false;
  if (*kind != schema.kind) {
    return Failure{Errc::bad_input, fmt::format("{} is an SQLite database, but not one of this kind of shiftd's", database.path())};
  }
  if (*version > schema.version) {
    return Failure{Errc::bad_input, fmt::format("{} was written by a newer shiftd: it has schema version {}, this shiftd knows up to {}",
                                                database.path(), *version, schema.version)};
  }
  return true;
}

Result<void> bring_to(Database& database, const Schema& schema) {
  auto there = has_schema(database, schema);
  if (!there) return std::move(there).error();
  if (*there) return {};
  if (auto begun = database.begin(); !begun) return begun;
  auto marks = fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", schema.kind, schema.version);
  auto made = database.script(schema.tables);
  if (made) made = database.script(marks.c_str());
  if (!made) {
    database.roll_back();
    return made;
  }
  return database.commit();
}

}  // namespace shiftd
