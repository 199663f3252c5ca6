#include "daemon/ssh/remote_job.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "daemon/base/shell.hpp"

namespace shiftd {
namespace {

// Shared by both programs. `answer` is the last that they do, when the job is over: nobody writes its result then. `runs`, asked of a job
// that has a result, leaves the lock open as 8: it has to be closed, so that nobody finds it held by who only answers.
constexpr std::string_view answer_functions = R"sh(
say() { printf 'shiftd-job %s\n' "$*"; }
answer() {
  read -r how status <"$id.result"
  case $how in
    done | limit) say "$how $status"; [ ! -s "$id.out" ] || exec cat "$id.out" ;;
    *) say vanished ;;
  esac
}
runs() {
  exec 8<../lock
  ! flock -n -s 8 || return
  read -r holder _ <../lock
  [ "$holder" = "$id" ]
}
)sh";

// The job itself: two shells that outlive the one which answers. Both keep the lock (8) until they are done, so that it is free
// only when the result and the output are whole. Who started them waits until both have let go of the pipe (7), which they do last:
// that spares a process which waits for the lock, and whoever hears of the end may start the next job at once. The script gets
// neither, so that a service which it leaves behind does not hold them. That service may keep the job's output open, so the rest of it is
// waited for briefly only (a hundred looks cost less than one process that sleeps). `timeout` ends with 124 or 137 at the limit; when
// the script itself ends so, the time tells: by the host's uptime, as its clock may be set meanwhile.
//
// `drain` keeps the first bytes of the output and drops the rest, so that a script with much to say neither fills the disk
// nor stops. dd writes what it reads at once: what a service left behind holds back does not hold back what came before.
//
// Redirected by `exec`: around a function or a group a shell keeps a copy of what it redirects, and a copy of our output
// keeps the channel open.
constexpr std::string_view job_functions = R"sh(
run() {
  exec 2>&1
  began=0 ended=0
  read -r began _ </proc/uptime
  timeout -k 5 "$limit" sh "./$id.script" 7>&- 8>&-
  status=$? how=done
  case $status in
    124 | 137)
      read -r ended _ </proc/uptime
      [ $((${ended%.*} - ${began%.*})) -lt "${limit%.*}" ] || how=limit
      ;;
  esac
  exec >/dev/null 2>&1
  printf '%-20s\n' "$how $status" 1<>"$id.result"
  exec 8>&- 7>&-
  n=0
  while [ $n -lt 100 ]; do
    read -r writer <"$id.draining"
    [ "$writer" != done ] || return
    n=$((n + 1))
  done
  for n in 1 2 3 4 5 6 7 8 9; do
    sleep 0.2 || sleep 1
    read -r writer <"$id.draining"
    case $writer in
      soon) ;;
      done) return ;;
      *) kill "$writer"; return ;;
    esac
  done
}
drain() {
  exec 3<&0 >/dev/null 2>&1
  dd bs=1 count="$most" of="$id.out" <&3 7>&- 8>&- &
  printf '%-10s\n' $! 1<>"$id.draining"
  wait $!
  printf '%-10s\n' done 1<>"$id.draining"
  exec 8>&- 7>&-
  read -r more || [ -n "$more" ] || return
  exec cat
}
)sh";

// dir, id, epoch, limit, most and script are set in front of it. (`true` and not `:` before a redirection that may fail: a
// failed redirection of a special builtin ends the shell.) What may be written when the disk is full has its blocks before
// the job starts; why it could not be had, dd says (dash: "I/O error"). The lock's file is written in place: a file system
// flushes one that was cut and written anew. It is written before the result, so that whose job has a result has had the lock.
//
// Who looks at a job holds the lock for a moment: it is waited for that long.
constexpr std::string_view start_or_join = R"sh(
prepare() {
  printf '%s' "$script" >"$id.script" && printf '%-10s\n' soon >"$id.draining" &&
    printf '%-222s\n' "$id $epoch" 1<>../lock && printf '%-20s\n' lost >"$id.result"
}
begin() {
  true >>../lock || { echo "error cannot open the lock $dir/lock"; return; }
  exec 8>>../lock
  if ! flock -w 1 8; then
    read -r holder _ <../lock
    if [ "$holder" = "$id" ]; then echo join; else echo "refused $holder"; fi
    return
  fi
  if [ -s "$id.result" ]; then echo join; return; fi
  if outdated ../lock; then echo "outdated $last"; return; fi
  if ! prepare; then
    LC_ALL=C dd if=/dev/zero of="$id.room" bs=64k count=1 status=none
    rm -f "$id.room" "$id.result"
    echo "error cannot write in $dir/jobs"
    return
  fi
  exec 7>&1 >/dev/null
  run | drain &
}
need() { command -v "$1" >/dev/null || { say "error no $1 on this host: install $2"; return 1; }; }
need flock util-linux && need timeout coreutils || return 0
[ -d "$dir/jobs" ] || LC_ALL=C mkdir -p -m 700 "$dir/jobs" || { say "error cannot make $dir/jobs"; return 0; }
cd "$dir/jobs" || { say "error cannot enter $dir/jobs"; return 0; }
while true; do
  word=join
  [ -s "$id.result" ] || word=$(begin)
  case $word in
    '') answer; return 0 ;;
    join) ! runs || flock -s 8; exec 8<&-; [ ! -s "$id.result" ] || { answer; return 0; } ;;
    *) say "$word"; return 0 ;;
  esac
done
)sh";

constexpr std::string_view look = R"sh(
[ -d "$dir/jobs" ] || { say none; return 0; }
cd "$dir/jobs" || { say "error cannot enter $dir/jobs"; return 0; }
[ -s "$id.result" ] || { say none; return 0; }
if runs; then say running; return 0; fi
exec 8<&-
answer
)sh";

// Complaints of the shell go to the answer: they say why something could not be done. The environment is left as the host's
// login made it, because the script and what it starts inherit it.
std::string program_of(std::string_view variables, std::string_view body) {
  return fmt::format("shiftd_main() {{\nexec </dev/null 2>&1\n{}{}{}\n}}\nshiftd_main; exit 0\n", variables, answer_functions, body);
}

Result<void> check_id(const std::string& id) {
  auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (id.empty() || id.size() > 200 || !std::ranges::all_of(id, allowed)) {
    return Failure{Errc::bad_input, "job id '" + id + "' must be 1 to 200 of a-z, 0-9 and -"};
  }
  return {};
}

Result<void> check_path(std::string_view what, const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos || path.find('\n') != std::string::npos) {
    return Failure{Errc::bad_input, fmt::format("{} '{}' must be an absolute path in one line", what, path)};
  }
  return {};
}

// What the shell said about a thing that it could not do.
Errc code_of_complaint(std::string_view complaint) {
  for (auto full : {"No space left", "Disk quota exceeded", "File too large"}) {
    if (complaint.find(full) != std::string::npos) return Errc::exhausted;
  }
  for (auto closed : {"Permission denied", "Read-only file system", "Operation not permitted"}) {
    if (complaint.find(closed) != std::string::npos) return Errc::refused;
  }
  return Errc::refused;
}

Failure could_not(std::string_view said, std::string_view before) {
  while (before.ends_with('\n')) before.remove_suffix(1);
  auto text = fmt::format("{}{}{}", said, before.empty() ? "" : ": ", before);
  return {code_of_complaint(text), text};
}

}  // namespace

Failure outdated(std::string_view epoch) {
  return {Errc::conflict,
          fmt::format("a shiftd that was started later from the same journal, or from a copy of it (epoch {}), has worked on this "
                      "host: stop one of the two",
                      epoch)};
}

Result<std::string> job_program(const RemoteJob& job) {
  for (auto& checked : {check_id(job.id), check_path("job directory", job.dir)}) {
    if (!checked) return checked.error();
  }
  if (job.limit < Duration(1)) return Failure{Errc::bad_input, "a job's limit must be positive, not " + to_string(job.limit)};
  if (job.script.find('\0') != std::string::npos) return Failure{Errc::bad_input, "a job's script must not hold NUL bytes"};
  auto limit = fmt::format("{}.{:03}", job.limit.count() / 1000, job.limit.count() % 1000);
  auto variables = fmt::format("dir={}\nid={}\nepoch={}\nlimit={}\nmost={}\nscript={}\n", shell_quote(job.dir), shell_quote(job.id),
                               job.epoch, limit, output_most + 1, shell_quote(job.script));
  return program_of(variables, fmt::format("{}{}{}", outdated_function, job_functions, start_or_join));
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
  if (start == std::string::npos) return could_not("no answer from the job's shell", reply.substr(0, 500)).during("job " + id);
  if (start != 0) ++start;
  auto before = reply.substr(0, start);
  auto line = reply.substr(start + mark.size());
  auto end = line.find('\n');
  if (end == std::string::npos) return Failure{Errc::unexpected_reply, "job " + id + ": the answer breaks off"};
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
  if (word == "outdated") return outdated(rest).during("job " + id);
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

Result<CommandResult> read_job_end(const RemoteJob& job, std::string_view reply) {
  auto read = read_job_reply(job.id, job.limit, reply);
  if (!read) return std::move(read).error();
  if (!*read) return Failure{Errc::unexpected_reply, "job " + job.id + " was not started"};
  return std::move(**read);
}

}  // namespace shiftd
