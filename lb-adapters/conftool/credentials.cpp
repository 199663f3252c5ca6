#include "lb-adapters/conftool/credentials.hpp"

#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <sstream>

namespace shiftd::conftool {
namespace {

// RFC 4648.
std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    unsigned bits = 0;
    auto rest = std::min<std::size_t>(3, bytes.size() - at);
    for (std::size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < rest ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i) out += i <= rest ? digits[bits >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r";
  auto begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

std::string_view unquoted(std::string_view text) {
  bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

}  // namespace

Result<std::string> parse_credentials(std::string_view text) {
  std::string username;
  std::string password;
  while (!text.empty()) {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    auto name = trimmed(line.substr(0, colon));
    auto value = unquoted(trimmed(line.substr(colon + 1)));
    if (name == "username") username = value;
    if (name == "password") password = value;
  }
  if (username.empty() || password.empty()) return Failure{Errc::bad_input, "it needs a line 'username: ...' and a line 'password: ...'"};
  if (username.find(':') != std::string::npos) return Failure{Errc::bad_input, "a username with a colon in it cannot be sent"};
  return "Basic " + base64(username + ":" + password);
}

Result<std::string> read_credentials(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  struct stat about {};
  if (!file || ::stat(path.c_str(), &about) != 0) return Failure{Errc::bad_input, "credentials " + path + ": cannot be read"};
  if ((about.st_mode & S_IRWXO) != 0) return Failure{Errc::bad_input, "credentials " + path + ": everybody may read it; chmod o= " + path};
  std::string text{std::istreambuf_iterator<char>(file), {}};
  auto credentials = parse_credentials(text);
  if (!credentials) return std::move(credentials).error().during("credentials " + path);
  return credentials;
}

}  // namespace shiftd::conftool
