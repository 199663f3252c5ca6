#include "daemon/release/local_digest.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>

#include <openssl/evp.h>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace shiftd {

Task<Result<std::string>> sha256_of_file(std::string path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) co_return Failure{Errc::bad_input, "cannot read " + path + ": " + std::strerror(errno)};
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::string piece(256 * 1024, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    EVP_DigestUpdate(context.get(), piece.data(), static_cast<std::size_t>(file.gcount()));
    co_await boost::asio::post(boost::asio::use_awaitable);
  }
  if (file.bad() || !file.eof()) co_return Failure{Errc::bad_input, "cannot read " + path};
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &length);
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) {
    constexpr std::string_view digits = "0123456789abcdef";
    hex += digits[digest[i] >> 4];
    hex += digits[digest[i] & 15];
  }
  co_return hex;
}

}  // namespace shiftd
