#include "daemon/release/release_scripts.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "daemon/base/shell.hpp"
#include "daemon/release/options.hpp"
#include "daemon/release/placeholders.hpp"
#include "daemon/release/releaser.hpp"
#include "daemon/ssh/remote_job.hpp"

namespace shiftd {
namespace {

// name LINK: what it names, in `named`; nothing where there is no such link. The shell itself can tell where a directory is, which
// spares a process; where that is not releases/<name>, the link's own text counts.
constexpr std::string_view name_link = R"sh(
name() {
  named=
  [ -L "$1" ] || return 0
  if cd -P "./$1" 2>/dev/null; then
    named=$PWD
    cd "$OLDPWD" || exit 1
  fi
  case ${named%/*} in
    */releases) named=releases/${named##*/} ;;
    *) named=$(readlink "$1") ;;
  esac
}
)sh";

// Prints what `current` names, or what is wrong with it, and keeps it in `now`.
constexpr std::string_view print_current = R"sh(
name current
now=$named
if [ -n "$now" ] || [ ! -e current ]; then echo "current $now"; else echo "foreign"; fi
)sh";

// A shell that stays says how the tarball is taken, and is there for others afterwards; else it is our whole input (Executor::send).
constexpr std::string_view how_to_take = R"sh(
stays=1
command -v shiftd_take >/dev/null || { stays=; shiftd_take() { cat; }; }
)sh";

constexpr std::string_view fetch_from_input = R"sh(
fetch() { shiftd_take >"$file" || return 1; }
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

// The host serves its users meanwhile: they come first. A kernel that shares by sessions (autogroup) goes by the session's
// niceness, others by the process's; where neither can be had, nothing is lost. A session may have its own back, but whoever is not root
// only so often (`proc_sched_autogroup_set_nice` of Linux: ten times a second, all together).
constexpr std::string_view yield_to_users = R"sh(
was=
yield() {
  by_session=0
  { read -r by_session </proc/sys/kernel/sched_autogroup_enabled; } 2>/dev/null
  if [ "$by_session" = 1 ]; then
    { read -r _ _ was </proc/self/autogroup && echo 10 >/proc/self/autogroup; } 2>/dev/null || was=
  elif read -r self _ </proc/self/stat; then
    renice -n 10 -p "$self" >/dev/null 2>&1
  fi
}
as_before() {
  [ -n "$was" ] || return 0
  for n in 1 2 3 4 5; do
    { echo "$was" >/proc/self/autogroup; } 2>/dev/null && return
    sleep 0.1 || sleep 1
  done
  return 1
}
)sh";

// Reads the tarball from its input, unless it leaves before. The jobs' lock tells in which epoch the last one ran. `df` may name two file
// systems: the least counts.
constexpr std::string_view bring = R"sh(
if outdated .shiftd/lock; then echo "epoch $last"; exit 76; fi
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
trap 'rm -rf "$@"; [ -z "$stays" ] || as_before || exit 77' EXIT
yield
[ ! -e "$part" ] || rm -rf "$part" || exit 1
fetch || exit
found=$(sha256sum <"$file") || exit 1
found=${found%% *}
if [ "$found" != "$digest" ]; then echo "found $found"; exit 65; fi
mkdir "$part" && tar -xzf "$file" --no-same-owner --no-overwrite-dir -C "$part" && echo "$digest" >"$part/.shiftd-complete" || exit 1
sync -f "$part" || exit 1
if [ -e "releases/$digest" ]; then
  case $now in */"$digest") echo "releases/$digest is current and has no .shiftd-complete" >&2; exit 1 ;; esac
  rm -rf "releases/$digest" || exit 1
fi
mv -T "$part" "releases/$digest" && sync releases || exit 1
)sh";

// After a release has come: what is removed at the end is added to the script's arguments. Nothing of it fails the release.
constexpr std::string_view tidy = R"sh(
count() { counted=$#; }
count releases/*/.shiftd-complete
if [ $counted -gt $((keep + 1)) ]; then
  name previous
  previous=$named
  kept=0
  for marker in $(ls -t releases/*/.shiftd-complete); do
    name=${marker#releases/}; name=${name%/.shiftd-complete}
    case $name in "$digest" | "${now##*/}" | "${previous##*/}") continue ;; esac
    kept=$((kept + 1))
    [ "$kept" -le "$keep" ] || set -- "$@" "releases/$name"
  done
fi
for left in releases/*.partial; do [ ! -e "$left" ] || set -- "$@" "$left"; done
count .shiftd/jobs/*.script
[ $counted -le 50 ] || find .shiftd/uploads .shiftd/jobs -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} +
exit 0
)sh";

// Makes releases/<code>-<configuration> of the code that is here already and of the files that come by its input. The code
// is shared with the release that it was unpacked for, file by file.
constexpr std::string_view configure = R"sh(
[ -n "$now" ] || [ ! -e current ] || exit 0
made=$(cat "releases/$digest/.shiftd-configuration/digest" 2>/dev/null)
if [ -e "releases/$digest/.shiftd-complete" ] && [ "$made" = "$rendered" ]; then exit 0; fi
case $now in */"$digest") echo "releases/$digest is current, and was made of other variables: change the configuration as well" >&2; exit 1 ;; esac
from=
for have in "releases/$code" "releases/$code"-*; do
  case $have in *.partial) continue ;; esac
  if [ -e "$have/.shiftd-complete" ]; then from=$have; break; fi
done
[ -n "$from" ] || exit 64
exec 9>>.shiftd/unpack.lock || exit 1
flock -n 9 || exit 75
part=releases/$digest.partial
set -- "$part"
trap 'rm -rf "$@"' EXIT
rm -rf "$part" || exit 1
cp -al "$from" "$part" 2>/dev/null || { rm -rf "$part"; cp -a "$from" "$part"; } || exit 1
files=$part/.shiftd-configuration
rm -rf "$files" "$part/.shiftd-complete" "$part/DEPLOYED" && mkdir -m 700 "$files" || exit 1
# take KEY PATH SIZE DIGEST MODE OWNER: the next file of the input.
take() {
  folder=${2%/*}
  [ -d "${folder:-/}" ] && [ -w "${folder:-/}" ] || { echo "${folder:-/} is no directory that this user may write in" >&2; exit 1; }
  [ ! -d "$2" ] || [ -L "$2" ] || { echo "$2 is a directory" >&2; exit 1; }
  [ ! -e "$2" ] || [ -r "$2" ] || { echo "$2 cannot be read, so it could not be kept" >&2; exit 1; }
  file=$files/$1/${2##*/}
  mkdir "$files/$1" && (umask 077; dd bs=65536 iflag=fullblock,count_bytes count="$3" status=none >"$file") || exit 1
  found=$(sha256sum <"$file") || exit 1
  if [ "${found%% *}" != "$4" ]; then echo "found ${found%% *}"; exit 65; fi
  chmod "$5" "$file" && { [ "$6" = - ] || chown "$6" "$file"; } || exit 1
  echo "$1 $5 $6 $2" >>"$files/files"
}
# good SECRET COMMAND: whether the service's own command takes its file. What it says of a secret file is not shown.
good() {
  if [ -n "$1" ]; then
    /bin/sh -c "$2" </dev/null >/dev/null 2>&1
  else
    /bin/sh -c "$2" </dev/null >&2
  fi || { echo "its validation ended with $?" >&2; exit 1; }
}
)sh";

constexpr std::string_view configured = R"sh(
echo "$rendered" >"$files/digest" && echo "$digest" >"$part/.shiftd-complete" || exit 1
chmod 755 "$part" && sync -f "$part" || exit 1
rm -rf "releases/$digest" && mv -T "$part" "releases/$digest" && sync releases || exit 1
# Its files are in the new release now.
name previous
previous=$named
case " $now $previous " in *"/$code "*) ;; *) set -- "$@" "releases/$code" ;; esac
)sh";

// Puts the files of a release's configuration where the service reads them. What stood at a path before the first release
// with a file for it is kept below .shiftd/configuration/<key>, and comes back when a release has none for it. `placed` names
// the release whose files stand there; it is gone while that is not sure.
constexpr std::string_view place_files = R"sh(
place() {
  kept=.shiftd/configuration
  list=releases/$release/.shiftd-configuration/files
  [ -e "$list" ] || [ -d "$kept" ] || return 0
  mkdir -p "$kept" || return 1
  [ "$(cat "$kept/placed" 2>/dev/null)" != "$release" ] || [ "$now" != "releases/$release" ] || return 0
  rm -f "$kept/placed"
  [ -e "$list" ] || list=/dev/null
  while read -r key mode owner path; do keep_original || return 1; done <"$list"
  for each in "$kept"/*/path; do
    [ -e "$each" ] || continue
    key=${each%/path}; key=${key##*/}; path=$(cat "$each")
    case $key in *.new | *.gone) continue ;; esac
    grep -q "^$key " "$list" || bring_back || return 1
  done
  while read -r key mode owner path; do bring_in || return 1; done <"$list"
}
keep_original() {
  [ ! -e "$kept/$key/path" ] || return 0
  rm -rf "$kept/$key.new" && mkdir "$kept/$key.new" || return 1
  if [ -e "$path" ] || [ -L "$path" ]; then cp -a "$path" "$kept/$key.new/was" || return 1; fi
  echo "$path" >"$kept/$key.new/path" && sync -f "$kept" && mv -T "$kept/$key.new" "$kept/$key" && sync "$kept"
}
bring_back() {
  rm -f "$path.shiftd-new"
  if [ -e "$kept/$key/was" ] || [ -L "$kept/$key/was" ]; then
    cp -a "$kept/$key/was" "$path.shiftd-new" && mv -T "$path.shiftd-new" "$path" || return 1
  else
    rm -f "$path" || return 1
  fi
  sync "${path%/*}/" && rm -rf "$kept/$key.gone" && mv -T "$kept/$key" "$kept/$key.gone" && rm -rf "$kept/$key.gone"
}
bring_in() {
  rm -f "$path.shiftd-new"
  cp -p "releases/$release/.shiftd-configuration/$key/${path##*/}" "$path.shiftd-new" || return 1
  [ "$owner" = - ] || chown "$owner" "$path.shiftd-new" || return 1
  chmod "$mode" "$path.shiftd-new" && sync "$path.shiftd-new" && mv -T "$path.shiftd-new" "$path" && sync "${path%/*}/"
}
)sh";

// differs PATH SIZE MODE OWNER SECRET: of the next file of the input. What a comparison leaves unread is read all the same.
constexpr std::string_view differs = R"sh(
LC_ALL=C; export LC_ALL
next() { dd bs=65536 iflag=fullblock,count_bytes count="$1" status=none; }
differs() {
  old=$1
  [ -e "$1" ] || old=/dev/null
  if [ -n "$5" ]; then
    next "$2" | { cmp -s - "$old"; same=$?; cat >/dev/null; [ $same = 0 ] || echo "$1 differs (secret)"; }
  else
    next "$2" | { diff -u --label "$1" --label "$1" -- "$old" - 2>&1; cat >/dev/null; }
  fi
  [ -e "$1" ] || { echo "$1 is new, with mode $3"; return; }
  mode=0$(stat -L -c %a "$1")
  [ "$mode" = "$3" ] || echo "$1: mode $mode becomes $3"
  owner=$(stat -L -c %U:%G "$1")
  case "$4" in - | "$owner" | "${owner%%:*}") ;; *) echo "$1: owner $owner becomes $4" ;; esac
}
)sh";

// leaves KEY...: of the files that stand in their places, those that the release with these keys has not.
constexpr std::string_view leaves = R"sh(
leaves() {
  for each in .shiftd/configuration/*/path; do
    [ -e "$each" ] || continue
    kept=${each%/path}
    case " $* " in *" ${kept##*/} "*) continue ;; esac
    case $kept in *.new | *.gone) continue ;; esac
    read -r path <"$each"
    if [ -e "$kept/was" ] || [ -L "$kept/was" ]; then
      echo "$path becomes what stood there before shiftd wrote it"
    else
      echo "$path goes: nothing stood there before"
    fi
  done
}
)sh";

constexpr std::string_view swap = R"sh(
swap() {
  [ -d "releases/$release" ] || { echo "releases/$release is not on this host"; return 1; }
  [ -L current ] || [ ! -e current ] || { echo "current is no symbolic link"; return 1; }
  name current
  now=$named
  place || { echo "the configuration could not be put in its place"; return 1; }
  if [ "$now" != "releases/$release" ]; then
    if [ -L current ]; then
      ln -sfn "$now" "previous.new.$$" && mv -T "previous.new.$$" previous || return 1
    fi
    ln -sfn "releases/$release" "current.new.$$" && mv -T "current.new.$$" current || return 1
  fi
  if [ -d .shiftd/configuration ]; then
    echo "$release" >.shiftd/configuration/placed.new && mv -T .shiftd/configuration/placed.new .shiftd/configuration/placed || return 1
    sync .shiftd/configuration
  fi
  sync .
}
swap || exit 66
)sh";

// The directories below the base, and what `current` names.
std::string making_layout(const std::string& base, const std::string& release, int keep) {
  return fmt::format(
      "LC_ALL=C; export LC_ALL; umask 022; digest={}; keep={}; base={}\n"
      "[ -d \"$base/.shiftd/uploads\" ] && [ -d \"$base/.shiftd/jobs\" ] && [ -d \"$base/releases\" ] ||\n"
      "  {{ mkdir -p \"$base/releases\" \"$base/.shiftd/uploads\" && mkdir -p -m 700 \"$base/.shiftd/jobs\"; }} || exit 1\n"
      "cd \"$base\" || exit 1\n{}{}",
      shell_quote(release), keep, shell_quote(base), name_link, print_current);
}

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
  return fmt::format("cd {} 2>/dev/null || {{ echo 'current '; exit 0; }}\n{}{}", shell_quote(base), name_link, print_current);
}

std::string note_script(const std::string& base, const std::string& release, const std::string& rollout) {
  return fmt::format(
      "cd {}/releases/{} || exit 1\n"
      "printf 'rollout %s\\nat %s\\n' {} \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\" >DEPLOYED.new && mv -T DEPLOYED.new DEPLOYED",
      shell_quote(base), shell_quote(release), shell_quote(rollout));
}

std::string prepare_script(const std::string& base, const std::string& digest, std::optional<std::int64_t> room, int keep,
                           std::uint64_t epoch, const std::string& url) {
  return fmt::format("epoch={}; room={}; url={}\n{}{}{}{}{}{}{}", epoch, room ? std::to_string((*room + 1023) / 1024) : "",
                     shell_quote(url), making_layout(base, digest, keep), how_to_take, url.empty() ? fetch_from_input : fetch_from_url,
                     yield_to_users, outdated_function, bring, tidy);
}

std::string configure_script(const std::string& base, const ReleaseParts& release, const std::vector<RenderedFile>& files,
                             const std::vector<std::string>& validations, int keep) {
  auto script = fmt::format("code={}; rendered={}\n{}{}yield\n{}", shell_quote(release.code), digest_of(files),
                            making_layout(base, name_of(release), keep), yield_to_users, configure);
  for (const auto& file : files) {
    script += fmt::format("take {} {} {} {} {} {}\n", file.key, shell_quote(file.path), file.text.size(), file.digest, file.mode,
                          file.owner.empty() ? "-" : shell_quote(file.owner));
  }
  for (std::size_t index = 0; index < validations.size(); ++index) {
    if (validations[index].empty()) continue;
    script += fmt::format("good {} {}\n", files[index].secret ? "secret" : "''", shell_quote(validations[index]));
  }
  return script.append(configured).append(tidy);
}

std::string difference_script(const std::string& base, const std::vector<RenderedFile>& files) {
  std::string script(differs);
  std::string keys;
  for (const auto& file : files) {
    keys += ' ' + file.key;
    script += fmt::format("differs {} {} {} {} {}\n", shell_quote(file.path), file.text.size(), file.mode,
                          file.owner.empty() ? "-" : shell_quote(file.owner), file.secret ? "secret" : "''");
  }
  return fmt::format("{}{}cd {} 2>/dev/null && leaves{}\nexit 0\n", script, leaves, shell_quote(base), keys);
}

std::string file_in_the_making(const std::string& base, const ReleaseParts& release, const RenderedFile& file) {
  return fmt::format("{}/releases/{}.partial/.shiftd-configuration/{}/{}", base, name_of(release), file.key,
                     file.path.substr(file.path.rfind('/') + 1));
}

std::string swap_script(const std::string& base, const std::string& release, const std::string& restart) {
  // The restart command in a shell of its own: whatever it is, it cannot reach into ours.
  return fmt::format("release={}\n{}{}{}{}\nexec /bin/sh -c {}\n", shell_quote(release), entering(base), name_link, place_files, swap,
                     shell_quote(restart));
}

Result<std::string> release_base(const ReleaseOptions& options, const HostPlace& host) {
  auto base = fill_placeholders(options.path, {{"host", host.name}, {"address", host.address}});
  if (!base) return std::move(base).error().during("release path");
  if (!base->starts_with('/')) return Failure{Errc::bad_input, "release path '" + *base + "' must begin with /"};
  while (base->size() > 1 && base->ends_with('/')) base->pop_back();
  return base;
}

std::string directory_script(const std::string& base) { return fmt::format("mkdir -p -m 700 {}", shell_quote(base + "/.shiftd/jobs")); }

// Each in a shell of its own: an `exit` or a `cd` of the one is not the other's.
std::string steps_script(const std::string& run, const std::string& restart) {
  auto script = fmt::format("/bin/sh -c {} || exit $?\n", shell_quote(run));
  if (!restart.empty()) script += fmt::format("exec /bin/sh -c {}\n", shell_quote(restart));
  return script;
}

std::string reboot_script(const std::string& boot_id, const std::string& reboot) {
  return fmt::format(
      "boot_id={}\n"
      "before=${{0%.script}}.boot_id\n"
      "cat \"$boot_id\" >\"$before\" && [ -s \"$before\" ] || {{ echo \"$boot_id names no boot\"; exit 1; }}\n"
      "sync -f \"$before\" || exit 1\n"
      "exec /bin/sh -c {}\n",
      shell_quote(boot_id), shell_quote(reboot));
}

std::string boot_question(const std::string& base, const std::string& job, const std::string& boot_id) {
  return fmt::format(
      "cd {} && before=$(cat ./{}) && now=$(cat {}) || exit 1\n"
      "[ -n \"$before\" ] && [ -n \"$now\" ] && [ \"$before\" != \"$now\" ] || exit {}",
      shell_quote(base + "/.shiftd/jobs"), shell_quote(job + ".boot_id"), shell_quote(boot_id), same_boot_status);
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

std::string read_epoch(std::string_view out) { return std::string(line_of(out, "epoch").value_or("").substr(0, 20)); }

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
