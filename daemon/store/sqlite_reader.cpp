// Reading a journal beside its daemon, or without one: what `shiftctl rescue` stands on when everything else is gone.
//
// SQLite reads beside a writer, and recovers a WAL that a killed daemon left; for that it wants to write the WAL's
// index, a cache. Where the directory cannot be written (a snapshot, a file system mounted read only) nobody else
// writes there either, so a private copy of the file and its WAL is read instead.

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "daemon/store/journal.hpp"
#include "daemon/store/records.hpp"
#include "daemon/store/sqlite.hpp"

namespace shiftd {
namespace {

// A directory of our own that goes with the object.
class PrivateDirectory {
 public:
  explicit PrivateDirectory(std::string path) : path_(std::move(path)) {}
  ~PrivateDirectory() {
    std::error_code ignored;  // a copy that stays behind in the temporary directory is private, and harms nobody
    std::filesystem::remove_all(path_, ignored);
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;

 private:
  std::string path_;
};

template <class Read>
auto read_from(const std::string& path, const Read& read) -> decltype(read(std::declval<Database&>())) {
  auto database = Database::open(path, Database::Access::read_only);
  if (!database) return std::move(database).error();
  auto known = has_schema(**database, records_schema);
  if (!known) return std::move(known).error();
  if (!*known) return Failure{Errc::bad_input, fmt::format("{} is empty: no daemon has finished making it", path)};
  return read(**database);
}

template <class Read>
auto read_from_copy(const std::string& path, const Read& read) -> decltype(read(std::declval<Database&>())) {
  std::error_code error;
  auto name = (std::filesystem::temp_directory_path(error) / "shiftd-rescue-XXXXXX").string();
  if (error || !::mkdtemp(name.data())) return Failure{Errc::unavailable, "no temporary directory for a copy of the journal: set TMPDIR"};
  PrivateDirectory directory(name);
  auto copy = name + "/journal";
  std::filesystem::copy_file(path, copy, error);
  if (!error && std::filesystem::exists(path + "-wal")) std::filesystem::copy_file(path + "-wal", copy + "-wal", error);
  if (error) return Failure{Errc::unavailable, fmt::format("copy {} to {}: {}", path, name, error.message())};
  return read_from(copy, read);
}

template <class Read>
auto read_anyhow(const std::string& path, const Read& read) -> decltype(read(std::declval<Database&>())) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return Failure{Errc::not_found, fmt::format("there is no journal {}", path)};
  auto result = read_from(path, read);
  if (result || result.error().code != Errc::unavailable) return result;
  auto from_copy = read_from_copy(path, read);
  if (from_copy || from_copy.error().code != Errc::unavailable) return from_copy;
  return Failure{Errc::unavailable, result.error().what + "; " + from_copy.error().what};
}

}  // namespace

Result<std::vector<std::string>> read_sqlite_journal(const std::string& path, const std::string& rollout) {
  auto all = [&](Database& database) { return read_records(database, rollout, 0, std::numeric_limits<std::size_t>::max()); };
  return read_anyhow(path, all);
}

Result<std::vector<RolloutSummary>> list_sqlite_journal(const std::string& path) { return read_anyhow(path, list_rollouts); }

}  // namespace shiftd
