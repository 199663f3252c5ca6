#include "daemon/release/local_digest.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "daemon/io/sha256.hpp"

namespace shiftd {

Task<Result<std::string>> sha256_of_file(std::string path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) co_return Failure{Errc::bad_input, "cannot read " + path + ": " + std::strerror(errno)};
  Sha256 digest;
  std::string piece(256 * 1024, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    digest.add({piece.data(), static_cast<std::size_t>(file.gcount())});
    co_await boost::asio::post(boost::asio::use_awaitable);
  }
  if (file.bad() || !file.eof()) co_return Failure{Errc::bad_input, "cannot read " + path};
  co_return digest.hex();
}

}  // namespace shiftd
