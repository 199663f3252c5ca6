#include "daemon/shiftctl/digest.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include <openssl/evp.h>

namespace shiftd {

Result<std::string> sha256_of_file(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return Failure{errno == ENOENT ? Errc::bad_input : Errc::unavailable, path + ": " + std::generic_category().message(errno)};
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::array<char, 64 * 1024> piece{};
  while (auto size = std::fread(piece.data(), 1, piece.size(), file.get())) EVP_DigestUpdate(context.get(), piece.data(), size);
  if (std::ferror(file.get()) != 0) return Failure{Errc::unavailable, path + ": " + std::generic_category().message(errno)};
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  std::string text;
  constexpr const char* digits = "0123456789abcdef";
  for (unsigned at = 0; at < size; ++at) {
    text += digits[digest[at] >> 4];
    text += digits[digest[at] & 15];
  }
  return text;
}

}  // namespace shiftd
