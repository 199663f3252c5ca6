#include "daemon/api/identity.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <vector>

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace shiftd {
namespace {

constexpr std::size_t token_least = 16;
constexpr std::size_t token_most = 4096;
constexpr std::size_t claim_most = 64;

bool is_visible(unsigned char c) { return c > 0x20 && c < 0x7f; }

// Digests have one length, whatever was given, so that comparing them says nothing about it.
std::string digest_of(std::string_view text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

Task<std::string> look_up(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> space(1024);
  while (::getpwuid_r(uid, &entry, space.data(), space.size(), &found) == ERANGE && space.size() < (1U << 20))
    space.resize(space.size() * 2);
  co_return found != nullptr ? std::string(found->pw_name) : "uid " + std::to_string(uid);
}

}  // namespace

Result<Token> Token::read(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0)
    return Failure{errno == ENOENT ? Errc::not_found : Errc::bad_input,
                   "token file " + path + ": " + std::generic_category().message(errno)};
  if ((about.st_mode & 07) != 0) return Failure{Errc::bad_input, "token file " + path + " is open to everybody: chmod o= " + path};
  std::ifstream file(path);
  std::string token(token_most + 1, '\0');
  file.read(token.data(), static_cast<std::streamsize>(token.size()));
  if (file.bad() || !file.is_open()) return Failure{Errc::bad_input, "token file " + path + " cannot be read"};
  token.resize(static_cast<std::size_t>(file.gcount()));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.size() < token_least || token.size() > token_most || !std::all_of(token.begin(), token.end(), is_visible))
    return Failure{Errc::bad_input, "token file " + path + " must hold one line of " + std::to_string(token_least) + " to " +
                                        std::to_string(token_most) + " printable characters without spaces"};
  return Token(digest_of(token));
}

bool Token::matches(std::string_view authorization) const {
  constexpr std::string_view scheme = "Bearer ";
  bool bearer = authorization.starts_with(scheme);
  auto given = digest_of(bearer ? authorization.substr(scheme.size()) : "");
  return CRYPTO_memcmp(given.data(), digest_.data(), digest_.size()) == 0 && bearer;
}

std::string name_via_token(std::string_view claimed) {
  bool usable = !claimed.empty() && claimed.size() <= claim_most && std::all_of(claimed.begin(), claimed.end(), is_visible);
  return (usable ? std::string(claimed) : "somebody") + " via token";
}

Result<uid_t> peer_uid(int unix_socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(unix_socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return Failure{Errc::unavailable, "who asks: " + std::generic_category().message(errno)};
  return credentials.uid;
}

Task<std::string> UserNames::of(uid_t uid) {
  if (auto found = known_.find(uid); found != known_.end()) co_return found->second;
  auto name = co_await boost::asio::co_spawn(lookups_, look_up(uid), boost::asio::use_awaitable);
  known_.emplace(uid, name);
  co_return name;
}

}  // namespace shiftd
