#pragma once

// One SQLite connection, as the store's files use it: statements prepared once, errors as values that name the file.
//
// Used by one thread at a time. sqlite3.h stays in the .cpp.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

#include "daemon/base/failure.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace shiftd {

class Database;

// A running statement. Reset when it goes, so that the next use of the same words finds it ready.
class Query {
 public:
  using Value = std::variant<std::int64_t, std::string_view>;  // texts live until the query goes

  Query(Database& database, std::string_view sql, std::initializer_list<Value> values = {});
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // Steps; true: there is a row to look at.
  Result<bool> next();
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int prepared_;
};

class Database {
 public:
  enum class Access { read_only, read_write };

  // Does not create the file. `path` is what failures say.
  // Fails with: bad_input: not a database; unavailable, exhausted.
  static Result<std::unique_ptr<Database>> open(const std::string& path, Access access);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs a statement to its end, without looking at rows.
  Result<void> run(std::string_view sql, std::initializer_list<Query::Value> values = {});
  // Runs several, parted by ';'.
  Result<void> script(const char* statements);
  // The one integer that it gives; 0 when it gives none.
  Result<std::int64_t> integer(std::string_view sql);

  // The one text that it gives; empty when it gives none.
  Result<std::string> text(std::string_view sql);

  // Everything since `begin` becomes durable, or nothing does: after a failure the transaction is gone.
  // Fails with: exhausted, unavailable; timed_out: the data was written but the disk did not confirm it, so that a
  // crash now could bring it back.
  Result<void> begin();
  Result<void> commit();
  void roll_back();

  // From here on damage is `unavailable`: it has been opened, and whoever asks now has given nothing wrong.
  void in_service() { in_service_ = true; }
  // What is said of it when `what` was found in it.
  [[nodiscard]] Failure damaged(std::string_view what) const;

  // Switches off the checkpoints that SQLite makes within a commit; wal_pages() then says when one is due.
  void checkpoint_by_hand();
  [[nodiscard]] int wal_pages() const { return wal_pages_; }
  Result<void> checkpoint();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool writable() const;
  [[nodiscard]] std::int64_t last_key() const;
  // How many rows the last statement that writes changed.
  [[nodiscard]] std::int64_t changed() const;

 private:
  friend class Query;

  Database(std::string path, sqlite3* connection) : path_(std::move(path)), connection_(connection) {}
  Failure failure(int code);

  std::string path_;
  sqlite3* connection_;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
  bool in_service_ = false;
  int last_error_ = 0;
  int wal_pages_ = 0;
};

// What a file of ours is known by: its application_id, and the version of its tables in user_version.
struct Schema {
  std::int64_t kind;
  std::int64_t version;
  const char* tables;  // the statements that make them
};

// Whether the tables are there; false: the file is empty.
// Fails with: bad_input: somebody else's file, or one of a newer version.
Result<bool> has_schema(Database& database, const Schema& schema);

// Makes the tables in an empty file, in one transaction. Fails as has_schema does.
Result<void> bring_to(Database& database, const Schema& schema);

}  // namespace shiftd
