#include "daemon/ssh/keys.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <optional>
#include <string_view>
#include <utility>

#include "daemon/ssh/digest.hpp"
#include "daemon/ssh/wire.hpp"

namespace shiftd {

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Failure{Errc::bad_input, "cannot read " + path};
  std::string text;
  std::array<char, std::size_t{16} * 1024> piece;
  while (file.read(piece.data(), piece.size()) || file.gcount() > 0) text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
  return text;
}

namespace {

// "ssh-ed25519 AAAA... comment"
Result<std::string> public_key_blob(const std::string& path) {
  auto text = read_file(path);
  if (!text) return text.error();
  auto start = text->find(' ');
  auto end = text->find_first_of(" \r\n", start == std::string::npos ? start : start + 1);
  auto blob = start == std::string::npos ? std::nullopt : from_base64(std::string_view(*text).substr(start + 1, end - start - 1));
  if (!blob) return Failure{Errc::bad_input, path + " holds no public key"};
  return std::move(*blob);
}

}  // namespace

bool is_public_key_file(const std::string& path) { return path.ends_with(".pub"); }

// OpenSSH's PROTOCOL.key.
std::optional<std::string> public_half(std::string_view private_key) {
  constexpr std::string_view begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
  constexpr std::string_view end = "-----END OPENSSH PRIVATE KEY-----";
  constexpr std::string_view magic("openssh-key-v1\0", 15);
  auto from = private_key.find(begin);
  auto to = private_key.find(end);
  if (from == std::string_view::npos || to == std::string_view::npos || to < from) return std::nullopt;
  std::string text(private_key.substr(from + begin.size(), to - from - begin.size()));
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
  auto bytes = from_base64(text);
  if (!bytes || !bytes->starts_with(magic)) return std::nullopt;
  auto rest = std::string_view(*bytes).substr(magic.size());
  for (int skipped = 0; skipped < 3; ++skipped) {  // the cipher, and how its key is derived
    if (!take_string(rest)) return std::nullopt;
  }
  if (take_u32(rest) != 1U) return std::nullopt;
  return take_string(rest);
}

Task<Result<std::vector<AgentKey>>> keys_to_try(const SshOptions& options) {
  auto keys = co_await agent_keys(options.agent_socket);
  if (!keys) co_return keys;
  if (is_public_key_file(options.key_file)) {
    auto wanted = public_key_blob(options.key_file);
    if (!wanted) co_return wanted.error();
    std::erase_if(*keys, [&](const AgentKey& key) { return key.blob != *wanted; });
    if (keys->empty()) co_return Failure{Errc::unauthenticated, "the ssh-agent does not hold " + options.key_file};
  }
  std::stable_partition(keys->begin(), keys->end(), [](const AgentKey& key) { return key_type_of(key.blob) != "ssh-rsa"; });
  co_return keys;
}

Failure no_key_at_all() { return {Errc::unauthenticated, "no key to log in with: give key_file or an ssh-agent with keys"}; }

}  // namespace shiftd
