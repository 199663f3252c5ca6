#include "daemon/ssh/remote_job.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "daemon/ssh/shell.hpp"

namespace shiftd {
namespace {

// Shared by both programs. `read` takes the result's two words: how it ended, and with what.
constexpr std::string_view answer_function = R"sh(
say() { printf 'shiftd-job %s\n' "$*"; }
answer() { read -r how status <result; say "$how $status"; [ ! -e out ] || cat out; }
)sh";

// Runs detached, holding the locks 8 and 9. The script gets neither, so that a service which it leaves behind does not
// hold them. Its output goes through a pipe; a service left behind may keep that open, so it is waited for briefly only.
// The shell around the script outlives the limit's TERM, so that `timeout` stays until the script has ended or been
// killed; its own status is 0 then, and any other status of `timeout` means the limit.
constexpr std::string_view runner = R"sh(
timeout -k 5 "$1" sh -c 'trap : TERM; (. ./script); printf "%-4s\n" $? 1<>code' </dev/null 8>&- 9>&-
ended=$?
exec >/dev/null 2>&1
n=0
while [ ! -e drained ] && [ $n -lt 100 ]; do
  n=$((n + 1))
  sleep 0.002 || { sleep 1; n=100; }
done
read -r status <code
case $ended in
  0) how="done $status" ;;
  *) how="limit $ended" ;;
esac
printf "%-20s\n" "$how" 1<>result.new && mv result.new result
)sh";

// Keeps the first bytes of the output and drops the rest, so that a script with much to say neither fills the disk nor
// stops. Unbuffered: what a service left behind holds back must not hold back what came before.
constexpr std::string_view drainer = R"sh(
if command -v stdbuf >/dev/null; then stdbuf -o0 head -c "$1" >out; else head -c "$1" >out; fi
true >drained
cat >/dev/null
)sh";

// dir, id, lock, limit, script, runner, drainer and most are set in front of it. (`true` and not `:` before a redirection
// that may fail: a failed redirection of a special builtin ends the shell.)
constexpr std::string_view start_or_join = R"sh(
need() { command -v "$1" >/dev/null || { say "error no $1 on this host: install $2"; return 1; }; }
prepare() {
  printf '%s' "$script" >script && printf '%-20s\n' lost >result.new && printf '%-4s\n' '' >code && printf '%s\n' "$id" >"$lock" &&
    true >started
}
need flock util-linux && need setsid util-linux && need timeout coreutils || return 0
[ -d "$dir/$id" ] || LC_ALL=C mkdir -p -m 700 "$dir/$id" || { say "error cannot make $dir/$id"; return 0; }
cd "$dir/$id" || { say "error cannot enter $dir/$id"; return 0; }
while true; do
  if [ -e result ]; then answer; return 0; fi
  true >>alive || { say "error cannot write in $dir/$id"; return 0; }
  exec 9>>alive
  if flock -n 9; then
    if [ -e result ]; then answer; return 0; fi
    if [ -e started ]; then say vanished; return 0; fi
    true >>"$lock" || { say "error cannot open the lock $lock"; return 0; }
    exec 8>>"$lock"
    if ! flock -n 8; then say "refused $(head -c 200 "$lock")"; return 0; fi
    prepare || { say "error cannot write in $dir/$id"; return 0; }
    setsid --fork sh -c "$runner" shiftd-job "$limit" 2>&1 |
      setsid --fork sh -c "$drainer" shiftd-job-output "$most" >/dev/null 2>&1 8>&- 9>&-
    exec 8>&-
  fi
  exec 9>&- 9<alive
  flock -s 9
  exec 9<&-
done
)sh";

constexpr std::string_view look = R"sh(
[ -d "$dir/$id" ] || { say none; return 0; }
cd "$dir/$id" || { say "error cannot enter $dir/$id"; return 0; }
if [ -e result ]; then answer; return 0; fi
[ -e started ] || { say none; return 0; }
exec 9<alive
if ! flock -n -s 9; then say running; return 0; fi
if [ -e result ]; then answer; else say vanished; fi
)sh";

// Complaints of the shell go to the answer: they say why something could not be done. The environment is left as the host's
// login made it, because the script and what it starts inherit it.
std::string program_of(std::string_view variables, std::string_view body) {
  return fmt::format("shiftd_main() {{\nexec </dev/null 2>&1\n{}{}{}\n}}\nshiftd_main; exit 0\n", variables, answer_function, body);
}

Result<void> check_id(const std::string& id) {
  auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (id.empty() || id.size() > 200 || !std::ranges::all_of(id, allowed)) {
    return Failure{Errc::bad_input, "job id '" + id + "' must be 1 to 200 of a-z, 0-9 and -"};
  }
  return {};
}

Result<void> check_path(std::string_view what, const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != path.npos || path.find('\n') != path.npos) {
    return Failure{Errc::bad_input, fmt::format("{} '{}' must be an absolute path in one line", what, path)};
  }
  return {};
}

// What the shell said about a thing that it could not do.
Errc code_of_complaint(std::string_view complaint) {
  for (auto full : {"No space left", "Disk quota exceeded", "File too large"}) {
    if (complaint.find(full) != complaint.npos) return Errc::exhausted;
  }
  for (auto closed : {"Permission denied", "Read-only file system", "Operation not permitted"}) {
    if (complaint.find(closed) != complaint.npos) return Errc::refused;
  }
  return Errc::refused;
}

Failure could_not(std::string_view said, std::string_view before) {
  while (before.ends_with('\n')) before.remove_suffix(1);
  auto text = fmt::format("{}{}{}", said, before.empty() ? "" : ": ", before);
  return {code_of_complaint(text), text};
}

}  // namespace

Result<std::string> job_program(const RemoteJob& job) {
  for (auto& checked : {check_id(job.id), check_path("job lock", job.lock), check_path("job directory", job.dir)}) {
    if (!checked) return checked.error();
  }
  if (job.limit < Duration(1)) return Failure{Errc::bad_input, "a job's limit must be positive, not " + to_string(job.limit)};
  if (job.script.find('\0') != job.script.npos) return Failure{Errc::bad_input, "a job's script must not hold NUL bytes"};
  auto limit = fmt::format("{}.{:03}", job.limit.count() / 1000, job.limit.count() % 1000);
  auto variables = fmt::format("dir={}\nid={}\nlock={}\nlimit={}\nmost={}\nscript={}\nrunner={}\ndrainer={}\n", shell_quote(job.dir),
                               shell_quote(job.id), shell_quote(job.lock), limit, output_most + 1, shell_quote(job.script),
                               shell_quote(runner), shell_quote(drainer));
  return program_of(variables, start_or_join);
}

Result<std::string> job_question(const std::string& dir, const std::string& id) {
  for (auto& checked : {check_id(id), check_path("job directory", dir)}) {
    if (!checked) return checked.error();
  }
  return program_of(fmt::format("dir={}\nid={}\n", shell_quote(dir), shell_quote(id)), look);
}

Result<std::optional<CommandResult>> read_job_reply(const std::string& id, Duration limit, std::string_view reply) {
  constexpr std::string_view mark = "shiftd-job ";
  // A login file of the user may have printed something in front.
  auto start = reply.starts_with(mark) ? 0 : reply.find("\nshiftd-job ");
  if (start == reply.npos) return could_not("no answer from the job's shell", reply.substr(0, 500)).during("job " + id);
  if (start != 0) ++start;
  auto before = reply.substr(0, start);
  auto line = reply.substr(start + mark.size());
  auto end = line.find('\n');
  if (end == line.npos) return Failure{Errc::unexpected_reply, "job " + id + ": the answer breaks off"};
  auto output = line.substr(end + 1);
  line = line.substr(0, end);
  auto space = std::min(line.find(' '), line.size());
  auto word = line.substr(0, space);
  auto rest = line.substr(std::min(space + 1, line.size()));

  if (word == "none") return std::optional<CommandResult>();
  if (word == "running") return Failure{Errc::unavailable, "job " + id + " runs still"};
  if (word == "vanished") {
    return Failure{Errc::unavailable, "job " + id +
                                          " vanished: it was started and is gone without a result (was the host restarted?); "
                                          "whether it finished is unknown"};
  }
  if (word == "refused") {
    return Failure{Errc::refused, fmt::format("job {}: the lock is held by job {}", id, rest.empty() ? "(unknown)" : rest)};
  }
  if (word == "error") return could_not(rest, before.substr(0, 500)).during("job " + id);
  if (word == "limit") {
    auto tail = output.substr(output.size() - std::min<std::size_t>(output.size(), 500));
    return Failure{Errc::exhausted, fmt::format("job {} was ended after its limit of {}; it had said: {}", id, to_string(limit), tail)};
  }
  CommandResult result;
  auto [parsed, error] = std::from_chars(rest.data(), rest.data() + rest.size(), result.exit_status);
  bool complete = parsed == rest.data() + rest.size();
  if (word != "done" || error != std::errc() || !complete || result.exit_status < 0 || result.exit_status > 255) {
    return Failure{Errc::unexpected_reply, fmt::format("job {}: '{}' is no answer", id, line.substr(0, 100))};
  }
  result.truncated = output.size() > output_most;
  result.out = output.substr(0, output_most);
  return std::optional<CommandResult>(std::move(result));
}

}  // namespace shiftd
