#include "daemon/release/release_scripts.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "daemon/ssh/shell.hpp"

namespace shiftd {
namespace {

// Prints what `current` names, or what is wrong with it.
constexpr std::string_view print_current = R"sh(
if [ -L current ]; then echo "current $(readlink current)"
elif [ -e current ]; then echo "foreign"
else echo "current "; fi
)sh";

constexpr std::string_view look = R"sh(
mkdir -p releases .shiftd/uploads .shiftd/jobs || exit 1
if [ -e "releases/$digest/.shiftd-complete" ]; then echo "complete yes"; else echo "complete no"; fi
echo "free $(df -Pk . | awk 'NR == 2 {print $4}')"
)sh";

constexpr std::string_view unpack = R"sh(
file=.shiftd/uploads/$digest.tar.gz
found=$(sha256sum <"$file") || exit 1
found=${found%% *}
if [ "$found" != "$digest" ]; then rm -f "$file"; echo "$found"; exit 65; fi
part=releases/$digest.partial
rm -rf "$part" && mkdir -p "$part" && tar -xzf "$file" --no-same-owner -C "$part" || exit 1
echo "$digest" >"$part/.shiftd-complete" || exit 1
chmod 755 "$part"
sync -f "$part" || exit 1
if [ -e "releases/$digest" ]; then
  case $(readlink current) in */"$digest") echo "releases/$digest is current and has no .shiftd-complete"; exit 1 ;; esac
  rm -rf "releases/$digest" || exit 1
fi
mv -T "$part" "releases/$digest" && sync releases || exit 1
rm -f "$file"

# From here on only tidying: nothing of it fails the release.
current=$(readlink current); current=${current##*/}
previous=$(readlink previous); previous=${previous##*/}
kept=0
for marker in $(ls -t releases/*/.shiftd-complete); do
  name=${marker#releases/}; name=${name%/.shiftd-complete}
  case $name in "$digest" | "$current" | "$previous") continue ;; esac
  kept=$((kept + 1))
  [ "$kept" -le "$keep" ] || rm -rf "releases/$name"
done
for left in releases/*.partial; do rm -rf "$left"; done
find .shiftd/uploads .shiftd/jobs -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
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
std::string_view line_of(std::string_view out, std::string_view word) {
  while (!out.empty()) {
    auto end = std::min(out.find('\n'), out.size());
    auto line = out.substr(0, end);
    if (line.starts_with(word) && line.size() > word.size() && line[word.size()] == ' ') return line.substr(word.size() + 1);
    out.remove_prefix(std::min(end + 1, out.size()));
  }
  return {};
}

}  // namespace

std::string current_script(const std::string& base) {
  return fmt::format("cd {} 2>/dev/null || {{ echo 'current '; exit 0; }}\n{}", shell_quote(base), print_current);
}

std::string look_script(const std::string& base, const std::string& digest) {
  return fmt::format("LC_ALL=C; export LC_ALL; umask 022; digest={}; base={}; mkdir -p \"$base\" && cd \"$base\" || exit 1\n{}{}",
                     shell_quote(digest), shell_quote(base), print_current, look);
}

std::string unpack_script(const std::string& base, const std::string& digest, int keep) {
  return fmt::format("umask 022; LC_ALL=C; export LC_ALL; digest={}; keep={}\n{}{}", shell_quote(digest), keep, entering(base), unpack);
}

std::string swap_script(const std::string& base, const std::string& release, const std::string& restart) {
  // The restart command in a shell of its own: whatever it is, it cannot reach into ours.
  return fmt::format("release={}\n{}{}\nexec /bin/sh -c {}\n", shell_quote(release), entering(base), swap, shell_quote(restart));
}

Result<std::string> read_current(std::string_view out) {
  if (out.find("foreign\n") != out.npos) {
    return Failure{Errc::refused, "'current' is no symbolic link: move it to releases/<name> and link it"};
  }
  auto target = line_of(out, "current");
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

Result<HostReleases> read_look(std::string_view out) {
  auto current = read_current(out);
  if (!current) return current.error();
  HostReleases found;
  found.current = std::move(*current);
  auto complete = line_of(out, "complete");
  auto free = line_of(out, "free");
  std::int64_t free_kilobytes = -1;
  auto end = free.data() + free.size();
  auto [parsed, error] = std::from_chars(free.data(), end, free_kilobytes);
  if (error != std::errc() || parsed != end || free_kilobytes < 0 || free_kilobytes > INT64_MAX / 1024 ||
      (complete != "yes" && complete != "no")) {
    return Failure{Errc::unexpected_reply, fmt::format("the host described its releases as '{}'", out.substr(0, 200))};
  }
  found.complete = complete == "yes";
  found.free_bytes = free_kilobytes * 1024;
  return found;
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool answer_names(std::string_view answer, std::string_view digest) {
  while (!answer.empty() && std::string_view(" \t\r\n").find(answer.back()) != std::string_view::npos) answer.remove_suffix(1);
  while (!answer.empty() && std::string_view(" \t\r\n").find(answer.front()) != std::string_view::npos) answer.remove_prefix(1);
  return answer == digest || (answer.size() >= 12 && digest.starts_with(answer));
}

}  // namespace shiftd
