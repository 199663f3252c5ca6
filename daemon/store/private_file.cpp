#include "daemon/store/private_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include <fmt/core.h>

namespace shiftd {

Result<void> make_private_file(const std::string& path) {
  auto failed = [&](const std::string& which, const char* what) {
    auto code = errno == ENOSPC || errno == EDQUOT ? Errc::exhausted : Errc::unavailable;
    return Failure{code, fmt::format("{} cannot be {}: {}", which, what, std::generic_category().message(errno))};
  };
  auto descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor >= 0) {
    ::close(descriptor);
    return {};
  }
  if (errno != EEXIST) return failed(path, "made");
  for (const auto* suffix : {"", "-wal", "-shm"}) {
    auto file = path + suffix;
    struct stat status = {};
    if (::stat(file.c_str(), &status) != 0) {
      if (errno == ENOENT) continue;
      return failed(file, "looked at");
    }
    if (!S_ISREG(status.st_mode)) return Failure{Errc::bad_input, fmt::format("{} is not a regular file", file)};
    if ((status.st_mode & 0077) != 0 && ::chmod(file.c_str(), 0600) != 0) return failed(file, "made private (mode 0600)");
  }
  return {};
}

}  // namespace shiftd
