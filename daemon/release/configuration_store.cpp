#include "daemon/release/configuration_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "daemon/release/release_scripts.hpp"

namespace shiftd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kept_in_memory = 16;

Failure not_written(const std::string& what) { return {Errc::unavailable, what + ": " + std::strerror(errno)}; }

Result<void> sync_directory(const std::string& path) {
  int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = directory >= 0 && ::fsync(directory) == 0;
  auto failure = not_written("sync " + path);
  if (directory >= 0) ::close(directory);
  if (!synced) return failure;
  return {};
}

Result<void> write_synced(const std::string& path, const std::string& bytes) {
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return not_written("write " + path);
  std::size_t written = 0;
  while (written < bytes.size()) {
    auto count = ::write(file, bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    written += static_cast<std::size_t>(count);
  }
  bool whole = written == bytes.size() && ::fsync(file) == 0;
  auto failure = not_written("write " + path);
  ::close(file);
  if (!whole) return failure;
  return {};
}

}  // namespace

Result<std::string> ConfigurationStore::keep(const std::string& directory) {
  auto configuration = read_(directory);
  if (!configuration) return std::move(configuration).error();
  auto digest = digest_of(*configuration);
  if (find(digest)) return digest;

  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return Failure{Errc::unavailable, "make " + folder_ + ": " + error.message()};
  fs::permissions(folder_, fs::perms::owner_all, error);
  auto partial = folder_ + "/" + digest + ".partial";
  auto whole = folder_ + "/" + digest;
  // What is there and could not be found was half written, or was changed.
  fs::remove_all(partial, error);
  fs::remove_all(whole, error);
  fs::create_directory(partial, error);
  if (error) return Failure{Errc::unavailable, "make " + partial + ": " + error.message()};
  for (const auto& [name, bytes] : configuration->contents)
    if (auto written = write_synced(partial + "/" + name, bytes); !written) return written.error();
  if (auto synced = sync_directory(partial); !synced) return synced.error();
  fs::rename(partial, whole, error);
  if (error) return Failure{Errc::unavailable, "rename " + partial + ": " + error.message()};
  if (auto synced = sync_directory(folder_); !synced) return synced.error();
  return digest;
}

Result<std::shared_ptr<const Configuration>> ConfigurationStore::find(const std::string& digest) {
  if (!is_digest(digest)) return Failure{Errc::bad_input, "'" + digest + "' is no digest of a configuration"};
  if (auto known = read_already_.find(digest); known != read_already_.end()) return known->second;
  auto directory = folder_ + "/" + digest;
  std::error_code error;
  if (!fs::is_directory(directory, error))
    return Failure{Errc::bad_input, "shiftd has no copy of configuration " + digest.substr(0, 12) + ": name its directory"};
  auto configuration = read_(directory);
  if (!configuration) return std::move(configuration).error();
  if (digest_of(*configuration) != digest)
    return Failure{Errc::bad_input, directory + " was changed since it was kept: name the configuration's directory again"};
  if (read_already_.size() >= kept_in_memory) read_already_.clear();
  auto shared = std::make_shared<const Configuration>(std::move(*configuration));
  read_already_.emplace(digest, shared);
  return shared;
}

}  // namespace shiftd
