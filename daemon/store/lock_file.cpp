#include "daemon/store/lock_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/core.h>

namespace shiftd {
namespace {

std::string last_error() { return std::generic_category().message(errno); }

// What the holder wrote, as words; it may have been killed between locking and writing.
std::string holder(int descriptor) {
  char text[32];
  auto length = ::pread(descriptor, text, sizeof text, 0);
  std::string digits;
  for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; ++i) digits += text[i];
  return digits.empty() ? "another process" : "process " + digits;
}

}  // namespace

Result<LockFile> LockFile::take(const std::string& path) {
  auto descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return Failure{Errc::unavailable, fmt::format("{} cannot be written: {}", path, last_error())};
  LockFile file(descriptor);

  // An open-file-description lock: closing another descriptor of the file does not lose it, as it would a POSIX one.
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(descriptor, F_OFD_SETLK, &whole) != 0) {
    if (errno != EAGAIN && errno != EACCES) return Failure{Errc::unavailable, fmt::format("{} cannot be locked: {}", path, last_error())};
    return Failure{Errc::conflict, fmt::format("{} is held by {}: one journal serves one daemon", path, holder(descriptor))};
  }

  auto pid = std::to_string(::getpid()) + "\n";
  auto size = static_cast<ssize_t>(pid.size());
  if (::pwrite(descriptor, pid.data(), pid.size(), 0) != size || ::ftruncate(descriptor, size) != 0) {
    auto code = errno == ENOSPC ? Errc::exhausted : Errc::unavailable;
    return Failure{code, fmt::format("{} cannot be written: {}", path, last_error())};
  }
  return file;
}

LockFile::LockFile(LockFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

LockFile::~LockFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace shiftd
