#include "daemon/release/release_scripts.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "daemon/ssh/shell.hpp"

namespace shiftd {
namespace {

// Prints what `current` names, or what is wrong with it, and keeps it in `now`.
constexpr std::string_view print_current = R"sh(
now=
if [ -L current ]; then now=$(readlink current); fi
if [ -n "$now" ] || [ ! -e current ]; then echo "current $now"; else echo "foreign"; fi
)sh";

constexpr std::string_view fetch_from_input = R"sh(
fetch() { cat >"$file" || return 1; }
)sh";

// A server that says no (22) is believed; a disk that takes no more (23) says so in our words; else it may be asked again.
constexpr std::string_view fetch_from_url = R"sh(
fetch() {
  command -v curl >/dev/null || { echo "no curl on this host: install it, or start with a file of shiftd's machine" >&2; return 1; }
  curl -fsSL --proto =http,https --connect-timeout 10 --speed-time 30 --speed-limit 1000 -o "$file" -- "$url" </dev/null && return 0
  case $? in
    22) return 1 ;;
    23) echo "No space left on device, or it cannot be written" >&2; return 1 ;;
    *) return 71 ;;
  esac
}
)sh";

// The host serves its users meanwhile: they come first. A kernel that shares by sessions (autogroup) hears the first line only,
// others the second; where neither can be had, nothing is lost.
constexpr std::string_view yield_to_users = R"sh(
{ echo 10 >/proc/self/autogroup; } 2>/dev/null
renice -n 10 -p $$ >/dev/null 2>&1
)sh";

// Reads the tarball from its input, unless it leaves before. `df` may name two file systems: the least counts.
constexpr std::string_view bring = R"sh(
[ -n "$now" ] || [ ! -e current ] || exit 0
[ ! -e "releases/$digest/.shiftd-complete" ] || exit 0
[ -n "$room" ] || exit 64
disks=$(df -Pk . .shiftd) || exit 1
free=
while read -r _ _ _ k _; do
  case $k in '' | *[!0-9]*) continue ;; esac
  [ "$k" -ge "${free:-$((k + 1))}" ] || free=$k
done <<disks
$disks
disks
echo "free $free"
[ "$free" -ge "$room" ] || exit 69
exec 9>>.shiftd/unpack.lock || exit 1
flock -n 9 || exit 75
file=.shiftd/uploads/$digest.tar.gz
part=releases/$digest.partial
set -- "$file" "$part"
trap 'rm -rf "$@"' EXIT
[ ! -e "$part" ] || rm -rf "$part" || exit 1
fetch || exit
found=$(sha256sum <"$file") || exit 1
found=${found%% *}
if [ "$found" != "$digest" ]; then echo "found $found"; exit 65; fi
mkdir "$part" && tar -xzf "$file" --no-same-owner -C "$part" && echo "$digest" >"$part/.shiftd-complete" || exit 1
chmod 755 "$part" && sync -f "$part" || exit 1
if [ -e "releases/$digest" ]; then
  case $now in */"$digest") echo "releases/$digest is current and has no .shiftd-complete" >&2; exit 1 ;; esac
  rm -rf "releases/$digest" || exit 1
fi
mv -T "$part" "releases/$digest" && sync releases || exit 1

# From here on only tidying: nothing of it fails the release.
count() { counted=$#; }
count releases/*/.shiftd-complete
if [ $counted -gt $((keep + 1)) ]; then
  previous=$(readlink previous)
  kept=0
  for marker in $(ls -t releases/*/.shiftd-complete); do
    name=${marker#releases/}; name=${name%/.shiftd-complete}
    case $name in "$digest" | "${now##*/}" | "${previous##*/}") continue ;; esac
    kept=$((kept + 1))
    [ "$kept" -le "$keep" ] || set -- "$@" "releases/$name"
  done
fi
for left in releases/*.partial; do [ ! -e "$left" ] || set -- "$@" "$left"; done
count .shiftd/jobs/*
[ $counted -le 50 ] || find .shiftd/uploads .shiftd/jobs -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
exit 0
)sh";

constexpr std::string_view swap = R"sh(
swap() {
  [ -d "releases/$release" ] || { echo "releases/$release is not on this host"; return 1; }
  [ -L current ] || [ ! -e current ] || { echo "current is no symbolic link"; return 1; }
  now=$(readlink current)
  if [ "$now" != "releases/$release" ]; then
    if [ -L current ]; then
      ln -sfn "$now" "previous.new.$$" && mv -T "previous.new.$$" previous || return 1
    fi
    ln -sfn "releases/$release" "current.new.$$" && mv -T "current.new.$$" current || return 1
  fi
  sync .
}
swap || exit 66
)sh";

std::string entering(const std::string& base) { return fmt::format("base={}; cd \"$base\" || exit 66\n", shell_quote(base)); }

// The value of the line that begins with `word`.
std::optional<std::string_view> line_of(std::string_view out, std::string_view word) {
  while (!out.empty()) {
    auto end = std::min(out.find('\n'), out.size());
    auto line = out.substr(0, end);
    if (line.starts_with(word) && line.size() > word.size() && line[word.size()] == ' ') return line.substr(word.size() + 1);
    out.remove_prefix(std::min(end + 1, out.size()));
  }
  return std::nullopt;
}

}  // namespace

std::string current_script(const std::string& base) {
  return fmt::format("cd {} 2>/dev/null || {{ echo 'current '; exit 0; }}\n{}", shell_quote(base), print_current);
}

std::string prepare_script(const std::string& base, const std::string& digest, std::optional<std::int64_t> room, int keep,
                           const std::string& url) {
  return fmt::format(
      "LC_ALL=C; export LC_ALL; umask 022; digest={}; room={}; keep={}; url={}; base={}\n"
      "[ -d \"$base/.shiftd/uploads\" ] && [ -d \"$base/.shiftd/jobs\" ] && [ -d \"$base/releases\" ] ||\n"
      "  mkdir -p \"$base/releases\" \"$base/.shiftd/uploads\" \"$base/.shiftd/jobs\" || exit 1\n"
      "cd \"$base\" || exit 1\n{}{}{}{}",
      shell_quote(digest), room ? std::to_string((*room + 1023) / 1024) : "", keep, shell_quote(url), shell_quote(base), print_current,
      url.empty() ? fetch_from_input : fetch_from_url, yield_to_users, bring);
}

std::string swap_script(const std::string& base, const std::string& release, const std::string& restart) {
  // The restart command in a shell of its own: whatever it is, it cannot reach into ours.
  return fmt::format("release={}\n{}{}\nexec /bin/sh -c {}\n", shell_quote(release), entering(base), swap, shell_quote(restart));
}

Result<std::string> read_current(std::string_view out) {
  if (out.find("foreign\n") != std::string::npos) {
    return Failure{Errc::refused, "'current' is no symbolic link: move it to releases/<name> and link it"};
  }
  auto said = line_of(out, "current");
  if (!said) return Failure{Errc::unexpected_reply, fmt::format("the host described its releases as '{}'", out.substr(0, 200))};
  auto target = *said;
  while (target.ends_with('/')) target.remove_suffix(1);
  auto name = target.substr(target.rfind('/') + 1);
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  if (target.empty()) return std::string();
  if (name.empty() || name.size() > 255 || name.starts_with('.') || !std::ranges::all_of(name, allowed)) {
    return Failure{Errc::unexpected_reply, fmt::format("'current' names '{}', which is no release", target.substr(0, 200))};
  }
  if (target.substr(0, target.size() - name.size()) != "releases/" && !target.ends_with("/releases/" + std::string(name))) {
    return Failure{Errc::refused, fmt::format("'current' leads to '{}', which is not below releases/", target.substr(0, 200))};
  }
  return std::string(name);
}

std::int64_t read_free(std::string_view out) {
  auto free = line_of(out, "free").value_or("");
  std::int64_t kilobytes = -1;
  auto end = free.data() + free.size();
  auto [parsed, error] = std::from_chars(free.data(), end, kilobytes);
  if (error != std::errc() || parsed != end || kilobytes < 0 || kilobytes > INT64_MAX / 1024) return -1;
  return kilobytes * 1024;
}

std::string read_found(std::string_view out) { return std::string(line_of(out, "found").value_or("").substr(0, 100)); }

bool is_digest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool answer_names(std::string_view answer, std::string_view digest) {
  while (!answer.empty() && std::string_view(" \t\r\n").find(answer.back()) != std::string_view::npos) answer.remove_suffix(1);
  while (!answer.empty() && std::string_view(" \t\r\n").find(answer.front()) != std::string_view::npos) answer.remove_prefix(1);
  return answer == digest || (answer.size() >= 12 && digest.starts_with(answer));
}

}  // namespace shiftd
