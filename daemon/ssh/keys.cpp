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

// The private half in the file is the seed with the public half behind it.
constexpr std::size_t ed25519_seed = 32;
constexpr std::size_t ed25519_pair = 64;

struct KeyFile {
  std::string cipher;  // "none": the private half is in the clear
  std::string public_half;
  std::string private_half;
};

// OpenSSH's PROTOCOL.key.
std::optional<KeyFile> open_key_file(std::string_view text) {
  constexpr std::string_view begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
  constexpr std::string_view end = "-----END OPENSSH PRIVATE KEY-----";
  constexpr std::string_view magic("openssh-key-v1\0", 15);
  auto from = text.find(begin);
  auto to = text.find(end);
  if (from == std::string_view::npos || to == std::string_view::npos || to < from) return std::nullopt;
  std::string lines(text.substr(from + begin.size(), to - from - begin.size()));
  std::erase_if(lines, [](char c) { return c == '\n' || c == '\r'; });
  auto bytes = from_base64(lines);
  if (!bytes || !bytes->starts_with(magic)) return std::nullopt;
  auto rest = std::string_view(*bytes).substr(magic.size());
  auto cipher = take_string(rest);
  // How the cipher's key is derived, in two strings; and how many keys there are.
  if (!cipher || !take_string(rest) || !take_string(rest) || take_u32(rest) != 1U) return std::nullopt;
  auto public_half = take_string(rest);
  auto private_half = take_string(rest);
  if (!public_half || !private_half) return std::nullopt;
  return KeyFile{std::move(*cipher), std::move(*public_half), std::move(*private_half)};
}

}  // namespace

bool is_public_key_file(const std::string& path) { return path.ends_with(".pub"); }

std::optional<std::string> public_half(std::string_view private_key) {
  auto key = open_key_file(private_key);
  if (!key) return std::nullopt;
  return std::move(key->public_half);
}

std::optional<Ed25519Key> ed25519_key(std::string_view private_key) {
  auto key = open_key_file(private_key);
  if (!key || key->cipher != "none") return std::nullopt;
  auto rest = std::string_view(key->private_half);
  // Two numbers that are alike when the passphrase was right.
  if (!take_u32(rest) || !take_u32(rest) || take_string(rest) != "ssh-ed25519" || !take_string(rest)) return std::nullopt;
  auto pair = take_string(rest);
  if (!pair || pair->size() != ed25519_pair) return std::nullopt;
  return Ed25519Key{std::move(key->public_half), pair->substr(0, ed25519_seed)};
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
