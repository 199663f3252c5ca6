#include "daemon/shiftctl/digest.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "daemon/io/sha256.hpp"

namespace shiftd {

Result<std::string> sha256_of_file(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return Failure{errno == ENOENT ? Errc::bad_input : Errc::unavailable, path + ": " + std::generic_category().message(errno)};
  Sha256 digest;
  std::array<char, 64 * 1024> piece{};
  while (auto size = std::fread(piece.data(), 1, piece.size(), file.get())) digest.add({piece.data(), size});
  if (std::ferror(file.get()) != 0) return Failure{Errc::unavailable, path + ": " + std::generic_category().message(errno)};
  return digest.hex();
}

}  // namespace shiftd
