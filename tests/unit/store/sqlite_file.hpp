#pragma once

// The journal's files, looked at and tampered with from outside, as a person with the sqlite3 shell would.

#include <sqlite3.h>

#include <stdexcept>
#include <string>

namespace shiftd {

class SqliteFile {
 public:
  explicit SqliteFile(const std::string& path) {
    if (sqlite3_open(path.c_str(), &connection_) != SQLITE_OK) throw std::runtime_error("cannot open " + path);
  }
  ~SqliteFile() { sqlite3_close(connection_); }
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  void run(const std::string& sql) {
    if (sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sql + ": " + sqlite3_errmsg(connection_));
    }
  }

  // The first column of the first row.
  std::string value(const std::string& sql) {
    std::string found;
    auto take = [](void* into, int columns, char** texts, char**) {
      if (columns > 0 && texts[0]) *static_cast<std::string*>(into) = texts[0];
      return 0;
    };
    if (sqlite3_exec(connection_, sql.c_str(), take, &found, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sql + ": " + sqlite3_errmsg(connection_));
    }
    return found;
  }

 private:
  sqlite3* connection_ = nullptr;
};

}  // namespace shiftd
