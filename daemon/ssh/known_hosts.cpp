#include "daemon/ssh/known_hosts.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include "daemon/base/invariant.hpp"
#include "daemon/base/shell.hpp"
#include "daemon/ssh/digest.hpp"

namespace shiftd {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view next_word(std::string_view& line) {
  const auto* start = std::ranges::find_if_not(line, is_blank);
  const auto* end = std::find_if(start, line.end(), is_blank);
  std::string_view word(start, end);
  line.remove_prefix(static_cast<std::size_t>(end - line.begin()));
  return word;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return lower(c); });
  return result;
}

// `*` and `?` as in a shell, in any case, without recursion so that a hostile pattern costs no more than its length times the
// name's. `name` is in lower case.
bool glob_matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string::npos;
  std::size_t star_at = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (lower(pattern[p]) == name[n] && pattern[p] != '*'))) {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_at = n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++star_at;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// "|1|salt|hash": HMAC-SHA1 of the name under the salt.
bool hashed_matches(std::string_view hosts, std::string_view name) {
  hosts.remove_prefix(3);
  auto bar = hosts.find('|');
  if (bar == std::string::npos) return false;
  auto salt = from_base64(hosts.substr(0, bar));
  auto hash = from_base64(hosts.substr(bar + 1));
  return salt && hash && hmac_sha1(*salt, name) == *hash;
}

bool hosts_match(std::string_view hosts, std::string_view name) {
  if (hosts.starts_with("|1|")) return hashed_matches(hosts, name);
  bool matched = false;
  while (!hosts.empty()) {
    auto comma = std::min(hosts.find(','), hosts.size());
    auto pattern = hosts.substr(0, comma);
    hosts.remove_prefix(std::min(comma + 1, hosts.size()));
    if (pattern.starts_with('!')) {
      if (glob_matches(pattern.substr(1), name)) return false;
    } else if (glob_matches(pattern, name)) {
      matched = true;
    }
  }
  return matched;
}

}  // namespace

std::string known_hosts_name(std::string_view address, int port) {
  return port == 22 ? lower(address) : fmt::format("[{}]:{}", lower(address), port);
}

KnownHosts KnownHosts::of(std::string_view address, int port, std::string_view text) {
  auto name = known_hosts_name(address, port);
  auto plain = known_hosts_name(address, 22);
  KnownHosts known;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    auto rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (rest.ends_with('\r')) rest.remove_suffix(1);

    auto word = next_word(rest);
    if (word.empty() || word.starts_with('#')) continue;
    Line line;
    if (word.starts_with('@')) {
      if (word != "@revoked") continue;
      line.revoked = true;
      word = next_word(rest);
    }
    line.with_port = hosts_match(word, name);
    if (!line.with_port && (port == 22 || !hosts_match(word, plain))) continue;
    line.key_type = next_word(rest);
    auto blob = from_base64(next_word(rest));
    if (!blob) continue;
    line.key_blob = std::move(*blob);
    known.lines_.push_back(std::move(line));
  }
  return known;
}

KnownHosts::Verdict KnownHosts::check(std::string_view key_type, std::string_view key_blob) const {
  bool known = false;
  bool changed = false;
  bool known_without_port = false;
  for (const auto& line : lines_) {
    bool same_key = line.key_blob == key_blob;
    if (line.revoked && same_key) return Verdict::revoked;
    if (line.revoked) continue;
    // Under its own name, and, as OpenSSH does, the very same key without the port.
    if (line.with_port) {
      known = known || same_key;
      changed = changed || (!same_key && line.key_type == key_type);
    } else {
      known_without_port = known_without_port || same_key;
    }
  }
  if (known) return Verdict::known;
  if (changed) return Verdict::changed;
  return known_without_port ? Verdict::known : Verdict::unknown;
}

std::vector<std::string> KnownHosts::key_types() const {
  std::vector<std::string> types;
  auto add = [&](bool with_port) {
    for (const auto& line : lines_) {
      if (line.revoked || line.with_port != with_port || std::ranges::find(types, line.key_type) != types.end()) continue;
      types.push_back(line.key_type);
    }
  };
  add(true);
  if (types.empty()) add(false);
  return types;
}

Failure host_key_refused(KnownHosts::Verdict verdict, std::string_view address, int port, std::string_view key_type,
                         std::string_view key_blob, std::string_view file) {
  auto name = known_hosts_name(address, port);
  auto fingerprint = key_fingerprint(key_blob);
  // ssh-keyscan's own names of the kinds: ed25519, ecdsa, rsa.
  std::string_view kind = key_type.starts_with("ecdsa") ? "ecdsa" : key_type.starts_with("ssh-") ? key_type.substr(4) : key_type;
  auto scan = fmt::format("ssh-keyscan -p {} -t {} {} >> {}", port, kind, shell_quote(address), shell_quote(file));
  switch (verdict) {
    case KnownHosts::Verdict::unknown:
      return {Errc::unauthenticated, fmt::format("unknown host key: {} shows {} {} and {} holds none for it. If that fingerprint is the "
                                                 "host's own, accept it with: {}",
                                                 name, key_type, fingerprint, file, scan)};
    case KnownHosts::Verdict::changed:
      return {Errc::unauthenticated,
              fmt::format("THE HOST KEY HAS CHANGED: {} shows {} {}, and {} holds another one. Either the host was installed anew or "
                          "somebody stands between. Only if you know why: ssh-keygen -f {} -R {} && {}",
                          name, key_type, fingerprint, file, shell_quote(file), shell_quote(name), scan)};
    case KnownHosts::Verdict::revoked:
      return {Errc::unauthenticated, fmt::format("REVOKED HOST KEY: {} shows {} {}, which {} marks @revoked: give the host a new key", name,
                                                 key_type, fingerprint, file)};
    case KnownHosts::Verdict::known: break;
  }
  INVARIANT(false, "a known host key is not refused");
  return {Errc::unauthenticated, {}};
}

}  // namespace shiftd
